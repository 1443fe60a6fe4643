"""Hyperparameters in the state: which are injected, in what precision, and how they change."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nablax.core import ArgumentError, HyperparameterError, chain, set_to_zero
from nablax.optimizers import adafactor, adam, adamw, scale_by_adam
from nablax.schedules import linear_schedule
from nablax.transforms import (
    clip,
    inject_hyperparams,
    inject_stateful_hyperparams,
    scale,
    scale_by_learning_rate,
)


def test_trap_bfloat16_parameters_do_not_round_the_hyperparameters():
    tx = inject_hyperparams(adam)(0.1)
    params = jnp.ones(2, jnp.bfloat16)
    state = tx.init(params)
    assert state.hyperparams["b2"].dtype == jnp.float32
    updates, _ = tx.update(params, state)
    np.testing.assert_allclose(updates.astype(np.float32), -0.1, rtol=1e-2)


def test_trap_a_mask_that_is_a_function_is_no_schedule():
    tx = inject_hyperparams(adamw)(1.0, eps=1.0, weight_decay=0.1, mask=lambda p: {"w": True, "b": False})
    params = {"w": jnp.ones(1), "b": jnp.ones(1)}
    state = tx.init(params)
    assert set(state.hyperparams_states) == set()
    updates, _ = tx.update({"w": jnp.zeros(1), "b": jnp.zeros(1)}, state, params)
    np.testing.assert_allclose(updates["w"], -0.1, rtol=1e-6)
    np.testing.assert_array_equal(updates["b"], 0.0)


@pytest.mark.parametrize(
    "rate", [0.5, np.float32(0.5), np.float64(0.5), np.array(0.5), jnp.array(0.5), jnp.bfloat16(0.5)]
)
def test_trap_every_real_scalar_is_injected(rate):
    state = inject_hyperparams(adam)(rate).init(jnp.ones(1))
    assert state.hyperparams["learning_rate"].dtype == jnp.float32
    np.testing.assert_array_equal(state.hyperparams["learning_rate"], 0.5)


def test_trap_integers_and_booleans_that_shape_the_computation_stay():
    tx = inject_hyperparams(adafactor)(0.1, min_dim_size_to_factor=4)
    state = jax.jit(tx.init)(jnp.ones((8, 8)))
    assert not {"min_dim_size_to_factor", "factored", "decay_offset", "multiply_by_parameter_scale"} & set(
        state.hyperparams
    )
    theirs = inject_hyperparams(optax.adafactor)(0.1, min_dim_size_to_factor=4)
    assert set(jax.jit(theirs.init)(jnp.ones((8, 8))).hyperparams) == set(state.hyperparams)


def test_an_integer_for_a_real_parameter_is_a_number():
    for make in (clip, lambda max_delta: clip(max_delta)):
        state = inject_hyperparams(make)(max_delta=1).init(None)
        assert state.hyperparams["max_delta"].dtype == jnp.float32


def test_values_can_be_replaced_without_recompiling():
    tx = inject_hyperparams(scale_by_learning_rate)(1.0)
    update = jax.jit(tx.update)
    state = tx.init(jnp.ones(1))
    for rate in (0.5, np.float64(0.25), jnp.array(0.125)):
        state.hyperparams["learning_rate"] = rate
        updates, state = update(jnp.ones(1), state)
        np.testing.assert_array_equal(updates, [-rate])
    assert jnp.result_type(state.hyperparams["learning_rate"]) == jnp.float32


def test_schedules_and_their_values_in_the_state():
    tx = inject_stateful_hyperparams(adam)(linear_schedule(1.0, 0.0, 4), b1=0.5)
    reference = optax.inject_hyperparams(optax.adam)(optax.linear_schedule(1.0, 0.0, 4), b1=0.5)
    mine, theirs = tx.init(jnp.ones(2)), reference.init(jnp.ones(2))
    for _ in range(6):
        assert [p for p, _ in jax.tree.leaves_with_path(mine)] == [
            p for p, _ in jax.tree.leaves_with_path(theirs)
        ]
        for a, b in zip(jax.tree.leaves(mine[:3]), jax.tree.leaves(theirs[:3]), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
        _, mine = tx.update(jnp.ones(2), mine)
        _, theirs = reference.update(jnp.ones(2), theirs)


class HalvesOnBadLoss:
    """A schedule with a state: the rate halves whenever the loss is above 1."""

    def init(self):
        return jnp.array(1.0)

    def update(self, state, *, loss=0.0, **extra):
        return jnp.where(loss > 1, state / 2, state)

    def __call__(self, state, **extra):
        return state


def test_stateful_schedules_read_extra_arguments():
    tx = inject_hyperparams(scale)(step_size=HalvesOnBadLoss())
    state, seen = tx.init(None), []
    for loss in (0.5, 2.0, 2.0, 0.5):
        updates, state = tx.update(jnp.ones(()), state, loss=loss)
        seen.append(float(updates))
    assert seen == [1.0, 1.0, 0.5, 0.25]


def test_static_args_dtype_and_nested_schedules():
    tx = inject_hyperparams(adam, static_args="b1", hyperparam_dtype=jnp.float16)(0.5)
    state = tx.init(jnp.ones(1))
    assert "b1" not in state.hyperparams
    assert state.hyperparams["b2"].dtype == jnp.float16
    # An injected rate inside a chain of the user's own, given by keyword.
    own = inject_hyperparams(lambda rate, **more: chain(scale_by_adam(**more), scale(-rate)))(
        rate=0.1, b1=0.5
    )
    assert set(own.init(jnp.ones(1)).hyperparams) == {"rate", "b1"}


def test_float64():
    with jax.enable_x64(True):
        state = inject_hyperparams(scale)(0.1).init(jnp.ones(1))
        assert state.hyperparams["step_size"].dtype == jnp.float64
        updates, _ = inject_hyperparams(scale)(0.1).update(jnp.ones(1, jnp.float32), state)
        assert updates.dtype == jnp.float32


def test_errors():
    with pytest.raises(HyperparameterError, match="static_args names 'b3'"):
        inject_hyperparams(adam, static_args=("b3",))
    with pytest.raises(ArgumentError, match=r"inject_hyperparams\(adam\): .*learning_rate"):
        inject_hyperparams(adam)()
    assert inject_hyperparams(set_to_zero)().init(None).hyperparams == {}
