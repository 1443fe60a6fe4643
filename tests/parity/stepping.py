"""Two transformations, 20 steps over the same gradients: one compiled program, many draws of the numbers."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

STEPS = 20
DRAWS = 4  # of the numbers, for each program: the compiler is what costs


@dataclass(frozen=True)
class Case:
    """A pair to compare.

    tol: of float32, relative to the largest entry that a leaf has over all steps; ten times as much for the state.
    float64: the same there. states: whether states are compared.
    """

    mine: Any
    theirs: Any
    tol: float = 1e-6
    float64: float = 1e-12
    states: bool = True


def table(*named):
    """A dict of `(name or name-label, what)`; test_every_name.py reads off which names are compared."""
    found = dict(named)
    assert len(found) == len(named), "two cases of one name"
    return found


def names(cases):
    """The public names that a table compares: `a b-label` stands for a and b."""
    return {name for case in cases for name in case.split("-")[0].split()}


def _is_shape(x):
    return isinstance(x, tuple) and all(isinstance(n, int) for n in x)


def random_like(shapes, dtype, rng):
    """A tree of arrays for a tree of shapes."""

    def normal(shape):
        x = rng.normal(size=shape)
        if np.issubdtype(dtype, np.complexfloating):
            x = x + 1j * rng.normal(size=shape)
        return np.asarray(x, dtype)

    return jax.tree.map(normal, shapes, is_leaf=_is_shape)


def draw(shapes, dtype, seed):
    """Parameters, the gradients of all steps, values of the loss."""
    rng = np.random.default_rng(seed)
    params = random_like(shapes, dtype, rng)
    grads = random_like(jax.tree.map(lambda s: (STEPS, *s), shapes, is_leaf=_is_shape), dtype, rng)
    return params, grads, np.asarray(1 + 0.3 * np.abs(rng.normal(size=STEPS)), np.finfo(dtype).dtype)


def _loss(params):
    return sum(jnp.sum((i + 1.0) * jnp.abs(x) ** 2) for i, x in enumerate(jax.tree.leaves(params)))


def _run(tx, params, grads, values):
    """The updates of all steps and the last state; the parameters follow the updates."""
    tx = optax.with_extra_args_support(tx)

    def step(carry, seen):
        params, state = carry
        g, value = seen
        updates, state = tx.update(g, state, params, value=value, obj_fn=_loss)
        return (optax.apply_updates(params, updates), state), updates

    (_, state), updates = jax.lax.scan(step, (params, tx.init(params)), (grads, values))
    return updates, state


def compare(case, draws, tol):
    """Asserts that both give the same updates at all steps and the same last state, for all draws of one tree."""
    both = jax.jit(lambda *data: (_run(case.mine, *data), _run(case.theirs, *data)))
    for data in draws:
        (updates, state), (their_updates, their_state) = jax.device_get(both(*data))
        assert_same(updates, their_updates, tol, "updates")
        assert_same(state, their_state, 10 * tol if case.states else None, "state")


def assert_same(mine, theirs, tol, what=""):
    """The same structure, shapes and kinds of number, and values to `tol` of the largest of a leaf, or any for None."""
    left, right = jax.tree.leaves_with_path(mine), jax.tree.leaves_with_path(theirs)
    assert [jax.tree_util.keystr(p) for p, _ in left] == [jax.tree_util.keystr(p) for p, _ in right], what
    for (path, a), (_, b) in zip(left, right, strict=True):
        where = what + jax.tree_util.keystr(path)
        if jnp.issubdtype(jnp.result_type(a), jax.dtypes.prng_key):
            assert tol is None or np.array_equal(jax.random.key_data(a), jax.random.key_data(b)), where
            continue
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape, where
        # Optax holds |g|^2 of complex numbers as complex numbers, and counts in int64 where x64 is on.
        assert a.dtype in (b.dtype, b.real.dtype) or a.dtype.kind == b.dtype.kind == "i", where
        if tol is None:
            continue
        a, b = a.astype(complex), b.astype(complex)
        finite = np.isfinite(b)
        np.testing.assert_array_equal(a[~finite], b[~finite], where)
        error = np.max(np.abs(a - b), initial=0, where=finite)
        assert error <= tol * np.max(np.abs(b), initial=0, where=finite), f"{where}: off by {error}"
