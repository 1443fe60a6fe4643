import jax.numpy as jnp
import numpy as np
import pytest

from games.loops import scan
from nablax import games
from nablax.core import HyperparameterError
from nablax.games import methods, negative_momentum


def test_momentum_is_a_fraction_of_the_last_move():
    m = jnp.array([[1.0, 2.0], [-2.0, 0.5]])
    path, _ = scan(negative_momentum(0.1, -0.3), lambda z: m @ z, jnp.array([1.0, 2.0]), 4)
    z = old = np.array([1.0, 2.0])
    for k in range(4):
        z, old = z - 0.1 * np.asarray(m) @ z - 0.3 * (z - old), z
        np.testing.assert_allclose(path[k], z, rtol=1e-5)


def test_alternating_steps_with_negative_momentum_solve_the_bilinear_game():
    F = games.field(lambda x, y: x * y, minimize="x", maximize="y")
    z0 = {"x": 1.0, "y": 1.0}

    def end(momentum):
        path = games.trajectory(methods.alternating(negative_momentum(0.5, momentum)), F, z0, steps=300)
        return float(path["x"][-1] ** 2 + path["y"][-1] ** 2)

    assert end(-0.5) < 1e-8
    assert 0.5 < end(0.0) < 4


def test_ascent_and_bad_input():
    tx = negative_momentum(0.1, ascend=True)
    u, _ = tx.update(jnp.ones(1), tx.init(jnp.zeros(1)))
    np.testing.assert_allclose(u, 0.1)
    for bad in (0.1, -1.0, float("nan")):
        with pytest.raises(HyperparameterError, match=r"negative_momentum: momentum must lie in \(-1, 0\]"):
            negative_momentum(0.1, bad)
    np.testing.assert_allclose(negative_momentum(-0.1).update(jnp.ones(1), tx.init(jnp.zeros(1)))[0], 0.1)
