"""Files and state dicts: any dtype, any damage, any change of the optimizer that leaves names; and other libraries'."""

import collections
import json
import os
import pickle
import subprocess
import sys
import tempfile

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint
import pytest

import nablax
from nablax import autograd

PARAMS = {
    "layers": [{"kernel": jnp.linspace(-1, 1, 6).reshape(2, 3), "bias": jnp.zeros(3)}],
    "scale": jnp.float32(2.0),
}


def gradient(params, k=0):
    return jax.tree.map(lambda p: jnp.cos(3 * p + k), params)


def plain(x):
    typed = isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(x) if typed else x)


def same(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(plain(x), plain(y)), a, b)


# -- files ------------------------------------------------------------------------------------------------------------

DTYPES = [
    "bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", "float16", "float32", "bfloat16", "complex64",
    "int4", "uint4", "float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz",
]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3, 5)])
def test_every_dtype_comes_back(dtype, shape, tmp_path):
    x = jnp.asarray(np.arange(int(np.prod(shape))).reshape(shape) % 7).astype(dtype)
    nablax.save(tmp_path / "x.safetensors", {"x": x})
    got = nablax.load(tmp_path / "x.safetensors", like={"x": x})["x"]
    assert (got.dtype, got.shape) == (x.dtype, x.shape)
    assert np.asarray(got).tobytes() == np.asarray(x).tobytes()


def test_wide_numpy_arrays_come_back(tmp_path):
    tree = {
        "d": np.linspace(0, 1, 3),
        "z": np.array([1 + 2j]),
        "i": np.array([2**60]),
        "big": np.arange(3, dtype=">f4"),
    }
    nablax.save(tmp_path / "x", tree)
    got = nablax.load(tmp_path / "x")
    for name, x in tree.items():
        np.testing.assert_array_equal(got[name], x)
        assert got[name].dtype == x.dtype.newbyteorder("=")


def test_keys_numbers_and_strings_come_back(tmp_path):
    tree = {"epoch": 3, "loss": 0.1, "inf": float("inf"), "name": "é", "done": True}
    tree |= {"key": jax.random.key(3), "many": jax.random.split(jax.random.key(1, impl="rbg"), 2)}
    nablax.save(tmp_path / "x", tree)
    got = nablax.load(tmp_path / "x", like=tree)
    assert {k: got[k] for k in ("epoch", "loss", "inf", "name", "done")} == {
        k: tree[k] for k in ("epoch", "loss", "inf", "name", "done")
    }
    same(jax.random.key_data(got["key"]), jax.random.key_data(tree["key"]))
    assert jax.random.key_impl(got["many"]) == jax.random.key_impl(tree["many"])


def test_the_format_is_that_of_safetensors(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    arrays = {
        "a/b": np.arange(6, dtype=np.float32).reshape(2, 3),
        "c": np.array([True, False]),
        "d": np.float32(3),
    }
    nablax.save(tmp_path / "ours", arrays)
    theirs = safetensors.load_file(tmp_path / "ours")
    for name, x in arrays.items():
        np.testing.assert_array_equal(theirs[name], x)
    safetensors.save_file({k: np.asarray(v) for k, v in arrays.items()}, tmp_path / "theirs")
    ours = nablax.load(tmp_path / "theirs")
    for name, x in arrays.items():
        np.testing.assert_array_equal(ours[name], x)


def test_any_damage_is_found(tmp_path):
    path = tmp_path / "x"
    nablax.save(path, {"first": np.arange(50, dtype=np.float32), "second": np.ones((3, 4)), "n": 3})
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in [*range(0, 8), *rng.integers(8, len(whole), 150)]:
        broken = bytearray(whole)
        broken[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        with pytest.raises(nablax.FileError, match=str(path)):
            nablax.load(path)
    for size in [0, 5, 9, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(nablax.FileError, match=str(path)):
            nablax.load(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(nablax.FileError, match="added"):
        nablax.load(path)


def test_damage_names_the_array(tmp_path):
    path = tmp_path / "x"
    nablax.save(path, {"first": np.zeros(50, np.float32), "second": np.ones(4)})
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(nablax.FileError, match="the bytes of second are not those that were written"):
        nablax.load(path)


@pytest.mark.parametrize("header", [b"[]", b"{", b'{"a": 3}', b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}',
                                    b'{"a":{"dtype":"X","shape":[],"data_offsets":[0,0]}}'])  # fmt: skip
def test_headers_that_lie_are_refused(header, tmp_path):
    (tmp_path / "x").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * 8)
    with pytest.raises(nablax.FileError):
        nablax.load(tmp_path / "x")


class Failing:
    """An array that cannot be read."""

    shape, dtype = (3,), np.dtype("float32")

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("gone")


def test_a_failed_save_leaves_the_old_file(tmp_path):
    from nablax.runtime._saving import write

    path = tmp_path / "x"
    nablax.save(path, {"x": np.ones(3)})
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="gone"):
        write(path, {"x": np.zeros(3), "y": Failing()})
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x"]


def test_no_file_holds_code(tmp_path):
    opt = nablax.Optimizer(nablax.adamw(1e-3), PARAMS)
    opt.save(tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    assert b"nablax.optimizers" not in data
    assert b"_adam" not in data.replace(b"scale_by_adam", b"")
    with pytest.raises(pickle.UnpicklingError):
        pickle.loads(data)
    n = int.from_bytes(data[:8], "little")
    assert "adamw/mu/layers/0/kernel" in json.loads(data[8 : 8 + n])


def test_what_does_not_fit_is_named(tmp_path):
    nablax.save(tmp_path / "x", {"a": np.ones(3), "b": 1})
    with pytest.raises(nablax.StructureError, match=r"c is missing; b is not asked for; a is \(3,\) float64"):
        nablax.load(tmp_path / "x", like={"a": np.ones(4), "c": 2})
    with pytest.raises(nablax.ArgumentError, match="a is no array, number or string, but object"):
        nablax.save(tmp_path / "x", {"a": object()})


def test_shapes_of_keys_and_other_byte_orders_are_enough(tmp_path):
    path = tmp_path / "x"
    tree = {"key": jax.random.key(3), "x": np.array([1.0, 2.0], ">f4")}
    nablax.save(path, tree)
    like = {"key": jax.eval_shape(lambda: jax.random.key(0)), "x": tree["x"]}
    same(nablax.load(path, like=like), tree)
    other = {**like, "key": jax.eval_shape(lambda: jax.random.key(0, impl="rbg"))}
    with pytest.raises(
        nablax.StructureError, match="keys of threefry2x32 in the file, .* keys of rbg expected"
    ):
        nablax.load(path, like=other)


def test_tensors_and_functions(tmp_path):
    tree = {"w": autograd.Parameter([1.0, 2.0]), "f": jnp.tanh}
    nablax.save(tmp_path / "x", tree)
    same(nablax.load(tmp_path / "x"), {"w": np.float32([1, 2])})


# -- optimizers -------------------------------------------------------------------------------------------------------

TXS = {
    "adamw": lambda: nablax.adamw(nablax.cosine_decay_schedule(0.1, 20)),
    "noisy": lambda: nablax.chain(nablax.add_noise(0.1, 0.5, jax.random.key(3)), nablax.adam(0.1)),
    "groups": lambda: nablax.partition_by_path(
        {"bias": nablax.sgd(0.1, momentum=0.9)}, default=nablax.lion(0.01)
    ),
    "steps": lambda: nablax.MultiSteps(nablax.adam(0.1), 3),
    "muon": lambda: nablax.muon(0.1),
    "schedule_free": lambda: nablax.schedule_free_adamw(0.1),
    "lbfgs": lambda: nablax.lbfgs(0.1, linesearch=None),
}


@pytest.mark.parametrize("name", TXS)
def test_resume_is_exact(name, tmp_path):
    opt = nablax.Optimizer(TXS[name](), PARAMS, skip_nonfinite=True)
    for k in range(4):
        opt.step(gradient(opt.params, k))
    if name == "adamw":
        opt.hyperparameters["b1"] = 0.8
    opt.save(tmp_path / "x")
    other = nablax.Optimizer(TXS[name](), jax.tree.map(jnp.zeros_like, PARAMS), skip_nonfinite=True)
    assert other.load(tmp_path / "x") == ((), (), (), ())
    same(other.params, opt.params)
    same(jax.tree.leaves(other.state), jax.tree.leaves(opt.state))
    for k in range(4, 9):
        a, b = opt.step(gradient(opt.params, k)), other.step(gradient(other.params, k))
        same(a, b)
    assert other.metrics == opt.metrics
    assert dict(other.hyperparameters) == dict(opt.hyperparameters)


def test_a_schedule_stays_unless_a_number_was_set_by_hand(tmp_path):
    def scheduled():
        return nablax.Optimizer(nablax.adam(nablax.linear_schedule(0.2, 0.0, 10)), PARAMS)

    def rate(opt):
        return opt.hyperparameters["learning_rate"]

    opt, follows, other = nablax.Optimizer(nablax.adam(0.1), PARAMS), scheduled(), scheduled()
    opt.step(gradient(opt.params, 0))
    opt.save(tmp_path / "x")
    assert follows.load(tmp_path / "x", strict=False).missing == ("adam/scale_by_learning_rate/count",)
    assert rate(follows) == pytest.approx(0.2)
    constant = nablax.Optimizer(nablax.adam(0.3), PARAMS)
    constant.load(tmp_path / "x")
    assert rate(constant) == 0.1
    opt.hyperparameters["learning_rate"] = 0.1  # the number that it was, but now somebody wants it
    opt.save(tmp_path / "x")
    follows.load(tmp_path / "x", strict=False)
    assert rate(follows) == 0.1
    follows.save(tmp_path / "x")
    other.load(tmp_path / "x")
    assert rate(other) == 0.1
    del other.hyperparameters["learning_rate"]
    other.save(tmp_path / "x")
    follows.load(tmp_path / "x")
    assert rate(follows) == pytest.approx(0.2)


def test_resume_in_another_process(tmp_path):
    program = """
import sys, jax, jax.numpy as jnp, nablax
opt = nablax.Optimizer(nablax.adamw(nablax.linear_schedule(0.1, 0.0, 20)), {"w": jnp.ones(5)})
if sys.argv[2] != "0": opt.load(sys.argv[1])
for k in range(int(sys.argv[2]), int(sys.argv[3])): opt.step({"w": jnp.cos(opt.params["w"] * k)})
opt.save(sys.argv[1]); print(opt.params["w"].tolist())
"""

    def run(path, start, end):
        command = [sys.executable, "-c", program, str(path), str(start), str(end)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    run(tmp_path / "a", 0, 4)
    assert run(tmp_path / "a", 4, 9) == run(tmp_path / "b", 0, 9)


def test_another_order_and_a_new_link_are_no_matter():
    first = nablax.chain(nablax.trace(0.9), nablax.scale_by_adam(), nablax.scale(-0.1))
    second = nablax.chain(nablax.scale_by_adam(), nablax.zero_nans(), nablax.trace(0.9), nablax.scale(-0.1))
    state = first.init(PARAMS)
    _, state = first.update(gradient(PARAMS), state, PARAMS)
    found = nablax.state_dict(first, state)
    fresh = second.init(PARAMS)
    with pytest.raises(nablax.StructureError, match=r"missing: .*zero_nans.*strict=False"):
        nablax.load_state_dict(found, second, fresh)
    got = nablax.load_state_dict(found, second, fresh, strict=False)
    assert all("zero_nans" in name for name in got.report.missing)
    same(got.state[0], state[1])
    same(got.state[2], state[0])


def test_an_added_leaf_gets_a_fresh_state():
    opt = nablax.Optimizer(nablax.adam(0.1), {"a": jnp.ones(2), "gone": jnp.ones(1)})
    opt.step(gradient(opt.params))
    other = nablax.Optimizer(nablax.adam(0.1), {"a": jnp.zeros(2), "new": jnp.full(3, 7.0)})
    report = other.load_state_dict(opt.state_dict(), strict=False)
    assert report.missing == ("params/new", "adam/mu/new", "adam/nu/new")
    assert report.extra == ("params/gone", "adam/mu/gone", "adam/nu/gone")
    same(other.params, {"a": opt.params["a"], "new": jnp.full(3, 7.0)})
    same(other.state[0].mu, {"a": opt.state[0].mu["a"], "new": jnp.zeros(3)})


def test_a_new_group_takes_the_state_of_none():
    def txs(**more):
        return nablax.partition_by_path(
            {"a": nablax.sgd(0.1, momentum=0.9), **more}, default=nablax.adam(0.1)
        )

    params = {"a": jnp.ones(2), "b": jnp.ones(3), "c": jnp.ones(4)}
    opt = nablax.Optimizer(txs(), params)
    for k in range(3):
        opt.step(gradient(opt.params, k))
    other = nablax.Optimizer(txs(b=nablax.adam(0.01)), params)
    report = other.load_state_dict(opt.state_dict(), strict=False)
    group = "partition_by_path"
    assert report.missing == (f"{group}/b/count", f"{group}/b/mu/b", f"{group}/b/nu/b")
    assert report.extra == (f"{group}/default/mu/b", f"{group}/default/nu/b")
    old, new = opt.state_dict()["arrays"], other.state_dict()["arrays"]
    kept = [name for name in new if name not in report.missing]
    assert {f"{group}/default/count", f"{group}/default/mu/c", f"{group}/a/trace/a"} < set(kept)
    same([new[name] for name in kept], [old[name] for name in kept])
    assert not any(np.any(new[name]) for name in report.missing)
    a, b = opt.step(gradient(opt.params, 3)), other.step(gradient(other.params, 3))
    same([a["a"], a["c"]], [b["a"], b["c"]])


def test_a_new_version_of_an_optimizer_with_a_field_more():
    """Two versions of one rule, as before and after an upgrade; the file is of the older."""
    from nablax.core import checked, count, fields, first_moment, leafwise

    def versions():
        Old = collections.namedtuple("Old", "count mu")
        New = collections.namedtuple("New", "count slow mu")

        @checked()
        def ball():
            return leafwise(lambda g, mu: (g + mu, g + mu), fields(Old, count=count(), mu=first_moment()))

        yield ball()

        @checked()
        def ball():
            state = fields(New, count=count(), slow=first_moment(), mu=first_moment())
            return leafwise(lambda g, slow, mu: (g + mu + slow, g + slow, g + mu), state)

        yield ball()

    old, new = [nablax.Optimizer(tx, PARAMS) for tx in versions()]
    for k in range(3):
        old.step(gradient(old.params, k))
    with pytest.raises(nablax.StructureError, match="missing: ball/slow/layers/0/bias"):
        new.load_state_dict(old.state_dict())
    report = new.load_state_dict(old.state_dict(), strict=False)
    assert all(name.startswith("ball/slow/") for name in report.missing)
    assert report.extra == report.mismatched == ()
    same((new.params, new.state.count, new.state.mu), (old.params, old.state.count, old.state.mu))


def test_loading_is_all_or_nothing():
    opt = nablax.Optimizer(nablax.adam(0.1), PARAMS)
    opt.step(gradient(PARAMS))
    before = jax.tree.map(np.array, (opt.params, opt.state))
    good = nablax.Optimizer(nablax.adam(0.1), PARAMS).state_dict()
    for wrong in (
        {**good, "version": 1}, {**good, "arrays": {}}, {**good, "hyperparameters": {"adam/b1": 7.0}}, {}, None,
        {**good, "arrays": {**good["arrays"], "adam/count": np.float32(1)}},
    ):  # fmt: skip
        with pytest.raises(nablax.NablaxError):
            opt.load_state_dict(wrong)
        same((opt.params, opt.state), before)


def test_shardings_stay():
    mesh = jax.make_mesh((1,), ("data",))
    where = jax.NamedSharding(mesh, jax.P("data"))
    opt = nablax.Optimizer(nablax.adam(0.1), {"w": jax.device_put(jnp.ones(4), where)})
    opt.step({"w": jnp.ones(4)})
    opt.load_state_dict(opt.state_dict())
    assert opt.params["w"].sharding == where


# -- other libraries --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (lambda t, p: t.optim.AdamW(p, lr=0.01, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
         lambda: nablax.adamw(0.5)),
        (lambda t, p: t.optim.Adam(p, lr=0.02), lambda: nablax.adam(0.5)),
        (lambda t, p: t.optim.SGD(p, lr=0.05, momentum=0.9), lambda: nablax.sgd(0.5, momentum=0.1)),
        (lambda t, p: t.optim.Adam(p, lr=0.02, weight_decay=0.1),
         lambda: nablax.chain(nablax.add_decayed_weights(0.5), nablax.adam(0.5))),
        (lambda t, p: t.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
         lambda: nablax.chain(nablax.add_decayed_weights(0.5), nablax.sgd(0.5, momentum=0.1, nesterov=True))),
    ],
    ids=["adamw", "adam", "sgd", "adam-l2", "nesterov-l2"],
)  # fmt: skip
@pytest.mark.parametrize("as_dict", [True, False])
def test_training_goes_on_from_torch(theirs, ours, as_dict):
    torch = pytest.importorskip("torch")
    tensors = [torch.nn.Parameter(torch.linspace(-1, 1, 6).reshape(2, 3)), torch.nn.Parameter(torch.ones(3))]
    opt = theirs(torch, tensors)

    def step():
        opt.zero_grad()
        loss = ((tensors[0] * tensors[1]).sin() ** 2).sum()
        loss.backward()
        opt.step()

    for _ in range(5):
        step()
    values = [jnp.asarray(p.detach().numpy().copy()) for p in tensors]
    params = {"w": values[0], "b": values[1]} if as_dict else values
    mine = nablax.Optimizer(ours(), params)
    mine.load_state_dict(nablax.from_torch(opt.state_dict(), mine.tx, params), strict=True)

    def loss(p):
        w, b = (p["w"], p["b"]) if as_dict else p
        return jnp.sum(jnp.sin(w * b) ** 2)

    for _ in range(5):
        step()
        mine.step(jax.grad(loss)(mine.params))
    got = [mine.params["w"], mine.params["b"]] if as_dict else mine.params
    for a, b in zip(got, tensors, strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=1e-5, atol=1e-6)


def in_torch(make, *numbers, steps=2):
    """The state dict of an optimizer of torch after steps on gradients of 1, 2, ... for parameters of two entries."""
    torch = pytest.importorskip("torch")
    tensors = [torch.nn.Parameter(torch.ones(2)) for _ in numbers or (1.0, 2.0)]
    opt = make(torch.optim, tensors)
    for _ in range(steps):
        for tensor, x in zip(tensors, numbers or (1.0, 2.0), strict=True):
            tensor.grad = torch.full((2,), x)
        opt.step()
    return opt.state_dict()


def groups(o, p):
    return o.Adam([{"params": p[:1], "lr": 0.01}, {"params": p[1:], "lr": 0.1, "betas": (0.5, 0.6)}])


LEFT = [jnp.ones(2), jnp.ones(2)]


def test_groups_of_torch_keep_their_numbers():
    tx = nablax.partition({"a": nablax.adam(1.0), "b": nablax.adam(1.0)}, ["a", "b"])
    numbers = nablax.from_torch(in_torch(groups), tx, LEFT)["hyperparameters"]
    assert [numbers[f"partition/{k}/{n}"] for k in "ab" for n in ("learning_rate", "b1", "b2")] == [
        0.01, 0.9, 0.999, 0.1, 0.5, 0.6,
    ]  # fmt: skip
    with pytest.raises(nablax.StructureError, match=r"adam/learning_rate is one number.*\[0.01, 0.1\]"):
        nablax.from_torch(in_torch(groups), nablax.adam(1.0), LEFT)


def test_schedules_nested_dicts_and_fresh_optimizers_of_torch():
    def rate(count):
        return 0.1 * 0.5**count

    params = {"layers": [{"weight": jnp.ones(2), "bias": jnp.ones(2)}]}  # JAX sorts the keys, torch does not
    opt = nablax.Optimizer(nablax.adam(rate), params)
    opt.load_state_dict(nablax.from_torch(in_torch(lambda o, p: o.Adam(p)), opt.tx, params))
    assert opt.hyperparameters["learning_rate"] == pytest.approx(0.1 * 0.25)
    state = opt.state_dict()["arrays"]
    np.testing.assert_allclose(
        state["adam/mu/layers/0/weight"] * 2, state["adam/mu/layers/0/bias"], rtol=1e-6
    )
    fresh = nablax.from_torch(in_torch(lambda o, p: o.Adam(p), steps=0), nablax.adam(1.0), LEFT)
    assert nablax.Optimizer(nablax.adam(1.0), LEFT).load_state_dict(fresh).missing == ()
    decay = nablax.from_torch(in_torch(lambda o, p: o.SGD(p, momentum=0.7)), nablax.momentum(1.0), LEFT)
    assert decay["hyperparameters"]["momentum/decay"] == 0.7


@pytest.mark.parametrize(
    ("theirs", "ours", "message"),
    [
        (lambda o, p: o.Adam(p, amsgrad=True), lambda: nablax.amsgrad(1.0), "amsgrad=True"),
        (lambda o, p: o.Adam(p, maximize=True), lambda: nablax.adam(1.0), "maximize=True"),
        (lambda o, p: o.SGD(p, momentum=0.9, dampening=0.5), lambda: nablax.sgd(1.0, 0.9), "dampening=0.5"),
        (lambda o, p: o.SGD(p, momentum=0.9, nesterov=True), lambda: nablax.sgd(1.0, 0.9), "nesterov=True"),
        (lambda o, p: o.Adam(p), lambda: nablax.nadam(1.0), "nesterov=False in torch, and True"),
        (lambda o, p: o.Adam(p, weight_decay=0.1), lambda: nablax.adam(1.0), "added to the gradient"),
        (lambda o, p: o.Adam(p, weight_decay=0.1), lambda: nablax.adamw(1.0), "added to the gradient"),
        (lambda o, p: o.AdamW(p), lambda: nablax.chain(nablax.add_decayed_weights(0.1), nablax.adam(1.0)),
         "added to the update"),
        (lambda o, p: o.AdamW(p), lambda: nablax.adamw(1.0, mask=[True, False]), "1 decays in torch"),
        (lambda o, p: o.SGD(p, momentum=0.9), lambda: nablax.sgd(1.0), "momentum_buffer for 0"),
    ],
)  # fmt: skip
def test_what_cannot_go_on_as_in_torch_is_refused(theirs, ours, message):
    with pytest.raises(nablax.StructureError, match=message):
        nablax.from_torch(in_torch(theirs), ours(), LEFT)


def test_what_torch_did_not_write_is_refused():
    with pytest.raises(nablax.ArgumentError, match="param_groups"):
        nablax.from_torch({"state": {}}, nablax.adam(0.1), [jnp.ones(2)])
    groups = {"state": {}, "param_groups": [{"params": [0, 1]}]}
    with pytest.raises(nablax.StructureError, match="2 parameters, params has 1"):
        nablax.from_torch(groups, nablax.adam(0.1), [jnp.ones(2)])
    with pytest.raises(nablax.StructureError, match=r"exp_avg of 1 has shape \(2,\) in torch, \(3,\) here"):
        nablax.from_torch(in_torch(lambda o, p: o.Adam(p)), nablax.adam(0.1), [jnp.ones(2), jnp.ones(3)])


def through_orbax(tree):
    """What Orbax gives back without a target."""
    with tempfile.TemporaryDirectory() as folder, orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(f"{folder}/state", tree)
        checkpointer.wait_until_finished()
        return checkpointer.restore(f"{folder}/state")


@pytest.mark.parametrize(
    "form", [lambda s: s, flax.serialization.to_state_dict, through_orbax], ids=["object", "flax", "orbax"]
)
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (lambda: optax.adamw(optax.linear_schedule(0.1, 0, 9)),
         lambda: nablax.adamw(nablax.linear_schedule(0.1, 0, 9))),
        (lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9)),
         lambda: nablax.chain(nablax.clip_by_global_norm(1.0), nablax.sgd(0.1, momentum=0.9))),
        (lambda: optax.MultiSteps(optax.adam(0.1), 2), lambda: nablax.MultiSteps(nablax.adam(0.1), 2)),
    ],
    ids=["adamw", "chain", "steps"],
)  # fmt: skip
def test_training_goes_on_from_optax(theirs, ours, form):
    tx = theirs()
    p, s = PARAMS, tx.init(PARAMS)
    for k in range(3):
        u, s = tx.update(gradient(p, k), s, p)
        p = optax.apply_updates(p, u)
    opt = nablax.Optimizer(ours(), p)
    opt.load_state_dict(nablax.from_optax(form(s), opt.tx, p))
    for k in range(3, 6):
        u, s = tx.update(gradient(p, k), s, p)
        p = optax.apply_updates(p, u)
        opt.step(gradient(opt.params, k))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), opt.params, p)


def test_another_optimizer_of_optax_is_refused():
    state = optax.sgd(0.1, momentum=0.9).init(PARAMS)
    with pytest.raises(nablax.StructureError, match=r"state\[0\] has no entry 'count'"):
        nablax.from_optax(state, nablax.adam(0.1), PARAMS)


# -- describe ---------------------------------------------------------------------------------------------------------


def test_describe_says_who_works_on_what():
    tx = nablax.partition_by_path(
        {"bias|scale": nablax.sgd(0.1)},
        default=nablax.chain(nablax.clip_by_global_norm(1.0), nablax.adamw(0.1, weight_decay=0.2)),
    )
    opt = nablax.Optimizer(tx, PARAMS)
    found = opt.describe()
    rows = {row.name: row for row in found.leaves}
    assert rows["layers/0/bias"][3:] == ("bias|scale", "sgd", None, 0)
    assert rows["layers/0/kernel"][3:] == ("default", "clip_by_global_norm > adamw", 0.2, 48)
    held = sum(x.nbytes for x in jax.tree.leaves(opt.state))
    assert found.shared + sum(row.state_bytes for row in found.leaves) == held
    assert found.memory.total == held + 2 * sum(x.nbytes for x in jax.tree.leaves(opt.params))
    assert "default" in str(found)


@pytest.mark.parametrize("name", TXS)
def test_described_bytes_are_those_that_are_held(name):
    state = TXS[name]().init(PARAMS)
    found = nablax.describe(TXS[name](), PARAMS)
    assert found.shared + sum(row.state_bytes for row in found.leaves) == sum(
        (jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x).nbytes
        for x in jax.tree.leaves(state)
    )


def test_describe_passes_over_what_is_no_array():
    module = {"kernel": jnp.ones((2, 3)), "activation": jnp.tanh, "bias": None, "name": "dense"}
    assert [row.name for row in nablax.describe(nablax.adam(0.1), module).leaves] == ["kernel"]


def test_describe_takes_tensors_shapes_and_meshes():
    w = autograd.Parameter([1.0, 2.0])
    opt = nablax.Optimizer(nablax.adam(0.1), {"w": w})
    (w * w).sum().backward()
    opt.step()
    assert opt.describe().leaves[0].state_bytes == 16
    big = {"w": jax.ShapeDtypeStruct((2**20, 2**16), jnp.bfloat16)}
    plan = nablax.describe(nablax.adamw(1e-3), big, mesh=jax.sharding.AbstractMesh((512,), ("data",)))
    assert plan.memory.device < plan.memory.total / 2
    assert "GB" in str(plan)
