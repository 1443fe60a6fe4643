"""Checkpoints: what is kept, what a crash leaves, what damage says, and that a run goes on as if nothing had been."""

import functools
import os
import pickle
import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nablax
from devices import run_on

HERE = Path(__file__).parent


def same(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def optimizer():
    tx = nablax.chain(
        nablax.add_noise(0.1, 0.5, jax.random.key(3)), nablax.adamw(nablax.cosine_decay_schedule(0.1, 20))
    )
    return nablax.Optimizer(
        tx, {"w": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": jnp.zeros(3), "e": jnp.zeros((0, 2))}
    )


def steps(opt, count):
    """The losses of further steps."""
    out = []
    for _ in range(count):
        loss, grads = jax.value_and_grad(lambda p: jnp.sum(jnp.cos(p["w"]) ** 2 + p["b"]))(opt.params)
        opt.step(grads)
        out.append(float(loss))
    return out


@pytest.mark.parametrize("backend", ["files", "orbax"])
def test_a_run_goes_on_to_the_last_digit(backend, tmp_path):
    opt, manager = optimizer(), nablax.CheckpointManager(tmp_path / "run", backend=backend)
    assert manager.latest_step() is None
    assert manager.all_steps() == []
    steps(opt, 3)
    opt.hyperparameters["b1"] = 0.8
    assert manager.save(3, opt) is True
    expected = steps(opt, 5)  # in place, while Orbax writes
    manager.wait()
    other = optimizer()
    again = nablax.CheckpointManager(tmp_path / "run", backend=backend)
    assert again.latest_step() == 3
    assert again.restore(other) is other
    assert steps(other, 5) == expected
    assert other.metrics == opt.metrics
    same(other.state_dict()["arrays"], opt.state_dict()["arrays"])


LOOKED_UP = None  # what unpicklers looked up, while a test listens


@functools.cache  # a hook stays
def listen():
    def hook(event, args):
        if event == "pickle.find_class" and LOOKED_UP is not None:
            LOOKED_UP.append(args)

    sys.addaudithook(hook)


class Evil:
    """What makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("backend", ["files", "orbax"])
def test_nothing_is_unpickled(backend, tmp_path, monkeypatch):
    opt, manager = optimizer(), nablax.CheckpointManager(tmp_path / "run", backend=backend)
    manager.save(0, opt)
    manager.wait()
    listen()
    monkeypatch.setattr(sys.modules[__name__], "LOOKED_UP", [])
    nablax.CheckpointManager(tmp_path / "run", backend=backend).restore(opt)
    files = [path for path in (tmp_path / "run" / "step-0").rglob("*") if path.is_file()]
    refused = 0
    for path in files:  # a stranger's file in the place of each
        whole = path.read_bytes()
        if whole.startswith(b"\x0c\xdb"):  # of TensorStore, whose C++ reads it
            continue
        path.write_bytes(pickle.dumps(Evil(str(tmp_path / "evil"))))
        try:
            nablax.CheckpointManager(tmp_path / "run", backend=backend).restore(opt)
        except nablax.FileError:
            refused += 1
        path.write_bytes(whole)
    assert refused
    assert not (tmp_path / "evil").exists()
    assert LOOKED_UP == []
    pickle.loads(pickle.dumps(Evil(str(tmp_path / "evil"))))
    assert (tmp_path / "evil").exists()  # and it would have been heard
    assert [name for _, name in LOOKED_UP] == ["mkdir"]


@pytest.mark.parametrize("backend", ["files", "orbax"])
def test_trees_come_back(backend, tmp_path):
    tree = {
        "key": jax.random.key(1), "epoch": 3, "name": "é", "loss": 0.1, "numpy": np.arange(3.0),
        "odd/na.me": jnp.ones(2), "half": jnp.ones(3, jnp.bfloat16), "four": jnp.arange(5).astype(jnp.int4),
        "empty": jnp.zeros((0, 3)),
    }  # fmt: skip
    manager = nablax.CheckpointManager(tmp_path, backend=backend)
    manager.save(0, tree)
    manager.wait()
    got = manager.restore(tree)
    assert jax.tree.structure(got) == jax.tree.structure(tree)
    same(jax.random.key_data(got.pop("key")), jax.random.key_data(tree["key"]))
    for name, x in got.items():
        assert type(x) is type(tree[name])
        assert getattr(x, "dtype", None) == getattr(tree[name], "dtype", None)
        np.testing.assert_array_equal(x, tree[name])
    with pytest.raises(nablax.StructureError, match=r"epoch is not asked for; .*numpy is \(3,\) float64"):
        manager.restore({**tree, "numpy": np.zeros(4), "epoch": None})
    with pytest.raises(nablax.StructureError, match="step-0 holds a tree; got Optimizer"):
        manager.restore(optimizer())
    with pytest.raises(FileExistsError, match=r"step 0 is there already.*delete\(0\)"):
        manager.save(0, tree)


def test_async_saves_hold_what_was_there(tmp_path):
    opt = nablax.Optimizer(nablax.sgd(1.0), {"w": jnp.zeros((1000, 1000))})
    manager = nablax.CheckpointManager(tmp_path, backend="orbax", keep=None)
    for step in range(1, 5):
        opt.step({"w": jnp.full((1000, 1000), -1.0)})
        manager.save(step, opt)
    manager.wait()
    for step in range(1, 5):
        np.testing.assert_array_equal(manager.restore(opt, step).params["w"], float(step))


def test_what_is_kept(tmp_path):
    losses = {0: 5.0, 2: 1.0, 4: float("nan"), 6: 1.0, 8: 3.0, 10: 2.0, 12: 7.0}
    tree = {"x": np.ones(2)}
    for name, best, expected in [
        ("newest", None, [10, 12]), ("least", ("loss", "min"), [6, 10, 12]), ("largest", ("loss", "max"), [10, 12]),
        ("function", lambda m: -abs(m["loss"] - 4.9), [0, 10, 12]),
    ]:  # fmt: skip
        manager = nablax.CheckpointManager(tmp_path / name, keep=2, every=2, best=best)
        for step in range(14):
            assert manager.save(step, tree, {"loss": losses.get(step, 0.0)}) is (step % 2 == 0)
        assert manager.all_steps() == expected
        assert manager.latest_step() == 12
        if best is not None:  # another manager reads the metrics from the files
            assert nablax.CheckpointManager(tmp_path / name, best=best).best_step() in expected
    manager = nablax.CheckpointManager(tmp_path / "least", best=("loss", "min"))
    assert manager.best_step() == 6
    manager.delete(6)
    assert manager.best_step() == 10
    with pytest.raises(nablax.ArgumentError, match="best needs metrics that it can choose by"):
        manager.save(20, tree)
    assert sorted(os.listdir(tmp_path / "least")) == ["step-10", "step-12"]


def test_damage_is_named_and_an_earlier_step_is_there(tmp_path):
    manager = nablax.CheckpointManager(tmp_path)
    tree = {"first": np.arange(50.0), "second": np.ones(4)}
    for step in (1, 2):
        manager.save(step, {**tree, "second": np.full(4, float(step))})
    path = tmp_path / "step-2" / "process-0-of-1.safetensors"
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for place in rng.integers(len(whole), size=60):
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        with pytest.raises(nablax.FileError, match=str(path)):
            manager.restore(tree)
    for size in (0, 9, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(nablax.FileError, match=str(path)):
            manager.restore(tree)
    path.rename(path.with_name("process-0-of-2.safetensors"))
    with pytest.raises(
        nablax.FileError, match=r"step-2 cannot be read: process-1-of-2.safetensors is missing"
    ):
        manager.restore(tree)
    assert manager.restore(tree, step=1)["second"].tolist() == [1.0] * 4
    with pytest.raises(FileNotFoundError, match=r"has no step 7; it has \[1, 2\]"):
        manager.restore(tree, 7)
    with pytest.raises(FileNotFoundError, match=r"has no step; it has \[\]"):
        nablax.CheckpointManager(tmp_path / "none").restore(tree)


def test_a_truncated_step_of_orbax_is_named(tmp_path):
    manager, tree = nablax.CheckpointManager(tmp_path, backend="orbax"), {"x": np.arange(5000.0), "n": 1}
    manager.save(1, tree)
    manager.wait()
    files = [path for path in (tmp_path / "step-1").rglob("*") if path.name in ("_METADATA", "metadata")]
    files.append(max((tmp_path / "step-1").rglob("*"), key=lambda path: path.stat().st_size * path.is_file()))
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(nablax.FileError, match="step-1 cannot be read by Orbax"):
            manager.restore(tree)
        path.write_bytes(whole)
    assert manager.restore(tree)["n"] == 1


def test_what_gets_its_name_is_on_the_disk(tmp_path, monkeypatch):
    done = []

    def noting(name, called):
        def call(*args):
            path = os.readlink(f"/proc/self/fd/{args[0]}") if name == "fsync" else args[1]
            done.append((name, re.sub("[0-9a-f]{16}", "*", os.path.basename(path))))
            return called(*args)

        return call

    for name in ("fsync", "rename", "replace"):
        monkeypatch.setattr(os, name, noting(name, getattr(os, name)))
    nablax.CheckpointManager(tmp_path / "run").save(3, {"x": np.ones(2)})
    file = "process-0-of-1.safetensors"
    assert list(dict.fromkeys(done)) == [  # a folder may be synced twice
        ("fsync", f".{file}.*.tmp"), ("replace", file), ("fsync", ".step-3.*.tmp"), ("rename", "step-3"),
        ("fsync", "run"),
    ]  # fmt: skip


def test_a_damaged_file_changes_no_optimizer(tmp_path):
    manager, opt = nablax.CheckpointManager(tmp_path), optimizer()
    manager.save(1, opt)
    steps(opt, 2)
    path = tmp_path / "step-1" / "process-0-of-1.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    before = opt.state_dict()
    with pytest.raises(nablax.FileError, match="the bytes of .* are not those that were written"):
        manager.restore(opt)
    same(opt.state_dict()["arrays"], before["arrays"])


def test_a_file_is_one_that_optimizers_read(tmp_path):
    opt, other = optimizer(), optimizer()
    steps(opt, 2)
    nablax.CheckpointManager(tmp_path).save(2, opt)
    other.load(tmp_path / "step-2" / "process-0-of-1.safetensors")
    assert steps(other, 2) == steps(opt, 2)


def test_without_orbax_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    with pytest.raises(nablax.ArgumentError, match=re.escape("pip install 'nablax[checkpoint]'")):
        nablax.CheckpointManager(tmp_path, backend="orbax")


def test_arguments_are_checked(tmp_path):
    for wrong, message in [
        ({"keep": 0}, "keep must"), ({"every": 0.5}, "every must"), ({"best": "loss"}, "best must be .*got 'loss'"),
        ({"best": ("loss", "least")}, "best must be"), ({"backend": "torch"}, "backend must be 'files' or 'orbax'"),
    ]:  # fmt: skip
        with pytest.raises(nablax.NablaxError, match=f"CheckpointManager: {message}"):
            nablax.CheckpointManager(tmp_path, **wrong)
    manager = nablax.CheckpointManager(tmp_path)
    with pytest.raises(nablax.HyperparameterError, match="step must"):
        manager.save(-1, {})
    with pytest.raises(nablax.ArgumentError, match="metrics must be numbers"):
        manager.save(1, {}, {"loss": "low"})
    with pytest.raises(nablax.ArgumentError, match="best was not given"):
        manager.best_step()


@pytest.mark.parametrize("backend", ["files", "orbax"])
def test_what_the_dead_left_goes_at_the_next_save(backend, tmp_path):
    left = tmp_path / f".step-1.{'0' * 16}.tmp"  # of a step that was being removed
    left.mkdir()
    (left / "file").write_bytes(b"x")
    manager = nablax.CheckpointManager(tmp_path, backend=backend)
    manager.save(2, {"x": np.ones(2)})
    manager.wait()
    assert os.listdir(tmp_path) == ["step-2"]


# -- crashes ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crashed():
    return run_on(1, HERE / "crashes.py")


def test_fifty_kills_leave_the_newest_step(crashed):
    found = crashed["kills"]
    assert found["wrong"] == []
    assert found["newest"] >= 50 - 1
    assert found["left"] == [f"step-{found['newest'] + k}" for k in (0, 1)]


@pytest.mark.parametrize("disk", ["tmpfs", "limit"])
def test_a_full_disk_leaves_the_last_step(disk, crashed):
    if crashed[disk] is None:
        pytest.skip("only root may mount a tmpfs")
    assert crashed[disk]["said"] in ("No space left on device", "File too large")
    assert crashed[disk]["same"]
    assert crashed[disk]["left"] == ["step-1"]


def test_of_two_writers_one_wins(crashed):
    assert all(crashed["writers"]["right"])
    assert crashed["writers"]["left"] == sorted(f"step-{k}" for k in range(len(crashed["writers"]["right"])))
