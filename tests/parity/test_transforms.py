"""Transformations against the installed Optax: the same updates and the same states, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.transform_cases import CASES, OURS, THEIRS

STEPS = 20
SHAPES = [(), (2, 3)]


def trees(leaf):
    """Tuples of a leaf and any nesting of leaves and Nones; few shapes, so that programs are shared."""
    inner = st.recursive(
        leaf | st.none(),
        lambda children: (
            st.lists(children, max_size=3) | st.dictionaries(st.sampled_from("xyz"), children, max_size=3)
        ),
        max_leaves=4,
    )
    return st.tuples(leaf, inner)


def random_like(shapes, dtype, seed):
    rng = np.random.default_rng(seed)

    def leaf(shape):
        x = rng.normal(size=shape)
        if np.issubdtype(dtype, np.complexfloating):
            x = x + 1j * rng.normal(size=shape)
        return jnp.asarray(x, dtype)

    return jax.tree.map(
        leaf, shapes, is_leaf=lambda x: isinstance(x, tuple) and all(isinstance(n, int) for n in x)
    )


def run(update, state, params, gradients, values):
    """Updates and states of all steps; the parameters follow the updates."""
    updates_and_states = []
    for grads, value in zip(gradients, values, strict=True):
        updates, state = update(grads, state, params, value=value)
        params = optax.apply_updates(params, jax.tree.map(lambda u: 0.1 * u, updates))
        updates_and_states.append((updates, state))
    return updates_and_states


def names(tree):
    """The classes of all NamedTuples of a tree, by path; nodes of masked leaves aside, see docs/differences.md."""
    found = []
    todo = [("", tree)]
    while todo:
        path, node = todo.pop()
        if isinstance(node, tuple) and hasattr(node, "_fields") and type(node).__name__ != "MaskedNode":
            found.append((path, type(node).__name__, node._fields))
        if isinstance(node, tuple | list):
            todo += [(f"{path}.{i}", child) for i, child in enumerate(node)]
        elif isinstance(node, dict):
            todo += [(f"{path}.{k}", child) for k, child in node.items()]
    return sorted(found, key=lambda item: item[0])


def assert_same(mine, reference, rtol):
    assert names(mine) == names(reference)
    left, right = jax.tree.leaves_with_path(mine), jax.tree.leaves_with_path(reference)
    assert [path for path, _ in left] == [path for path, _ in right]
    for (path, a), (_, b) in zip(left, right, strict=True):
        where = jax.tree_util.keystr(path)
        assert a.dtype == b.dtype, where
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape, where
        scale = np.max(np.abs(b), initial=0.1, where=np.isfinite(b)) if b.dtype.kind in "fc" else 0
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale, err_msg=where)


def compare(name, shapes, dtype, seed, rtol):
    params = random_like(shapes, dtype, seed)
    if name == "keep_params_nonnegative":
        params = jax.tree.map(jnp.abs, params)
    gradients = [random_like(shapes, dtype, (seed, t)) for t in range(1, STEPS + 1)]
    if name in ("zero_nans", "apply_if_finite"):
        for t in (2, 3, 4, 9):
            gradients[t] = (gradients[t][0] * jnp.nan, gradients[t][1])
    values = np.abs(np.random.default_rng(seed).normal(size=STEPS)).astype(np.float32)
    mine, reference = (optax.with_extra_args_support(CASES[name](o)) for o in (OURS, THEIRS))
    mine = run(mine.update, mine.init(params), params, gradients, values)
    reference = run(jax.jit(reference.update), reference.init(params), params, gradients, values)
    for step, (a, b) in enumerate(zip(mine, reference, strict=True)):
        try:
            assert_same(a, b, rtol)
        except AssertionError as e:
            raise AssertionError(f"step {step}: {e}") from e


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=3)
@given(shapes=trees(st.sampled_from(SHAPES)), seed=st.integers(0, 99))
def test_random_trees(name, shapes, seed):
    compare(name, shapes, np.float32, seed, 1e-6)


FIXED = ((2, 3), {"x": (2, 3), "y": [(), None]})


# Optax injects the values of schedules as float32 there.
@pytest.mark.parametrize("name", sorted(set(CASES) - {"inject_hyperparams"}))
def test_float64(name):
    with jax.enable_x64(True):
        compare(name, FIXED, np.float64, 1, 1e-12)
