"""flatten: one buffer for each dtype of the parameters."""

import jax
import jax.numpy as jnp
import numpy as np

from nablax.transforms import flatten, scale, trace


def test_trap_mixed_dtypes_get_a_buffer_each():
    params = {
        "a": jnp.ones(2, jnp.bfloat16),
        "b": jnp.ones((2, 2)),
        "c": jnp.ones(1, jnp.bfloat16),
        "d": jnp.ones(()),
    }
    tx = flatten(trace(0.5))
    state = tx.init(params)
    assert {k: (v.shape, v.dtype) for k, v in state.trace.items()} == {
        "bfloat16": ((3,), jnp.bfloat16),
        "float32": ((5,), jnp.float32),
    }
    # The layout is that of the parameters, whatever the dtypes of the gradients.
    grads = jax.tree.map(lambda p: jnp.full(p.shape, 2.0, jnp.float32), params)
    for expected in (2.0, 3.0):
        updates, state = jax.jit(tx.update)(grads, state, params)
        assert jax.tree.map(jnp.shape, updates) == jax.tree.map(jnp.shape, grads)
        for u in jax.tree.leaves(updates):
            assert u.dtype == jnp.float32
            np.testing.assert_array_equal(u, jnp.full_like(u, expected))
    assert state.trace["bfloat16"].dtype == jnp.bfloat16


def test_trap_a_tree_without_leaves():
    tx = flatten(trace(0.5))
    for empty in ({}, (), [None]):
        updates, _ = tx.update(empty, tx.init(empty), empty)
        assert updates == empty


def test_order_of_leaves_survives():
    grads = {"b": jnp.arange(6.0).reshape(2, 3), "a": jnp.array(-1.0), "e": jnp.zeros((0, 2)), "n": None}
    tx = flatten(scale(2.0))
    updates, _ = tx.update(grads, tx.init(grads))
    jax.tree.map(lambda u, g: np.testing.assert_array_equal(u, 2 * g), updates, grads)
