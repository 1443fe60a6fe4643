"""What every schedule promises: any count, any way of calling, any number traced."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nablax.schedules as schedules
from nablax.schedules._schedule import FormulaSchedule
from schedules.schedule_cases import CASES, IDS


def build(case):
    name, args, kwargs = case
    return getattr(schedules, name)(*args, **kwargs)


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-8)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_counts(case):
    f = build(case)
    vector = f(np.arange(12))
    assert vector.shape == (12,)
    value = f(5)
    assert jnp.shape(value) == ()
    assert vector.dtype == jax.eval_shape(f, 5).dtype == jnp.float32
    close(value, vector[5])
    assert f(-3) == f(0)
    close(f(2**31 - 1), f(10**6))
    with jax.enable_x64(True):
        assert jax.eval_shape(f, 5).dtype == jnp.float64


@pytest.mark.parametrize("case", [CASES[1], CASES[12]], ids=[IDS[1], IDS[12]])
def test_counts_of_any_kind(case):
    f = build(case)
    expected = f(np.arange(12))
    for count in (np.int64(5), np.uint8(5), jnp.array(5), jnp.array(5, jnp.int8)):
        assert f(count).dtype == jnp.float32
        close(f(count), expected[5])
    close(jax.jit(f)(5), expected[5])
    close(jax.vmap(f)(jnp.arange(12).reshape(3, 4)), expected.reshape(3, 4))


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_every_number_may_be_traced(case):
    """Values and finite gradients, with all the numbers of the call traced."""
    name, args, kwargs = case
    function = getattr(schedules, name)
    fixed = {k: v for k, v in kwargs.items() if isinstance(v, bool)}
    words = [a for a in args if isinstance(a, str)]
    counts = jnp.arange(12)

    @jax.jit
    def call(args, kwargs):
        def values(args, kwargs):
            curve = function(*words, *args, **kwargs, **fixed)(counts)
            return curve.sum(), curve

        return jax.value_and_grad(values, (0, 1), has_aux=True, allow_int=True)(args, kwargs)

    (_, curve), gradients = call(
        [a for a in args if not isinstance(a, str)], {k: v for k, v in kwargs.items() if k not in fixed}
    )
    close(curve, build(case)(np.arange(12)))
    leaves = [x for x in jax.tree.leaves(gradients) if x.dtype == jnp.float32]
    assert all(np.all(np.isfinite(x)) for x in leaves)
    assert any(np.any(x != 0) for x in leaves)


def test_no_tracer_leaks():
    def step(carry, count):
        f = schedules.warmup_cosine_decay_schedule(0.0, carry, 2, 10)
        return carry, f(count)

    with jax.checking_leaks():
        _, values = jax.jit(lambda p: jax.lax.scan(step, p, jnp.arange(5)))(0.5)
    np.testing.assert_allclose(values, schedules.warmup_cosine_decay_schedule(0.0, 0.5, 2, 10)(np.arange(5)))


def test_schedules_of_one_kind_share_a_program():
    from nablax.schedules._schedule import _evaluate

    schedules.linear_schedule(0.0, 1.0, 10)(3)
    size = _evaluate._cache_size()
    for steps in range(11, 20):
        schedules.linear_schedule(0.5, 1.5, steps)(3)
    assert _evaluate._cache_size() == size


def test_numbers_of_any_kind():
    expected = schedules.linear_schedule(1.0, 0.1, 7)(3)
    for kind in (np.float32, np.float64, jnp.float32, jnp.array):
        f = schedules.linear_schedule(kind(1.0), kind(0.1), 7)
        np.testing.assert_allclose(f(3), expected, rtol=1e-6)
        assert f(3).dtype == jnp.float32
        for case in CASES[7], CASES[10], CASES[12]:
            name, (value, *args), kwargs = case
            assert getattr(schedules, name)(kind(value), *args, **kwargs)(3).dtype == jnp.float32
    assert schedules.cosine_decay_schedule(jnp.bfloat16(0.5), 10)(5).dtype == jnp.float32
    assert schedules.constant_schedule(jnp.bfloat16(0.5))(0).dtype == jnp.bfloat16
    np.testing.assert_allclose(schedules.linear_schedule(np.ones(2), np.zeros(2), 4)(1), [0.75, 0.75])


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_bfloat16_carries_scan(case):
    """Counted by Python's ints or weakly typed ones, a schedule of Python's numbers leaves the dtype of the carry."""
    strong = case[0] in (
        "piecewise_interpolate_schedule",
        "linear_onecycle_schedule",
        "cosine_onecycle_schedule",
    )
    x = jnp.ones(2, jnp.bfloat16)
    assert (x * build(case)(3)).dtype == (jnp.float32 if strong else jnp.bfloat16)

    def step(x, i):
        return x * schedules.cosine_decay_schedule(0.7, 10)(i), None

    assert jax.lax.scan(step, x, jnp.arange(5))[0].dtype == jnp.bfloat16
    with jax.enable_x64(True):
        value = build(case)(jnp.asarray(3, jnp.int32))
        assert (jnp.ones(2, jnp.float32) * value).dtype == (jnp.float64 if strong else jnp.float32)


def test_opaque_readable_and_picklable():
    f = schedules.linear_schedule(1.0, 0.0, 4)
    assert jax.tree.leaves(f) == [f]
    assert repr(f) == "linear_schedule(init_value=1.0, end_value=0.0, transition_steps=4, transition_begin=0)"
    assert isinstance(f, FormulaSchedule)
    assert f.__name__ == "linear_schedule"
    assert pickle.loads(pickle.dumps(f))(1) == f(1)


def test_large_counts_keep_their_last_digits():
    """2**24 + 1 is no float32: boundaries and stairs are found on the integers."""
    step = 2**24 + 1
    f = schedules.piecewise_constant_schedule(1.0, {step: 0.5})
    np.testing.assert_array_equal(f(np.array([step - 1, step])), [1.0, 0.5])
    g = schedules.exponential_decay(1.0, step, 0.5, staircase=True)
    np.testing.assert_array_equal(g(np.array([step - 1, step])), [1.0, 0.5])
