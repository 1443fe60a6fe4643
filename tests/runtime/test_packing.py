"""Packed states and flat parameters: the same numbers as leaf by leaf, in fewer arrays."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nablax
from nablax import flat_params, packed


def params():
    return {
        "w": jnp.linspace(-1, 1, 6).reshape(2, 3),
        "b": jnp.array([0.5, -0.25, 0.0]),
        "half": jnp.ones((2, 2), jnp.bfloat16),
        "large": jnp.linspace(0, 1, 40).reshape(8, 5),
        "nothing": None,
        "scalar": jnp.float32(2.0),
    }


def gradient(p):
    return jax.tree.map(lambda x: jnp.cos(3 * x) - 0.2 * x, p)


def close(a, b, rtol=1e-6):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(np.float32(x), np.float32(y), rtol=rtol, atol=1e-7), a, b
    )


TXS = {
    "adamw": lambda: nablax.adamw(0.1, weight_decay=0.1),
    "clipped": lambda: nablax.chain(nablax.clip_by_global_norm(0.5), nablax.sgd(0.1, momentum=0.9)),
    "scheduled": lambda: nablax.lion(nablax.cosine_decay_schedule(0.1, 10)),
}


@pytest.mark.parametrize("name", TXS)
@pytest.mark.parametrize("below", [1, 5, 20, 4096])
def test_packed_gives_the_same_updates(name, below):
    plain, tx = TXS[name](), packed(TXS[name](), below=below)
    p = q = params()
    s, t = plain.init(p), tx.init(q)
    for _ in range(4):
        u, s = plain.update(gradient(p), s, p)
        v, t = jax.jit(tx.update)(gradient(q), t, q)
        assert jax.tree.structure(u) == jax.tree.structure(v)
        assert [x.dtype for x in jax.tree.leaves(u)] == [x.dtype for x in jax.tree.leaves(v)]
        close(u, v)
        p, q = nablax.apply_updates(p, u), nablax.apply_updates(q, v)


def test_the_state_holds_few_arrays():
    many = [jnp.ones((3, 3)) for _ in range(50)]
    assert len(jax.tree.leaves(nablax.adamw(1e-3).init(many))) > 100
    assert len(jax.tree.leaves(packed(nablax.adamw(1e-3)).init(many))) < 5


def test_large_leaves_stay_as_they_are():
    shapes = [x.shape for x in jax.tree.leaves(packed(nablax.trace(0.9), below=20).init(params()))]
    assert sorted(shapes) == [(4,), (8, 5), (10,)]


@pytest.mark.parametrize(
    "tx",
    [nablax.lamb(1e-3), nablax.muon(1e-3), nablax.adamw(1e-3, mask={"w": True, "b": False}),
     nablax.chain(nablax.centralize(), nablax.sgd(0.1))],
    ids=["lamb", "muon", "mask", "centralize"],
)  # fmt: skip
def test_what_is_not_entrywise_is_refused(tx):
    with pytest.raises(nablax.ArgumentError, match="packed: .* does not treat every entry alike"):
        packed(tx).init({"w": jnp.ones((2, 3)), "b": jnp.ones(3)})


def test_masks_go_outside():
    def made(of):
        return nablax.partition({"decay": of(nablax.adamw(0.1, weight_decay=0.5)), "none": of(nablax.adam(0.1))},
                                {"w": "decay", "b": "none"})  # fmt: skip

    p = {"w": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": jnp.ones(3)}
    plain, tx = made(lambda tx: tx), made(packed)
    close(tx.update(gradient(p), tx.init(p), p)[0], plain.update(gradient(p), plain.init(p), p)[0])


def test_hyperparameters_of_the_inner_one_are_live():
    opt = nablax.Optimizer(packed(nablax.adam(0.1)), {"w": jnp.ones(3)})
    opt.step({"w": jnp.ones(3)})
    opt.hyperparameters["learning_rate"] = 0.0
    before = np.array(opt.params["w"])
    np.testing.assert_array_equal(opt.step({"w": jnp.ones(3)})["w"], before)
    assert opt.compilations == 1


def test_flat_params_are_a_pytree_of_vectors():
    flat = flat_params(params())
    assert sorted(x.shape for x in jax.tree.leaves(flat)) == [(4,), (50,)]
    jax.tree.map(lambda x, y: (np.testing.assert_array_equal(x, y), x.dtype == y.dtype), flat.tree, params())
    assert flat.tree["nothing"] is None
    assert jax.tree.map(lambda x: x, flat).tree["w"].shape == (2, 3)


def test_gradients_of_flat_params():
    def loss(p):
        return (
            jnp.sum(jnp.sin(p["w"]))
            + jnp.sum(p["b"] ** 2) * p["scalar"]
            + jnp.sum(p["half"].astype(jnp.float32))
        )

    flat = flat_params(params())
    got = jax.jit(jax.grad(lambda p: loss(p.tree)))(flat)
    close(got.tree, jax.grad(loss)(params()))


MANY = {
    "alike": [(2, 3)] * 40,
    "a pattern": [(2, 2), (3,), (0,), ()] * 12,
    "a rest": [(3,)] * 37 + [(5,)],
    "none alike": [(k + 1,) for k in range(33)],
    "empty": [(0,)] * 40,
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        *[(name, jnp.float32) for name in MANY],
        *[("alike", t) for t in (jnp.bfloat16, jnp.int8, jnp.bool_, jnp.complex64)],
    ],
)
def test_very_many_leaves_come_back(name, dtype):
    leaves = [
        jnp.arange(math.prod(s)).reshape(s).astype(dtype) + jnp.asarray(k % 7, dtype)
        for k, s in enumerate(MANY[name])
    ]
    flat = flat_params(leaves)
    for got in (flat.tree, jax.jit(lambda f: f.tree)(flat)):
        jax.tree.map(np.testing.assert_array_equal, got, leaves)
        assert [x.dtype for x in got] == [x.dtype for x in leaves]


def test_very_many_leaves_are_differentiated_and_batched():
    leaves = [jnp.linspace(-1, 1, 6).reshape(2, 3) * k for k in range(40)]

    def loss(p):
        return sum((k + 1) * jnp.sum(jnp.sin(x)) for k, x in enumerate(p))

    def of_flat(f):
        return loss(f.tree)

    flat = flat_params(leaves)
    close(jax.jit(jax.grad(of_flat))(flat).tree, jax.grad(loss)(leaves))
    close(jax.jvp(of_flat, (flat,), (flat,))[1], jax.jvp(loss, (leaves,), (leaves,))[1])
    two = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), flat)
    twice = [jax.tree.map(lambda x, k=k: k * x, leaves) for k in (1, 2)]
    close(jax.vmap(of_flat)(two), jnp.stack([loss(x) for x in twice]))


def test_very_many_leaves_alike_are_few_loops():
    """XLA compiles equal loops once, and that is most of what its compiler does here."""
    leaves = [jnp.full((8, 8), k / 100) for k in range(100)]
    tx = packed(nablax.adamw(1e-3))

    def loop(p, s, g):
        u, s = tx.update(g, s, p)
        return nablax.apply_updates(p, u), s

    text = jax.jit(loop).lower(leaves, tx.init(leaves), leaves).compile().as_text()
    bodies = re.findall(r"^%(fused_computation\S*) .*?\{\n(.*?)^\}", text, re.M | re.S)
    plain = {re.sub(r"%[\w.\-]+|, metadata=\{[^}]*\}", "", body) for _, body in bodies}
    assert len(bodies) > 100
    assert len(plain) < 40


def test_flat_params_follow_the_tree():
    tx = nablax.adamw(0.1)
    p, flat = params(), flat_params(params())
    s, t = tx.init(p), tx.init(flat)
    for _ in range(3):
        u, s = tx.update(gradient(p), s, p)
        v, t = tx.update(flat.like(gradient(flat.tree)), t, flat)
        p, flat = nablax.apply_updates(p, u), nablax.apply_updates(flat, v)
    close(flat.tree, p, 1e-5)


def test_another_tree_is_refused():
    flat = flat_params(params())
    with pytest.raises(nablax.StructureError, match="structure"):
        flat.like({"w": jnp.ones((2, 3))})
    with pytest.raises(nablax.StructureError, match=r"shape \(2, 3\)"):
        flat.like({**params(), "w": jnp.ones((3, 2))})
    with pytest.raises(nablax.StructureError, match="None"):
        flat.like({**params(), "w": None})
    with pytest.raises(nablax.ArgumentError, match="no array"):
        flat_params({"a": None})


def test_a_packed_optimizer_is_as_an_unpacked_one():
    tx = nablax.chain(nablax.clip_by_global_norm(0.5), nablax.adamw(0.1))
    plain, opt = (
        nablax.Optimizer(tx, params(), metrics=True),
        nablax.Optimizer(tx, params(), metrics=True, packed=True),
    )
    for _ in range(4):
        p, q = plain.step(gradient(plain.params)), opt.step(gradient(opt.params))
        assert jax.tree.structure(p) == jax.tree.structure(q)
        close(p, q, 1e-5)
    assert opt.params is opt.params
    assert opt.describe() == plain.describe()
    close(opt.copy_params(), p, 1e-5)
    for name in ("gradient_norm", "update_norm", "parameter_norm"):
        np.testing.assert_allclose(opt.metrics[name], plain.metrics[name], rtol=1e-5)
    assert len(jax.tree.leaves(opt.state)) < len(jax.tree.leaves(plain.state))
    assert opt.compilations == 1


def test_a_packed_optimizer_resumes():
    opt = nablax.Optimizer(nablax.adam(0.1), params(), packed=True)
    opt.step(gradient(opt.params))
    saved = opt.state_dict()
    want = opt.step(gradient(opt.params))
    other = nablax.Optimizer(nablax.adam(0.1), params(), packed=True)
    other.load_state_dict(saved)
    jax.tree.map(np.testing.assert_array_equal, other.step(gradient(other.params)), want)


WAYS = {
    "plain": lambda tx, p: nablax.Optimizer(tx, p),
    "packed": lambda tx, p: nablax.Optimizer(tx, p, packed=True),
    "flat": lambda tx, p: nablax.Optimizer(tx, flat_params(p)),
    "packed state": lambda tx, p: nablax.Optimizer(packed(tx), p),
}


def plain_tree(p):
    return getattr(p, "tree", p)


@pytest.mark.parametrize(("old", "new"), [(o, n) for o in WAYS for n in WAYS if "packed state" not in (o, n)])
def test_a_file_does_not_say_how_leaves_lay_in_memory(old, new, tmp_path):
    tx = nablax.chain(nablax.trace(0.9), nablax.adamw(0.1))
    opt = WAYS[old](tx, params())
    for _ in range(2):
        opt.step(gradient(plain_tree(opt.params)))
    opt.save(tmp_path / "x")
    names = list(nablax.load(tmp_path / "x"))
    assert {"params/w", "trace/trace/w", "adamw/mu/w"} <= set(names)
    assert sorted(names) == sorted(WAYS["plain"](tx, params()).state_dict()["arrays"])
    other = WAYS[new](tx, jax.tree.map(jnp.zeros_like, params()))
    assert other.load(tmp_path / "x") == ((), (), (), ())
    assert jax.tree.structure(other.state) == jax.tree.structure(WAYS[new](tx, params()).state)
    same = opt if old == new else WAYS[old](tx, params())
    same.load(tmp_path / "x")
    for _ in range(3):
        a, b = (plain_tree(o.step(gradient(plain_tree(o.params)))) for o in (same, other))
        jax.tree.map(np.testing.assert_array_equal, a, b)


def test_an_optimizer_of_flat_parameters_takes_flat_and_plain_gradients():
    p = params()
    opt, plain = nablax.Optimizer(nablax.adam(0.1), flat_params(p)), nablax.Optimizer(nablax.adam(0.1), p)
    got = opt.step(opt.params.like(gradient(opt.params.tree)))
    got = opt.step(gradient(got.tree))
    for _ in range(2):
        want = plain.step(gradient(plain.params))
    close(got.tree, want, 1e-5)


def test_train_step_gives_the_loss_its_tree():
    def loss(p, x):
        return jnp.mean((jnp.tanh(x @ p["w"] + p["b"])) ** 2)

    p, x = {"w": jnp.full((2, 3), 0.3), "b": jnp.ones(3)}, jnp.array([[1.0, 2.0], [-1.0, 0.5]])
    tx = nablax.adamw(0.1)
    plain, flat = nablax.train_step(loss, tx), nablax.train_step(loss, tx, microbatches=2)
    f, s, t = flat_params(p), tx.init(p), tx.init(flat_params(p))
    for _ in range(3):
        p, s, m = plain(p, s, x)
        f, t, n = flat(f, t, x)
        np.testing.assert_allclose(m["loss"], n["loss"], rtol=1e-5)
    close(f.tree, p, 1e-5)


def test_flat_parameters_refuse_what_is_not_entrywise():
    flat = flat_params({"w": jnp.ones((2, 3)), "b": jnp.ones(3)})
    with pytest.raises(nablax.ArgumentError, match="Optimizer: lamb"):
        nablax.Optimizer(nablax.lamb(1e-3), flat)
    tx = nablax.lamb(1e-3)
    step = nablax.train_step(lambda p: jnp.sum(p["w"] ** 2), tx)
    with pytest.raises(nablax.ArgumentError, match="train_step: lamb"):
        step(flat, tx.init(flat))
    with pytest.raises(nablax.ArgumentError, match="tree of arrays"):
        nablax.Optimizer(nablax.adam(1e-3), flat, packed=True)
