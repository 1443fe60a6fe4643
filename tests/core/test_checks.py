"""Bad numbers are refused at construction, by name; traced ones pass."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import optimizers, transforms
from nablax.core import (
    DECAY,
    FLAG,
    ArgumentError,
    HyperparameterError,
    NablaxError,
    checked,
    number,
)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: optimizers.scale_by_adam(b1=1.5), r"scale_by_adam: b1 must lie in \[0, 1\), got 1.5."),
        (lambda: optimizers.adam(1e-3, b2=float("nan")), r"b2 must lie in \[0, 1\), got nan"),
        (lambda: optimizers.adam(-1.0, eps=-1e-8), "eps must not be negative, got -1e-08"),
        (lambda: optimizers.adamw(1e-3, weight_decay=math.inf), "weight_decay must be finite, got inf"),
        (lambda: optimizers.adam(np.float32("nan")), "learning_rate must be a number, got nan"),
        (lambda: optimizers.adam(jnp.array([0.1, jnp.inf])), "learning_rate must be finite, got inf"),
        (lambda: transforms.clip_by_block_rms(0), "threshold must be positive, got 0"),
        (lambda: transforms.clip(-1), "clip: max_delta must not be negative, got -1"),
    ],
)
def test_out_of_range(make, message):
    with pytest.raises(HyperparameterError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: optimizers.adam("fast"),
            "learning_rate must be a real number or a schedule, got str: 'fast'",
        ),
        (lambda: optimizers.sgd(0.1, nesterov="no"), "sgd: nesterov must be a bool, got 'no'"),
        (lambda: optimizers.sgd(0.1, momentum="x"), "sgd: momentum must be a real number or None, got str"),
        (lambda: optimizers.sgd(1j), "got complex"),
        (lambda: transforms.scale([1.0]), "step_size must be a real number, got list"),
        (
            lambda: optimizers.scale_by_lion(mode="soft"),
            "mode must be one of hard, smooth, refined, got 'soft'",
        ),
    ],
)
def test_wrong_kind(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_a_decorated_function_speaks_first_and_of_its_own_argument():
    @checked(
        {"decay": DECAY, "elsewhere": FLAG}, steps=number(1, integer=True), most=number(0, infinite=True)
    )
    def outer(decay, steps=None, *, most=math.inf, note: "str | None" = ""):
        return decay

    assert outer(0.5, 3, most=math.inf, note=None) == 0.5
    assert outer(jnp.asarray(0.5), np.int64(3)) == 0.5
    assert outer(0.5, jnp.asarray(3.0)) == 0.5  # a count that was injected
    assert str(inspect.signature(outer)) == "(decay, steps=None, *, most=inf, note: str | None = '')"
    for bad, message in [
        ((1.0,), r"outer: decay must lie in \[0, 1\), got 1.0."),
        ((0.5, 2.5), "outer: steps must be an integer or None, got float: 2.5."),
        ((0.5, jnp.asarray(2.5)), "outer: steps must be an integer or None"),
        ((0.5, math.inf), "outer: steps must be an integer or None, got float: inf."),
    ]:
        with pytest.raises((ArgumentError, HyperparameterError), match=message):
            outer(*bad)
    with pytest.raises(
        TypeError, match="outer: too many positional arguments. It takes decay, steps, most, note."
    ):
        outer(0.5, 1, 2)
    with pytest.raises(ArgumentError, match="outer has no argument stepz"):
        checked(stepz=FLAG)(outer)


def test_a_number_without_bounds_is_finite():
    with pytest.raises(HyperparameterError, match="f: x must be finite, got inf"):
        number()("f", "x", math.inf, False)
    with pytest.raises(HyperparameterError, match="f: x must be finite, got -inf"):
        number(high=1)("f", "x", -math.inf, False)
    with pytest.raises(HyperparameterError, match="f: x must not be negative, got -inf"):
        number(0)("f", "x", -math.inf, False)


def test_errors_are_caught_by_the_clauses_people_have():
    assert issubclass(HyperparameterError, ValueError)
    assert issubclass(ArgumentError, TypeError)
    assert issubclass(HyperparameterError, NablaxError)


def test_traced_numbers_and_schedules_pass():
    params = jnp.ones(3)

    @jax.jit
    def step(lr, b1):
        tx = optimizers.adamw(lr, b1=b1, weight_decay=lambda count: 0.1)
        return tx.update(params, tx.init(params), params)[0]

    fixed = optimizers.adamw(0.1, b1=0.5, weight_decay=0.1)
    expected = fixed.update(params, fixed.init(params), params)[0]
    np.testing.assert_allclose(step(0.1, 0.5), expected, rtol=1e-6)
