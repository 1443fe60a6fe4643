"""`save DIR`, in two processes of four devices, and `load DIR`, in one of four: what is checked is printed as JSON."""

import json
import os
import resource
import signal
import sys

import jax
import jax.numpy as jnp
import numpy as np

import nablax

BACKENDS = ("files", "orbax")
SPECS = {"w": jax.P(None, "model"), "v": jax.P(), "e": jax.P()}


def optimizer(mesh):
    """Adam with noise; a state that is spread over `data`, a parameter over `model`."""
    rng = np.random.default_rng(0)
    params = {
        "w": rng.normal(size=(16, 8)).astype(np.float32),
        "v": rng.normal(size=(24,)).astype(np.float32),
        "e": np.zeros((0, 2), np.float32),
    }
    if mesh is not None:
        params = {k: place(x, jax.NamedSharding(mesh, SPECS[k])) for k, x in params.items()}
    tx = nablax.chain(
        nablax.add_noise(0.1, 0.5, jax.random.key(3)), nablax.adam(nablax.linear_schedule(0.1, 0, 9))
    )
    return nablax.Optimizer(tx, params, mesh=mesh, skip_nonfinite=True)


def place(x, sharding):
    return jax.make_array_from_callback(x.shape, sharding, lambda index: x[index])


def whole(x):
    """All of an array on every process."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        x = jax.random.key_data(x)
    mesh = x.sharding.mesh if isinstance(x.sharding, jax.NamedSharding) else None
    same = x if mesh is None else jax.jit(lambda x: x, out_shardings=jax.NamedSharding(mesh, jax.P()))(x)
    return np.asarray(same)


def arrays(opt):
    return [whole(x) for x in jax.tree.leaves((opt.params, opt.state))]


def save(folder):
    nablax.distributed.initialize()
    first = jax.process_index() == 0
    mesh = jax.make_mesh((4, 2), ("data", "model"))
    opt, found = optimizer(mesh), {"devices": jax.device_count()}
    for _ in range(2):
        opt.step(jax.jit(lambda p: jax.tree.map(jnp.cos, p))(opt.params))
    index = jax.process_index()
    rows = np.arange(16.0).reshape(8, 2)
    split = nablax.distributed.make_global_batch({"x": rows[4 * index :][:4]}, mesh)["x"]
    together = jax.make_mesh((1, 8), ("data", "model"))
    try:
        nablax.distributed.make_global_batch(rows + index, together)
    except nablax.StructureError as error:
        found["others"] = str(error)
    shared = nablax.distributed.make_global_batch(rows, together)
    found["batch"] = [
        bool(np.array_equal(whole(split), rows) and np.array_equal(whole(shared), rows)),
        [s.data.shape for s in split.addressable_shards] == [(2, 2)] * 4,
    ]
    try:
        nablax.distributed.make_global_batch({"x": rows[:3]}, mesh)
    except nablax.StructureError as error:
        found["batch"].append(str(error))
    local = {"epoch": 3, "x": np.arange(4.0), "y": jnp.arange(3)}  # what each process has for itself
    for backend in BACKENDS:
        manager = nablax.CheckpointManager(
            f"{folder}/{backend}", backend=backend, best=("loss", "min"), keep=1
        )
        for step, loss in ((1, 0.5), (2, 0.9), (3, 0.7)):
            manager.save(step, opt, {"loss": loss})
        manager.wait()
        manager = nablax.CheckpointManager(
            f"{folder}/{backend}", backend=backend, best=("loss", "min"), keep=1
        )
        manager.save(4, opt, {"loss": 0.8})  # after a restart: the losses are read
        manager.wait()
        nablax.distributed.exchange()
        other = optimizer(mesh)
        manager.restore(other, 1)
        same = all(np.array_equal(a, b) for a, b in zip(arrays(opt), arrays(other), strict=True))
        manager = nablax.CheckpointManager(f"{folder}/{backend}-tree", backend=backend)
        manager.save(0, local)
        manager.wait()
        nablax.distributed.exchange()
        tree = manager.restore(local)
        same &= all(
            np.array_equal(a, b) for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(local), strict=True)
        )
        manager = nablax.CheckpointManager(f"{folder}/{backend}-params", backend=backend)
        manager.save(0, opt.params)
        manager.wait()
        found[backend] = {
            "same": bool(same),
            "steps": nablax.CheckpointManager(f"{folder}/{backend}").all_steps(),
        }
    if first:
        np.savez(f"{folder}/expected.npz", *arrays(opt))
        held = sum(x.nbytes for x in arrays(opt))
        files = os.scandir(f"{folder}/files/step-1")
        found["bytes"] = held, [file.stat().st_size for file in sorted(files, key=lambda file: file.name)]
    else:
        arrays(opt), arrays(opt)
    try:
        nablax.CheckpointManager(f"{folder}/of-{index}").save(1, opt)
    except OSError as e:
        found["apart"] = str(e)
    manager = nablax.CheckpointManager(f"{folder}/full")
    if not first:  # no room for this one
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
    try:
        manager.save(1, opt)
        found["full"] = "saved"
    except OSError as e:
        found["full"] = str(e)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    nablax.distributed.exchange()
    found["left"] = os.listdir(f"{folder}/full")
    return found


def load(folder):
    found, expected = {}, list(np.load(f"{folder}/expected.npz").values())
    devices = np.array(jax.devices())
    meshes = {
        "two by two": jax.sharding.Mesh(devices.reshape(2, 2), ("data", "model")),
        "four by one": jax.sharding.Mesh(devices.reshape(4, 1), ("data", "model")),
        "one by four": jax.sharding.Mesh(devices.reshape(1, 4), ("data", "model")),
        "alone": None,
    }
    for backend in BACKENDS:
        manager = nablax.CheckpointManager(f"{folder}/{backend}-params", backend=backend)
        for name, mesh in list(meshes.items())[:3]:
            shapes = {
                name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=jax.NamedSharding(mesh, SPECS[name]))
                for name, x in optimizer(None).params.items()
            }
            params = manager.restore(shapes)
            found[f"{backend}, {name}, from shapes"] = all(
                x.sharding == shapes[name].sharding and np.array_equal(whole(x), y)
                for (name, x), y in zip(params.items(), expected[:3], strict=True)
            )
        manager = nablax.CheckpointManager(f"{folder}/{backend}", backend=backend)
        for name, mesh in meshes.items():
            opt = optimizer(mesh)
            where = [x.sharding for x in jax.tree.leaves((opt.params, opt.state))]
            manager.restore(opt)
            found[f"{backend}, {name}"] = (
                opt.metrics["steps"] == 2
                and where == [x.sharding for x in jax.tree.leaves((opt.params, opt.state))]
                and all(np.array_equal(a, b) for a, b in zip(arrays(opt), expected, strict=True))
            )
    return found


if __name__ == "__main__":
    print(json.dumps({"save": save, "load": load}[sys.argv[1]](sys.argv[2])), flush=True)
