"""Gradient accumulation: the mean, once per k, in enough precision, and never poisoned."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nablax.core import ArgumentError, GradientTransformation, HyperparameterError, chain
from nablax.optimizers import adam, sgd
from nablax.transforms import (
    MultiSteps,
    apply_every,
    clip_by_global_norm,
    skip_large_updates,
    skip_not_finite,
    trace,
)


def steps(tx, gradients, params=None):
    params = jnp.zeros_like(gradients[0]) if params is None else params
    state, updates = tx.init(params), []
    for g in gradients:
        u, state = tx.update(g, state, params)
        updates.append(u)
    return updates, state


def test_equals_one_step_on_the_mean():
    gradients = list(np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32))
    inner = chain(clip_by_global_norm(0.1), trace(0.9))
    got, _ = steps(MultiSteps(inner, 3), gradients)
    expected, _ = steps(inner, [np.mean(gradients[:3], 0), np.mean(gradients[3:], 0)])
    np.testing.assert_array_equal(np.array(got)[[0, 1, 3, 4]], 0)
    np.testing.assert_allclose(np.array(got)[[2, 5]], expected, rtol=1e-5)


def counting():
    """A transformation that counts, on the host, how often it really runs."""
    calls = []

    def update(updates, state, params=None):
        jax.debug.callback(lambda: calls.append(1))
        return updates, state + 1

    return GradientTransformation(lambda params: jnp.array(0), update), calls


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_trap_inner_transformation_runs_once_per_k(wrap):
    inner, calls = counting()
    tx = MultiSteps(inner, 4)
    update, state = wrap(tx.update), tx.init(jnp.zeros(2))
    for _ in range(8):
        _, state = update(jnp.ones(2), state)
    jax.effects_barrier()
    assert len(calls) == 2
    assert int(state.inner_opt_state) == 2


def test_trap_one_nan_does_not_poison_the_accumulator():
    nan, one = jnp.array([jnp.nan, 1.0]), jnp.ones(2)
    updates, state = steps(MultiSteps(sgd(1.0), 2), [nan, one, one, one])
    np.testing.assert_array_equal(updates[3], [-1.0, -1.0])
    np.testing.assert_array_equal(state.acc_grads, [0.0, 0.0])
    updates, _ = steps(apply_every(2), [nan, one, one, one])
    np.testing.assert_array_equal(updates[3], [2.0, 2.0])


def test_trap_skipped_nan_leaves_no_trace():
    tx = MultiSteps(sgd(1.0), 2, should_skip_update_fn=skip_not_finite)
    nan, one = jnp.array([jnp.nan, 1.0]), jnp.ones(2)
    updates, state = steps(tx, [one, nan, 3 * one])
    np.testing.assert_array_equal(updates, [[0, 0], [0, 0], [-2, -2]])
    assert int(state.gradient_step) == 1
    assert int(state.skip_state["num_not_finite"]) == 0


def test_trap_imaginary_parts_and_float64_are_kept():
    updates, _ = steps(MultiSteps(sgd(1.0), 2), [jnp.array([1 + 2j]), jnp.array([3 + 4j])])
    np.testing.assert_allclose(updates[1], [-2 - 3j])
    with jax.enable_x64(True):
        tiny = jnp.array([1.0 + 1e-12])
        updates, state = steps(MultiSteps(sgd(1.0), 2), [tiny, tiny])
        assert state.acc_grads.dtype == jnp.float64
        np.testing.assert_allclose(updates[1] + 1, -1e-12, rtol=1e-3)


def test_bfloat16_gradients_are_summed_in_float32():
    one = jnp.ones(1, jnp.bfloat16)
    updates, state = steps(MultiSteps(sgd(1.0), 1000, use_grad_mean=False), [one] * 1000)
    assert updates[-1].dtype == jnp.bfloat16
    assert state.acc_grads.dtype == jnp.float32
    np.testing.assert_array_equal(
        updates[-1].astype(np.float32), -1000.0
    )  # in bfloat16 the sum stalls at 256
    updates, _ = steps(apply_every(1000), [one] * 1000)
    np.testing.assert_array_equal(updates[-1].astype(np.float32), 1000.0)


def test_has_updated_and_schedule_of_k():
    tx = MultiSteps(sgd(1.0), lambda n: jnp.where(n == 0, 1, 3))
    state, updated = tx.init(jnp.zeros(1)), []
    for _ in range(7):
        _, state = tx.update(jnp.ones(1), state)
        updated.append(bool(tx.has_updated(state)))
    assert updated == [True, False, False, True, False, False, True]


def test_frozen_leaves_of_gradients_stay_none():
    tx = MultiSteps(sgd(1.0), 1)
    params = {"w": jnp.ones(1), "frozen": jnp.ones(1)}
    updates, _ = tx.update({"w": jnp.ones(1), "frozen": None}, tx.init(params), params)
    assert updates["frozen"] is None
    np.testing.assert_array_equal(updates["w"], [-1.0])


def test_skip_large_updates():
    for norm, skips in ((1.0, False), (3.0, True), (jnp.nan, True)):
        skip, info = skip_large_updates([jnp.array([norm])], 0, None, 4.0)
        assert bool(skip) is bool(info["should_skip"]) is skips
        expected = optax.skip_large_updates([jnp.array([norm])], 0, None, 4.0)
        jax.tree.map(np.testing.assert_array_equal, (skip, info), expected)


def test_errors():
    with pytest.raises(HyperparameterError, match="MultiSteps: every_k_schedule must be at least 1, got 0"):
        MultiSteps(sgd(1.0), 0)
    with pytest.raises(ArgumentError, match="every_k_schedule"):
        MultiSteps(sgd(1.0), "two")
    with pytest.raises(HyperparameterError, match="apply_every: k must be at least 1"):
        apply_every(0)


@pytest.mark.parametrize("params", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("gradient", [jnp.float32, jnp.bfloat16])
def test_multi_steps_gives_updates_the_dtype_that_the_inner_transformation_gives(gradient, params):
    p, g, tx = jnp.ones(2, params), jnp.ones(2, gradient), adam(0.1)
    expected = tx.update(g, tx.init(p), p)[0].dtype
    steps = MultiSteps(tx, 2)
    state = steps.init(p)
    for _ in range(2):
        eager, _ = steps.update(g, state, p)
        updates, state = jax.jit(steps.update)(g, state, p)
        assert updates.dtype == eager.dtype == expected
