"""nablax.tree against optax.tree: the same names, signatures and, on random trees, values."""

import inspect
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nablax import tree

OPTAX_NAMES = sorted(name for name in dir(optax.tree) if not name.startswith("_"))


def test_there_are_35_names():
    assert len(OPTAX_NAMES) == 35


@pytest.mark.parametrize("name", OPTAX_NAMES)
def test_name_and_signature(name):
    ours, theirs = (
        inspect.signature(getattr(module, name)).parameters.values() for module in (tree, optax.tree)
    )
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs]


def test_named_tuple_key():
    ours, theirs = (cls("State", "mu") for cls in (tree.NamedTupleKey, optax.tree_utils.NamedTupleKey))
    assert (ours.tuple_name, ours.name, str(ours), repr(ours)) == (
        theirs.tuple_name,
        theirs.name,
        str(theirs),
        repr(theirs),
    )


class Pair(NamedTuple):
    first: object
    second: object


LEAVES = st.sampled_from([(), (2,), (0,), "scalar", None])
SHAPES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        st.lists(inner, max_size=2),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=6,
)


def fill(shapes, dtype, seed):
    """A tree of numbers in the given shapes, away from 0."""
    rng = np.random.default_rng(seed)

    def one(shape):
        if shape is None:
            return None
        if shape == "scalar":
            return float(rng.uniform(0.5, 2.0))
        x = rng.uniform(0.5, 2.0, shape) * rng.choice([-1, 1], shape)
        if jnp.issubdtype(dtype, jnp.complexfloating):
            x = x + 1j * rng.uniform(-1, 1, shape)
        return jnp.asarray(x, dtype)

    def is_shape(s):
        return s is None or isinstance(s, str) or type(s) is tuple

    return jax.tree.map(one, shapes, is_leaf=is_shape)


def assert_same(ours, theirs, rtol):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert jnp.shape(a) == jnp.shape(b)
        assert jnp.result_type(a) == jnp.result_type(b)
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


EVERY_DTYPE = {
    "add": lambda t, x, y: t.add(x, y, x),
    "sub": lambda t, x, y: t.sub(x, y),
    "mul": lambda t, x, y: t.mul(x, y),
    "div": lambda t, x, y: t.div(x, y),
    "scale": lambda t, x, y: t.scale(-1.7, x),
    "add_scale": lambda t, x, y: t.add_scale(x, 0.3, y),
    "where": lambda t, x, y: t.where(jnp.array(False), x, y),
    "conj": lambda t, x, y: t.conj(x),
    "real": lambda t, x, y: t.real(x),
    "batch_shape": lambda t, x, y: t.batch_shape(x, (2,)),
    "allclose": lambda t, x, y: [t.allclose(x, x), t.allclose(x, y)],
    "vdot": lambda t, x, y: t.vdot(x, y),
    "sum": lambda t, x, y: [t.sum(x), t.sum(x, True)],
    "size": lambda t, x, y: t.size(x),
    # norms with one element more, as Optax's norm of no elements may be an integer, or -inf
    "norm": lambda t, x, y: [t.norm([x, 1.0]), t.norm([x, 1.0], 2, squared=True)],
    "norm_1": lambda t, x, y: t.norm([x, 1.0], 1),
    "norm_inf": lambda t, x, y: [t.norm([x, 1.0], "inf"), t.norm([x, 1.0], np.inf, squared=True)],
    "cast_like": lambda t, x, y: t.cast_like(x, y),
    "likes": lambda t, x, y: [
        t.zeros_like(x),
        t.ones_like(x),
        t.full_like(x, 0.3),
        t.zeros_like(x, jnp.bfloat16),
    ],
    "update_moment": lambda t, x, y: [t.update_moment(x, t.zeros_like(y), 0.999, k) for k in (1, 2)],
    "update_moment_per_elem_norm": lambda t, x, y: t.update_moment_per_elem_norm(x, t.real(y), 0.999, 2),
    "update_infinity_moment": lambda t, x, y: t.update_infinity_moment(x, t.real(y), 0.9, 1e-8),
    "bias_correction": lambda t, x, y: t.bias_correction(x, 0.9, jnp.int32(3)),
    "split_key_like": lambda t, x, y: t.unwrap_random_key_data(t.split_key_like(jax.random.key(0), x)),
}
REAL_ONLY = {
    "max": lambda t, x, y: [t.max(x), t.min(x)],
    "clip": lambda t, x, y: [t.clip(x, -0.5, 1.0), t.clip(x, max_value=0.1), t.clip(x)],
    "dtype": lambda t, x, y: [
        jnp.zeros((), t.dtype(x, handler)) for handler in ("promote", "highest", "lowest")
    ],
}
CASES = [
    *((name, "complex64") for name in EVERY_DTYPE),
    *((name, "float32") for name in [*REAL_ONLY, "add", "vdot", "sum", "norm", "norm_1", "norm_inf"]),
    *((name, "float32") for name in EVERY_DTYPE if "moment" in name),
]


@settings(max_examples=8)
@given(shapes=SHAPES, seed=st.integers(0, 2**16))
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_values_on_random_trees(name, dtype, shapes, seed):
    function = {**EVERY_DTYPE, **REAL_ONLY}[name]
    x, y = fill(shapes, dtype, seed), fill(shapes, dtype, seed + 1)
    assert_same(function(tree, x, y), function(optax.tree, x, y), rtol=1e-6)


@settings(max_examples=5)
@given(shapes=SHAPES, seed=st.integers(0, 2**16))
def test_values_in_float64(shapes, seed):
    with jax.enable_x64(True):
        x, y = fill(shapes, "float64", seed), fill(shapes, "float64", seed + 1)
        for name in ("add_scale", "vdot", "norm", "update_moment"):
            function = EVERY_DTYPE[name]
            assert_same(function(tree, x, y), function(optax.tree, x, y), rtol=1e-12)


def test_random_like_draws_the_same_numbers():
    target = fill({"a": (2,), "b": [(2,), None]}, "float32", 0)
    ours, theirs = (t.random_like(jax.random.key(7), target) for t in (tree, optax.tree))
    assert_same(ours, theirs, rtol=0)


@pytest.mark.parametrize("key", ["count", "mu", "w", "learning_rate", "ScaleByAdamState", "absent"])
def test_states_of_optax_are_searched_alike(key):
    tx = optax.chain(
        optax.inject_hyperparams(optax.adam)(learning_rate=lambda count: 1 / (count + 1)), optax.trace(0.9)
    )
    state = tx.init({"w": jnp.ones(2), "b": jnp.ones(())})

    def as_set(found):
        return {(jax.tree_util.keystr(path), repr(value)) for path, value in found}

    ours, theirs = (as_set(t.get_all_with_path(state, key)) for t in (tree, optax.tree))
    assert ours == theirs


@pytest.mark.parametrize("key", ["learning_rate", "mu", "w", "trace", "ScaleByAdamState"])
def test_states_of_optax_are_set_alike(key):
    tx = optax.chain(optax.scale_by_adam(), optax.trace(0.9), optax.inject_hyperparams(optax.sgd)(0.1))
    state = tx.init({"w": jnp.ones(2)})
    assert_same(*(t.set(state, **{key: jnp.ones(())}) for t in (tree, optax.tree)), rtol=0)


def test_set_replaces_a_name_inside_a_state_that_has_it_too():
    # Optax documents this too, but does not look inside a state where it replaced a field.
    state = optax.inject_hyperparams(optax.adam)(0.1).init(jnp.ones(2))
    new = tree.set(state, count=7)
    assert (new.count, new.inner_state[0].count) == (7, 7)
    assert optax.tree.set(state, count=7).inner_state[0].count == 0
