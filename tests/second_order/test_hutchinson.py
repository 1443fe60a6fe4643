"""Traces and diagonals from random signs: unbiased, with the variance that theory gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax.core import HyperparameterError
from nablax.second_order import hutchinson_diag, hutchinson_trace

A = jnp.array([[2.0, 1.0, -0.5], [1.0, -3.0, 0.25], [-0.5, 0.25, 1.5]])
LIKE = {"u": jnp.zeros(2), "v": jnp.zeros(())}


def product(z):
    flat, unravel = jax.flatten_util.ravel_pytree(z)
    return unravel(A @ flat)


def estimates(fn, samples, n=400):
    keys = jax.random.split(jax.random.key(0), n)
    return jax.jit(jax.vmap(lambda k: fn(product, LIKE, k, num_samples=samples)))(keys)


def test_trace_mean_and_variance():
    drawn = np.asarray(estimates(hutchinson_trace, 4))
    off = A - jnp.diag(jnp.diag(A))
    variance = 2 * float(jnp.sum(off**2)) / 4
    assert abs(drawn.mean() - float(jnp.trace(A))) < 4 * np.sqrt(variance / len(drawn))
    assert 0.75 < drawn.var() / variance < 1.25


def test_diagonal_mean_and_variance():
    drawn = estimates(hutchinson_diag, 2)
    drawn = np.concatenate([drawn["u"], drawn["v"][:, None]], axis=1)
    variance = np.sum(np.square(A - jnp.diag(jnp.diag(A))), axis=1) / 2
    assert np.all(np.abs(drawn.mean(0) - np.diag(A)) < 4 * np.sqrt(variance / len(drawn)))
    np.testing.assert_allclose(drawn.var(0), variance, rtol=0.25)


def test_one_sample_is_exact_for_a_diagonal_map_and_sums_are_wide():
    like = jnp.zeros(3, jnp.bfloat16)
    d = jnp.array([1.0, 2.0, 4.0], jnp.bfloat16)
    trace = hutchinson_trace(lambda z: d * z, like, jax.random.key(1), num_samples=1)
    assert trace.dtype == jnp.float32
    assert float(trace) == 7.0
    diag = hutchinson_diag(lambda z: d * z, like, jax.random.key(1), num_samples=3)
    np.testing.assert_array_equal(diag, d)


def test_samples_are_counted():
    with pytest.raises(HyperparameterError, match="hutchinson_trace: num_samples must be at least 1, got 0"):
        hutchinson_trace(lambda z: z, jnp.zeros(2), jax.random.key(0), num_samples=0)
