"""Eigenvalues, inverse roots and non-negative least squares against NumPy and SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from nablax.core._errors import ArgumentError, HyperparameterError, StructureError
from nablax.core._linalg import matrix_inverse_pth_root, nnls, power_iteration


def positive_definite(seed, n=5):
    a = np.random.default_rng(seed).normal(size=(n, n))
    return jnp.asarray(a @ a.T + 0.1 * np.eye(n), jnp.float32)


def test_power_iteration_on_matrices_and_functions():
    a = positive_definite(0)
    largest = np.linalg.eigvalsh(a)[-1]
    for matrix, v0 in ((a, None), (-a, jnp.ones(5))):
        value, vector = power_iteration(matrix, v0=v0)
        np.testing.assert_allclose(abs(value), largest, rtol=1e-4)
        np.testing.assert_allclose(matrix @ vector, value * vector, atol=0.02 * largest)
    value, vector = jax.jit(lambda a: power_iteration(lambda v: {"x": a @ v["x"]}, v0={"x": jnp.ones(5)}))(a)
    np.testing.assert_allclose(value, largest, rtol=1e-4)
    assert vector["x"].shape == (5,)
    np.testing.assert_array_equal(power_iteration(jnp.zeros((2, 2)))[0], 0.0)


@pytest.mark.parametrize("p", [1, 2, 3, 4, 6])
def test_inverse_roots(p):
    a = positive_definite(1)
    root, error = matrix_inverse_pth_root(a, p)
    w, v = np.linalg.eigh(np.asarray(a, np.float64))
    np.testing.assert_allclose(root, (v * w ** (-1 / p)) @ v.T, atol=2e-4 * w[0] ** (-1 / p))
    assert error < 1e-4


def test_inverse_root_of_numbers_and_low_precision():
    np.testing.assert_allclose(matrix_inverse_pth_root(jnp.array([[4.0]]), 2)[0], [[0.5]], rtol=1e-5)
    root, _ = matrix_inverse_pth_root(jnp.diag(jnp.array([4.0, 16.0], jnp.bfloat16)), 2)
    assert root.dtype == jnp.float32
    np.testing.assert_allclose(np.diag(root), [0.5, 0.25], rtol=1e-4)


def test_nnls():
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(8, 5)), rng.normal(size=(8, 3))
    expected = np.stack([scipy.optimize.nnls(a, column)[0] for column in b.T], 1)
    for bound in (None, np.linalg.norm(a.T @ a, 2)):
        x = nnls(jnp.asarray(a), jnp.asarray(b), 500, L=bound)
        np.testing.assert_allclose(x, expected, atol=1e-5)
    np.testing.assert_array_equal(nnls(jnp.zeros((2, 2)), jnp.ones(2), 3), [0.0, 0.0])


def _failing(v):
    raise TypeError("that of the function itself")


def test_errors():
    with pytest.raises(StructureError, match="power_iteration: matrix must be square"):
        power_iteration(jnp.ones((2, 3)))
    with pytest.raises(ArgumentError, match="needs v0"):
        power_iteration(lambda v: v)
    with pytest.raises(TypeError, match="that of the function itself"):
        power_iteration(_failing, v0=jnp.ones(3))
    with pytest.raises(HyperparameterError, match="p must be at least 1"):
        matrix_inverse_pth_root(jnp.eye(2), 0)
    with pytest.raises(StructureError, match="nnls: A of shape"):
        nnls(jnp.eye(2), jnp.ones(5), jnp.int32(3))
    with pytest.raises(StructureError, match="nnls"):
        nnls(jnp.eye(2), jnp.ones(3), 10)
