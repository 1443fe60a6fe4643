"""reduce_on_plateau: counts, margins and scales in plain numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax.core import ArgumentError, HyperparameterError, chain
from nablax.transforms import reduce_on_plateau, scale


def scales(values, dtype=jnp.float32, **kwargs):
    tx = reduce_on_plateau(**kwargs)
    params = jnp.ones(1, dtype)
    update = jax.jit(tx.update)
    state, seen = tx.init(params), []
    for value in values:
        updates, state = update(params, state, value=value)
        seen.append(float(updates[0]))
    return seen


def test_trap_negative_metrics_reduce_the_rate():
    # A log-likelihood of -5 that stands still: the margin is rtol |best|, not rtol best.
    assert scales([-5.0] * 4, factor=0.5, patience=2, rtol=0.1) == [1.0, 1.0, 0.5, 0.5]
    assert scales([-5.0, -5.2, -5.2, -5.2], factor=0.5, patience=2, rtol=0.1) == [1.0, 1.0, 0.5, 0.5]
    assert scales([-5.0, -6.0, -7.0, -8.0], factor=0.5, patience=2, rtol=0.1) == [1.0] * 4


def test_cooldown_accumulation_and_floor():
    assert scales([1.0] * 8, factor=0.5, patience=1, cooldown=2) == [
        1,
        0.5,
        0.5,
        0.5,
        0.25,
        0.25,
        0.25,
        0.125,
    ]
    assert scales([1.0, 3.0] * 3, factor=0.5, patience=1, accumulation_size=2) == [1, 1, 1, 0.5, 0.5, 0.25]
    np.testing.assert_allclose(scales([1.0] * 4, factor=0.5, patience=1, min_scale=0.3), [1, 0.5, 0.3, 0.3])


def test_a_nan_is_no_improvement():
    assert scales([1.0, jnp.nan, jnp.nan, 0.5], factor=0.5, patience=2) == [1.0, 1.0, 0.5, 0.5]


def test_bfloat16_parameters_keep_a_float32_scale():
    state = reduce_on_plateau().init(jnp.ones(1, jnp.bfloat16))
    assert state.scale.dtype == state.best_value.dtype == jnp.float32
    # Losses that differ by less than bfloat16 can hold are still told apart.
    assert scales([1.0, 0.999, 0.998, 0.997], jnp.bfloat16, factor=0.5, patience=1) == [1.0] * 4


def test_errors():
    tx = chain(scale(1.0), reduce_on_plateau())
    with pytest.raises(ArgumentError, match="reduce_on_plateau needs the extra argument value"):
        tx.update(jnp.ones(1), tx.init(jnp.ones(1)))
    for kwargs in (
        {"factor": 1.0},
        {"rtol": -1.0},
        {"rtol": 2.0},
        {"atol": -1.0},
        {"rtol": 0.0},
        {"accumulation_size": 0},
    ):
        with pytest.raises(HyperparameterError, match=next(iter(kwargs))):
            reduce_on_plateau(**kwargs)
