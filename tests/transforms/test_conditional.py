"""apply_if_finite and the conditional wrappers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax.core import ArgumentError, GradientTransformation, HyperparameterError, chain
from nablax.transforms import apply_if_finite, conditionally_mask, conditionally_transform, scale, trace


def to_float32():
    """A transformation that changes the dtype of updates."""
    return GradientTransformation(
        lambda params: (),
        lambda g, state, params=None: (jax.tree.map(lambda x: x.astype(jnp.float32), g), state),
    )


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize(
    "tx",
    [
        apply_if_finite(to_float32(), 3),
        conditionally_mask(to_float32(), lambda step: step != 0),
        conditionally_transform(to_float32(), lambda step: step != 0),
    ],
    ids=["apply_if_finite", "conditionally_mask", "conditionally_transform"],
)
def test_trap_inner_transformation_may_change_the_dtype(tx, wrap):
    grads = jnp.array([jnp.inf, 1.0], jnp.bfloat16)
    update, state = wrap(tx.update), tx.init(grads)
    skipped, state = update(grads, state)
    passed, state = update(jnp.ones(2, jnp.bfloat16), state)
    assert skipped.dtype == passed.dtype == jnp.float32
    np.testing.assert_array_equal(passed, [1.0, 1.0])


def test_apply_if_finite_counts_and_gives_in():
    tx = apply_if_finite(trace(1.0), max_consecutive_errors=2)
    state, good, bad = tx.init(jnp.zeros(1)), jnp.ones(1), jnp.array([jnp.inf])
    seen = []
    for g in (good, bad, good, bad, bad, bad):
        u, state = tx.update(g, state)
        seen.append(
            (float(u[0]), int(state.notfinite_count), int(state.total_notfinite), bool(state.last_finite))
        )
    assert seen == [
        (1, 0, 0, True),
        (0, 1, 1, False),
        (2, 0, 1, True),
        (0, 1, 2, False),
        (0, 2, 3, False),
        (jnp.inf, 3, 4, False),
    ]


def test_conditions_may_read_extra_arguments():
    def small(step, loss):
        return loss < 1.0

    for make, other in ((conditionally_mask, 0.0), (conditionally_transform, 1.0)):
        tx = make(scale(3.0), small, forward_extra_args=True)
        state = tx.init(None)
        for loss, expected in ((0.5, 3.0), (2.0, other)):
            updates, state = jax.jit(tx.update)(jnp.ones(1), state, loss=loss)
            np.testing.assert_array_equal(updates, [expected])
        assert int(state.step) == 2


def test_extra_arguments_reach_the_inner_transformation():
    def by_value(updates, state, params=None, *, value):
        return value * updates, state

    inner = GradientTransformation(lambda params: (), by_value)
    for tx in (apply_if_finite(inner, 1), conditionally_mask(inner, lambda step: True)):
        tx = chain(tx, scale(1.0))
        np.testing.assert_array_equal(tx.update(jnp.ones(1), tx.init(None), value=5.0)[0], [5.0])


def test_errors():
    with pytest.raises(
        HyperparameterError, match="apply_if_finite: max_consecutive_errors must not be negative"
    ):
        apply_if_finite(scale(1.0), -1)
    with pytest.raises(ArgumentError, match="conditionally_mask: should_transform_fn"):
        conditionally_mask(scale(1.0), True)
