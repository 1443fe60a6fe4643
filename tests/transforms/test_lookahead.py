"""Lookahead against its two equations."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nablax.optax
from nablax.core import (
    ArgumentError,
    GradientTransformation,
    HyperparameterError,
    StructureError,
    apply_updates,
)
from nablax.optimizers import sgd
from nablax.transforms import LookaheadParams, lookahead, scale, trace


def run(module, reset, steps=7):
    fast = module.chain(module.trace(0.9), module.scale(-0.1))
    tx = module.lookahead(fast, 3, 0.5, reset_state=reset)
    params = module.LookaheadParams.init_synced({"w": jnp.array([1.0, -2.0])})
    state, seen = tx.init(params), []
    for _ in range(steps):
        updates, state = tx.update(params.fast, state, params)
        params = optax.apply_updates(params, updates)
        seen.append(jax.tree.leaves((params, state)))
    return seen


@pytest.mark.parametrize("reset", [False, True])
def test_like_optax(reset):
    for mine, theirs in zip(run(nablax.optax, reset), run(optax, reset), strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_trap_extra_arguments_reach_the_fast_optimizer():
    inner = GradientTransformation(lambda params: (), lambda g, s, p=None, *, value: (value * g, s))
    tx = lookahead(inner, 2, 0.5)
    params = LookaheadParams.init_synced(jnp.ones(1))
    updates, _ = tx.update(jnp.ones(1), tx.init(params), params, value=3.0)
    np.testing.assert_array_equal(updates.fast, [3.0])


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_trap_reset_clears_nan(wrap):
    tx = lookahead(trace(0.9), 2, 0.0, reset_state=True)
    params = LookaheadParams.init_synced(jnp.zeros(1))
    state, update = tx.init(params), wrap(tx.update)
    for g in (jnp.array([jnp.nan]), jnp.ones(1)):
        _, state = update(g, state, params)
    np.testing.assert_array_equal(state.fast_state.trace, [0.0])


def test_bfloat16_and_frozen_leaves():
    tx = lookahead(sgd(1.0), 1, 0.5)
    params = LookaheadParams.init_synced({"w": jnp.ones(1, jnp.bfloat16), "f": jnp.ones(1)})
    updates, state = tx.update({"w": jnp.ones(1, jnp.bfloat16), "f": None}, tx.init(params), params)
    assert updates.slow["f"] is None
    assert updates.fast["w"].dtype == jnp.bfloat16
    after = apply_updates(params, updates)
    np.testing.assert_array_equal(after.slow["w"].astype(np.float32), [0.5])
    np.testing.assert_array_equal(after.fast["w"], after.slow["w"])
    assert int(state.steps_since_sync) == 0


def test_errors():
    with pytest.raises(ArgumentError, match="lookahead: params must be LookaheadParams"):
        lookahead(scale(1.0), 2, 0.5).update(jnp.ones(1), None)
    with pytest.raises(HyperparameterError, match="lookahead: sync_period must be at least 1, got 0"):
        lookahead(scale(1.0), 0, 0.5)


def test_trees_that_differ_are_named():
    tx, params = lookahead(sgd(0.1), 2, 0.5), LookaheadParams.init_synced({"a": jnp.ones(2), "b": None})
    with pytest.raises(
        StructureError, match=r"^lookahead: updates, params.fast and params.slow differ at \['b'\]"
    ):
        tx.update({"a": jnp.ones(2), "b": jnp.ones(1)}, tx.init(params), params)
