import jax.numpy as jnp
import numpy as np
import pytest

from games.loops import SPLITTERS, bilinear, play, scan, stack
from nablax.core import ArgumentError, HyperparameterError
from nablax.games import past_extragradient
from nablax.optimizers import adam, sgd
from nablax.transforms import masked


def quadratic(z):
    return jnp.array([[1.0, 2.0], [-2.0, 0.5]]) @ z


def popov(rates, steps):
    """The points x_half, where the gradients are."""
    z, g, out = np.array([1.0, 2.0]), np.zeros(2), []
    for k in range(steps + 1):
        half = z - rates[k] * g
        out.append(half)
        g = np.asarray(quadratic(half))
        z = z - rates[k] * g
    return np.array(out[1:])


def test_parameters_are_the_half_points_of_popov():
    path, _ = play(past_extragradient(0.2), quadratic, jnp.array([1.0, 2.0]), 4)
    np.testing.assert_allclose(path, popov([0.2] * 5, 4), rtol=1e-5)
    path, _ = scan(past_extragradient(0.2), quadratic, jnp.array([1.0, 2.0]), 4)
    np.testing.assert_allclose(path, popov([0.2] * 5, 4), rtol=1e-5)


@pytest.mark.parametrize("wrap", [lambda s: past_extragradient(s), lambda s: past_extragradient(base=sgd(s))])
def test_schedules_count_full_steps(wrap):
    rates = 0.3 / (1 + np.arange(5))
    path, _ = play(wrap(lambda k: 0.3 / (1 + k)), quadratic, jnp.array([1.0, 2.0]), 4)
    np.testing.assert_allclose(path, popov(rates, 4), rtol=1e-5)


def test_extra_adam_from_the_past():
    lr, b1, b2, eps = 0.1, 0.8, 0.9, 1e-8
    m = v = np.zeros(2)
    z, t, expected = np.array([1.0, 2.0]), 0, []

    def direction(g):
        nonlocal m, v, t
        t += 1
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        return lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)

    half = z
    for _ in range(3):
        g = np.asarray(quadratic(half))
        z = z - direction(g)  # the step, with the gradient at x_half
        half = z - direction(g)  # the next extrapolation, with the same gradient
        expected.append(half)
    path, _ = play(past_extragradient(base=adam(lr, b1, b2, eps)), quadratic, jnp.array([1.0, 2.0]), 3)
    np.testing.assert_allclose(path, expected, rtol=1e-4)


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("up", [past_extragradient(-0.3), past_extragradient(0.3, ascend=True)])
def test_players(splitter, up):
    tx = SPLITTERS[splitter]({"down": past_extragradient(0.3), "up": up}, {"x": "down", "y": "up"})
    path, _ = scan(tx, bilinear, {"x": jnp.array(1.0), "y": jnp.array(0.5)}, 4)
    x, y = np.array([1.0, 0.5])
    g_old = np.zeros(2)
    for k in range(4):
        g = np.array([y, -x])
        x, y = np.array([x, y]) - 0.3 * (2 * g - g_old)
        g_old = g
        np.testing.assert_allclose([path["x"][k], path["y"][k]], [x, y], rtol=1e-5)


def test_masks_and_missing_leaves():
    tx = masked(past_extragradient(1.0), {"x": True, "y": False, "z": True})
    z = {"x": jnp.array(1.0, jnp.bfloat16), "y": jnp.array(2.0), "z": jnp.array(1.0)}
    path, _ = play(tx, lambda z: {"x": z["x"], "y": z["y"], "z": None}, z, 2)
    path = stack([{k: p[k] for k in "xyz"} for p in path])
    np.testing.assert_allclose(path["x"].astype(jnp.float32), [-1.0, 2.0])  # -2 x + previous x
    np.testing.assert_allclose(path["y"], [4.0, 8.0])
    np.testing.assert_allclose(path["z"], 1.0)
    assert path["x"].dtype == jnp.bfloat16


def test_bad_input():
    with pytest.raises(ArgumentError, match="past_extragradient: give a learning_rate or a base"):
        past_extragradient()
    with pytest.raises(HyperparameterError, match="past_extragradient: learning_rate"):
        past_extragradient(float("nan"))
