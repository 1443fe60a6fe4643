import jax.numpy as jnp
import numpy as np
import pytest

from nablax.core import HyperparameterError
from nablax.games import nupi


def test_recursion_of_the_source():
    lr, kp, ki, nu = 0.1, 3.0, 0.7, 0.4
    errors = [1.0, -2.0, 0.5, 4.0]
    tx = nupi(lr, kp=kp, ki=ki, nu=nu)
    state, xi = tx.init(jnp.zeros(())), errors[0]
    for e in errors:
        u, state = tx.update(jnp.array(e), state)
        after = nu * xi + (1 - nu) * e
        np.testing.assert_allclose(u, -lr * (ki * e + kp * (after - xi)), rtol=1e-5)
        xi = after


def test_without_averaging_and_with_equal_gains_it_is_the_optimistic_gradient():
    tx, g = nupi(0.1), [1.0, -2.0, 0.5]
    state, before = tx.init(jnp.zeros(())), g[0]
    for now in g:
        u, state = tx.update(jnp.array(now), state)
        np.testing.assert_allclose(u, -0.1 * (2 * now - before), rtol=1e-5)
        before = now


def test_bad_input():
    for bad, message in [
        ({"learning_rate": float("inf")}, "learning_rate must be finite"),
        ({"learning_rate": 0.1, "nu": 1.0}, r"nu must lie in \(-1, 1\)"),
        ({"learning_rate": 0.1, "ki": -1.0}, "ki must not be negative"),
        ({"learning_rate": 0.1, "kp": float("nan")}, "kp must be a number"),
    ]:
        with pytest.raises(HyperparameterError, match=f"nupi: {message}"):
            nupi(**bad)
