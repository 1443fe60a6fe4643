"""nablax.tree against optax.tree: the same names, signatures and, on random trees, values."""

import inspect
from types import SimpleNamespace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nablax import tree
from parity.tree_cases import CASES, EVERY_DTYPE, REAL_ONLY, STATES

THEIRS = SimpleNamespace(**{**vars(optax.tree_utils), **vars(optax.tree)})
OPTAX_NAMES = sorted(name for name in dir(optax.tree) if not name.startswith("_"))


def test_there_are_35_names():
    assert len(OPTAX_NAMES) == 35


@pytest.mark.parametrize("name", OPTAX_NAMES)
def test_name_and_signature(name):
    ours, theirs = (
        inspect.signature(getattr(module, name)).parameters.values() for module in (tree, optax.tree)
    )
    assert [(p.name, p.kind, p.default) for p in ours] == [(p.name, p.kind, p.default) for p in theirs]


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


@pytest.mark.parametrize("name", STATES)
def test_states_of_optax(name):
    mine, theirs = (STATES[name](t) for t in (tree, THEIRS))
    assert_same(mine, theirs, rtol=0)


def test_set_replaces_a_name_inside_a_state_that_has_it_too():
    # Optax documents this too, but does not look inside a state where it replaced a field.
    state = optax.inject_hyperparams(optax.adam)(0.1).init(jnp.ones(2))
    new = tree.set(state, count=7)
    assert (new.count, new.inner_state[0].count) == (7, 7)
    assert optax.tree.set(state, count=7).inner_state[0].count == 0
