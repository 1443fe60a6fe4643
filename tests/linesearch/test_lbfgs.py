"""L-BFGS: the inverse Hessian it stands for, and the pairs that it must not believe."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import tree
from nablax.core import HyperparameterError, MissingParamsError
from nablax.linesearch import scale_by_lbfgs

H = jnp.array([[4.0, 1.0, 0.0], [1.0, 3.0, 0.5], [0.0, 0.5, 2.0]])


def dense_inverse(pairs, n):
    """The formula at the head of _lbfgs.py, with matrices."""
    s, y = pairs[-1]
    inverse = np.eye(n) * (s @ y) / (y @ y)
    for s, y in pairs:
        rho = 1 / (s @ y)
        v = np.eye(n) - rho * np.outer(y, s)
        inverse = v.T @ inverse @ v + rho * np.outer(s, s)
    return inverse


def test_it_is_the_dense_formula_over_the_last_pairs():
    with jax.enable_x64(True):
        tx, h = scale_by_lbfgs(3), jnp.asarray(H, jnp.float64)
        points = [np.random.default_rng(i).normal(size=3) for i in range(6)]
        state = tx.init(jnp.zeros(3))
        update = jax.jit(tx.update)
        for k, w in enumerate(points):
            g = h @ w
            direction, state = update(g, state, jnp.asarray(w))
            if k:
                pairs = [(b - a, np.asarray(h @ (b - a))) for a, b in itertools.pairwise(points)]
                pairs = pairs[max(0, k - 3) : k]
                np.testing.assert_allclose(direction, dense_inverse(pairs, 3) @ g, rtol=1e-9)
            else:
                np.testing.assert_allclose(direction, g * min(1, 1 / np.linalg.norm(g)), rtol=1e-12)
        assert int(state.count) == 6


def test_pairs_without_positive_curvature_never_lead_up():
    """correctness.md: on a concave stretch Optax's direction turns into one of ascent."""

    def f(x):
        return jnp.sum(jnp.cos(x)) + 0.01 * jnp.sum(x**2)

    tx, x = scale_by_lbfgs(4), jnp.array([0.3, -0.2, 0.1])
    state = tx.init(x)
    update, skipped = jax.jit(tx.update), 0
    for _ in range(25):
        g = jax.grad(f)(x)
        direction, state = update(g, state, x)
        assert float(direction @ g) > 0
        assert np.all(np.isfinite(direction))
        assert float(state.weights_memory.min()) >= 0
        skipped += int(state.count) <= 5 and int(jnp.sum(state.weights_memory == 0)) > 5 - int(state.count)
        x = x - 0.2 * direction
    assert skipped > 0
    # Not moving at all gives a pair of zeros.
    direction, state = update(g, state, x)
    direction, state = update(g, state, x)
    assert np.all(np.isfinite(direction))


def test_memory_is_wide_and_map_params_finds_it():
    params = {"w": jnp.ones((2, 3), jnp.bfloat16), "b": jnp.ones(())}
    tx = scale_by_lbfgs(2)
    state = tx.init(params)
    assert state.diff_params_memory["w"].shape == (2, 2, 3)
    assert state.diff_params_memory["w"].dtype == state.weights_memory.dtype == jnp.float32
    direction, new = jax.jit(tx.update)(params, state, params)
    assert jax.tree.map(jnp.result_type, (direction, new)) == jax.tree.map(jnp.result_type, (params, state))
    marked = tree.map_params(tx, lambda _: "p", state, transform_non_params=lambda _: "-")
    assert marked.diff_updates_memory == marked.params == {"w": "p", "b": "p"}
    assert marked.count == marked.weights_memory == "-"


def test_errors():
    with pytest.raises(HyperparameterError, match="memory_size must be at least 1, got 0"):
        scale_by_lbfgs(0)
    tx = scale_by_lbfgs(2)
    with pytest.raises(MissingParamsError, match="scale_by_lbfgs reads the parameters"):
        tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
