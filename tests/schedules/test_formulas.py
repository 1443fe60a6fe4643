"""The formulas, transcribed in plain floats; exact ends; what degenerate arguments do."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nablax.schedules as s
from nablax.core._errors import ArgumentError, HyperparameterError


def test_polynomial():
    f = s.polynomial_schedule(3.0, 0.5, power=3, transition_steps=8, transition_begin=2)
    assert f(0) == f(2) == 3.0
    np.testing.assert_allclose(f(5), 0.5 + 2.5 * (5 / 8) ** 3, rtol=1e-6)
    assert f(10) == f(999) == 0.5


def test_linear_is_exact_at_its_ends():
    f = s.linear_schedule(1e-8, 0.1, 3)
    assert f(0) == np.float32(1e-8)  # init + (end - init) * 0 is; end + (init - end) * 1 would not be
    assert f(3) == np.float32(0.1)


def test_exponential_decay():
    f = s.exponential_decay(2.0, 4, 0.3, transition_begin=1, end_value=0.5)
    assert f(0) == f(1) == 2.0
    np.testing.assert_allclose(f(4), 2.0 * 0.3 ** (3 / 4), rtol=1e-6)
    assert f(60) == 0.5
    g = s.exponential_decay(2.0, 4, 0.3, staircase=True)
    np.testing.assert_allclose(g(np.array([3, 4, 7, 8])), [2.0, 0.6, 0.6, 0.18], rtol=1e-6)


def test_cosine_decay_near_its_end():
    """1 + cos cancels there: in float32 its value at T - 1 is off by per cent."""
    f = s.cosine_decay_schedule(1.0, 10_000)
    np.testing.assert_allclose(f(9_999), (1 + math.cos(math.pi * 0.9999)) / 2, rtol=1e-6)
    assert f(10_000) == 0.0


def test_warmup_cosine_with_a_peak_of_zero_stays_there():
    f = s.warmup_cosine_decay_schedule(1.0, 0, 2, 6, end_value=0.5)
    np.testing.assert_array_equal(f(np.array([0, 1, 2, 4, 6])), [1.0, 0.5, 0.0, 0.0, 0.0])
    np.testing.assert_array_equal(
        jax.jit(lambda p: s.warmup_cosine_decay_schedule(1.0, p, 2, 6, 0.5)(6))(0.0), 0.0
    )


@pytest.mark.parametrize(
    ("f", "value"),
    [
        (s.constant_schedule(0.1), 0.1),
        (s.constant_schedule(5), 5),
        (s.linear_schedule(0.1, 1.0, 0), 0.1),
        (s.polynomial_schedule(0.1, 1.0, 2, -3), 0.1),
        (s.exponential_decay(0.1, 0, 0.5), 0.1),
        (s.exponential_decay(0.1, 5, 0), 0.1),
        (s.exponential_decay(0.1, 5, 0.0, end_value=0.5), 0.1),
        (s.piecewise_constant_schedule(0.1), 0.1),
        (s.warmup_constant_schedule(0.0, 0.1, 0), 0.1),
        (s.join_schedules([s.constant_schedule(0.1)], []), 0.1),
    ],
)
def test_constant_ones_give_the_number_itself(f, value):
    for count in (0, 3, jnp.asarray(3)):
        assert type(f(count)) is type(value)
        assert json.loads(json.dumps(f(count))) == value
    np.testing.assert_array_equal(f(np.arange(3)), np.full(3, value, np.float32))


def test_steps_that_are_traced_and_zero():
    linear = jax.jit(lambda n: s.linear_schedule(0.1, 1.0, n)(3))
    decay = jax.jit(lambda n, rate: s.exponential_decay(0.1, n, rate, end_value=0.5)(3))
    np.testing.assert_allclose([linear(0), decay(0, 0.5), decay(5, 0.0)], 0.1, rtol=1e-6)
    np.testing.assert_allclose(decay(5, 0.5), 0.5, rtol=1e-6)


def test_numbers_of_configuration_files():
    """Integers for floats, floats for counts, numbers below zero: what they do in Optax."""
    np.testing.assert_array_equal(s.linear_schedule(1, 0, 4.0)(np.arange(5)), [1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_array_equal(s.linear_schedule(1.0, 0.0, 4, -2)(np.arange(3)), [1, 0.75, 0.5])
    np.testing.assert_allclose(s.exponential_decay(1.0, 2, 0.25, -3)(np.arange(3)), [1, 0.5, 0.25])
    np.testing.assert_allclose(
        s.exponential_decay(1, 2, -0.5, staircase=True)(np.arange(6)), [1, 1, -0.5, -0.5, 0.25, 0.25]
    )
    np.testing.assert_array_equal(s.piecewise_constant_schedule(2, {-3: 0.5, 2: 3})(np.arange(3)), [1, 1, 3])
    late = s.warmup_cosine_decay_schedule(0.0, 1.0, -5, 5)
    np.testing.assert_allclose(late(np.array([0, 5])), [0.5, 0.0], atol=1e-7)
    joined = s.join_schedules([s.constant_schedule(1.0), s.linear_schedule(0.0, 1.0, 4)], [-2])
    np.testing.assert_array_equal(joined(np.arange(3)), [0.5, 0.75, 1.0])


def test_steps_of_more_than_32_bits():
    np.testing.assert_allclose(
        jax.jit(s.cosine_decay_schedule(1000.0, int(1e10)))(int(1e9)), 975.52826, rtol=1e-6
    )
    np.testing.assert_allclose(s.linear_schedule(0.0, 1.0, int(1e10))(int(5e9)), 0.5)
    np.testing.assert_allclose(s.linear_onecycle_schedule(int(1e10), 1.0)(int(3e9)), 1.0)


@pytest.mark.parametrize(
    "f",
    [
        s.warmup_constant_schedule(0.0, 1.0, 0),
        s.warmup_cosine_decay_schedule(0.0, 1.0, 0, 5),
        s.warmup_exponential_decay_schedule(0.0, 1.0, 0, 5, 0.5),
    ],
)
def test_no_warmup_begins_at_the_peak(f):
    assert f(0) == 1.0


def test_piecewise_boundaries_at_zero_and_next_to_each_other():
    f = s.piecewise_interpolate_schedule("linear", 1.0, {0: 0.5, 1: 0.5, 2: 0.0})
    np.testing.assert_array_equal(f(np.arange(4)), [0.5, 0.25, 0.0, 0.0])
    g = s.piecewise_constant_schedule(1.0, {0: 0.5, 2: 0.0})
    np.testing.assert_array_equal(g(np.arange(4)), [0.5, 0.5, 0.0, 0.0])


def test_onecycle_of_two_steps():
    f = s.linear_onecycle_schedule(2, 1.0, pct_start=0.5, pct_final=1.0, div_factor=4.0, final_div_factor=2.0)
    np.testing.assert_allclose(f(np.arange(4)), [0.25, 1.0, 0.125, 0.125])


def test_sgdr_repeats():
    cycle = {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 2, "decay_steps": 6}
    f = s.sgdr_schedule([cycle, cycle, cycle])
    np.testing.assert_allclose(f(np.arange(6)), f(np.arange(6, 12)))
    assert f(14) == 1.0
    assert f(18) == f(100) == 0.0
    assert f.__name__ == "sgdr_schedule"


def test_joined_schedule_never_sees_a_negative_count():
    def join(scale):
        return s.join_schedules([s.constant_schedule(1.0), lambda t: scale * t**0.5], [3])

    assert np.isfinite(jax.grad(lambda scale: join(scale)(0.0))(2.0))
    assert join(2.0)(7) == 4.0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: s.constant_schedule(math.nan), "constant_schedule: value must be a number, got nan"),
        (lambda: s.constant_schedule("fast"), "constant_schedule: value must be a real number"),
        (lambda: s.constant_schedule(np.array([1.0, np.nan])), "constant_schedule: value must not hold NaN"),
        (lambda: s.linear_schedule(0.0, 1.0, 5, math.nan), "transition_begin must be a number, got nan"),
        (lambda: s.polynomial_schedule(0.0, 1.0, math.nan, 5), "polynomial_schedule: power must"),
        (lambda: s.exponential_decay(1.0, "5", 0.5), "transition_steps must be a real number, got str"),
        (lambda: s.exponential_decay(1.0, 5, math.nan), "decay_rate must be a number, got nan"),
        (lambda: s.exponential_decay(1.0, 5, 0.5, end_value="x"), "end_value must be a real number or None"),
        (
            lambda: s.cosine_decay_schedule(1.0, 0),
            "cosine_decay_schedule: decay_steps must be positive, got 0",
        ),
        (lambda: s.piecewise_constant_schedule(1.0, {3: -0.5}), "scale at 3 must not be negative, got -0.5"),
        (lambda: s.piecewise_constant_schedule(1.0, {"3": 0.5}), "a boundary must be a real number, got str"),
        (lambda: s.piecewise_interpolate_schedule("cubic", 1.0), "must be 'linear' or 'cosine', got 'cubic'"),
        (lambda: s.linear_onecycle_schedule(0, 1.0), "transition_steps must be positive, got 0"),
        (lambda: s.linear_onecycle_schedule(5, 1.0, 0.9, 0.5), "pct_final must lie in [0.9, 1], got 0.5"),
        (lambda: s.cosine_onecycle_schedule(5, 1.0, 1.5), "pct_start must lie in [0, 1], got 1.5"),
        (lambda: s.warmup_constant_schedule(0.0, 1.0, None), "warmup_steps must be a real number, got None"),
        (lambda: s.warmup_cosine_decay_schedule(0.0, 1.0, 5, 5), "greater than warmup_steps=5, got 5"),
        (lambda: s.sgdr_schedule([]), "cosine_kwargs must hold at least one cycle"),
        (lambda: s.join_schedules([], []), "schedules must hold at least one schedule"),
        (lambda: s.join_schedules([0.1], []), "schedules must be functions of a count, got 0.1"),
        (
            lambda: s.join_schedules([s.constant_schedule(1.0)], [3]),
            "one number fewer than there are schedules",
        ),
        (lambda: s.join_schedules([s.constant_schedule(1.0)] * 3, [3, 2]), "rising order, got (3, 2)"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises((HyperparameterError, ArgumentError)) as error:
        build()
    assert message in str(error.value)
