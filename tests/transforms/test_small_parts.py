"""Monitoring, repairs, normalizations, complex leaves and scaled gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nablax.optax
from nablax import tree
from nablax.core import ArgumentError, MissingParamsError, chain
from nablax.transforms import (
    keep_params_nonnegative,
    measure_with_ema,
    monitor,
    normalize,
    scale,
    scale_by_sign,
    scale_by_trust_ratio,
    scale_gradient,
    snapshot,
    split_real_and_imaginary,
    zero_nans,
)


def is_large(updates):
    return tree.norm(updates) > 1.0


def test_monitor_measures_like_optax_and_scans():
    def build(o, t):
        return o.monitor(
            {"norm": t.norm, "often_large": o.measure_with_ema(is_large, 0.5), "momentum": o.trace(0.5)}
        )

    mine, theirs = build(nablax.optax, tree), build(optax, optax.tree)
    grads = [jnp.array([0.3, 0.4]), jnp.array([3.0, 4.0]), jnp.array([6.0, 8.0])]
    state, reference = mine.init(grads[0]), theirs.init(grads[0])
    for g in grads:
        updates, state = mine.update(g, state)
        _, reference = theirs.update(g, reference)
        np.testing.assert_array_equal(updates, g)
        for name, expected in reference.measurements.items():
            np.testing.assert_allclose(state.measurements[name], expected, rtol=1e-5)
    _, norms = jax.lax.scan(
        lambda s, g: (lambda s: (s, s.measurements["norm"]))(mine.update(g, s)[1]),
        mine.init(grads[0]),
        jnp.array(grads),
    )
    np.testing.assert_allclose(norms, [0.5, 5.0, 10.0], rtol=1e-6)


def test_snapshot_errors():
    with pytest.raises(ArgumentError, match="snapshot: measure_name must be a string, got int: 3"):
        snapshot(3, tree.norm)
    with pytest.raises(ArgumentError, match="monitor: measure 'a' must be a function"):
        monitor({"a": 3})
    with pytest.raises(ArgumentError, match="monitor: measures must be a dict"):
        monitor(tree.norm)
    assert measure_with_ema(tree.norm, 0.9).init(jnp.ones(1, jnp.bfloat16))[1].ema.dtype == jnp.float32


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_parameters_stay_nonnegative(dtype):
    rng = np.random.default_rng(0)
    params = jnp.asarray(np.abs(rng.normal(size=1000)), dtype)
    asked = jnp.asarray(rng.normal(size=1000), dtype)
    updates, _ = keep_params_nonnegative().update(asked, (), params)
    after = optax.apply_updates(params, updates)
    assert float(after.min()) == 0.0
    np.testing.assert_array_equal(after, jnp.maximum(optax.apply_updates(params, asked), 0))
    with pytest.raises(MissingParamsError, match="keep_params_nonnegative reads the parameters"):
        keep_params_nonnegative().update(params, ())


def test_zero_nans_of_complex_numbers():
    tx = zero_nans()
    updates, state = tx.update(
        {"a": jnp.array([complex(1, np.nan), 2j])}, tx.init({"a": jnp.zeros(2, complex)})
    )
    np.testing.assert_array_equal(updates["a"], [0, 2j])
    assert bool(state.found_nan["a"])


def test_trap_normalizing_zeros_gives_zeros():
    for tx in (normalize(), scale_by_trust_ratio(), scale_by_sign()):
        np.testing.assert_array_equal(tx.update(jnp.zeros(2), tx.init(None), jnp.zeros(2))[0], [0.0, 0.0])


def test_split_real_and_imaginary_keeps_real_leaves():
    tx = split_real_and_imaginary(chain(scale_by_sign(), scale(2.0)))
    g = {"c": jnp.array([3 - 4j]), "r": jnp.array([-5.0]), "n": None}
    params = {**g, "n": jnp.ones(1)}
    updates, _ = tx.update(g, tx.init(params), params)
    np.testing.assert_array_equal(updates["c"], [2 - 2j])
    np.testing.assert_array_equal(updates["r"], [-2.0])
    assert updates["n"] is None


def test_scale_gradient_in_both_modes():
    def f(x):
        return jnp.sum(scale_gradient({"x": x}, 0.5)["x"] ** 2)

    x = jnp.array([1.0, 2.0])
    np.testing.assert_allclose(f(x), 5.0)
    np.testing.assert_allclose(jax.grad(f)(x), x)
    np.testing.assert_allclose(jax.jvp(f, (x,), (jnp.ones(2),))[1], 3.0)
    # 0 stops gradients, infinite ones too.
    np.testing.assert_array_equal(jax.grad(lambda x: jnp.sqrt(scale_gradient(x, 0.0)))(0.0), 0.0)
    np.testing.assert_allclose(jax.grad(lambda x: scale_gradient(x, -1.0) ** 3)(2.0), -12.0)
