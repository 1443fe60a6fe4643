"""What the wing takes from other wings plays in games: optimistic optimizers, lookahead, partition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from games.loops import SPLITTERS, bilinear, play
from nablax import games
from nablax.core import apply_updates
from nablax.games import extragradient, past_extragradient
from nablax.optimizers import adam, optimistic_adam, optimistic_gradient_descent, sgd
from nablax.transforms import LookaheadParams, lookahead

FIELD = games.field(lambda x, y: x * y, minimize="x", maximize="y")
Z0 = {"x": jnp.array(1.0), "y": jnp.array(0.5)}


def distance(z):
    return float(jnp.hypot(z["x"], z["y"]))


def test_partition_of_nablax_is_among_the_splitters():
    assert "nablax.partition" in SPLITTERS


@pytest.mark.parametrize("rate", [0.3, lambda count: 0.3], ids=["number", "schedule"])
def test_optimistic_gradient_descent(rate):
    path, _ = play(optimistic_gradient_descent(rate), FIELD, Z0, 5)
    solver = games.trajectory(games.methods.optimistic(0.3), FIELD, Z0, steps=5)
    np.testing.assert_allclose([z["x"] for z in path], solver["x"][1:], rtol=1e-5)


def test_optimistic_gradient_descent_with_a_traced_rate():
    @jax.jit
    def end(rate):
        return play(optimistic_gradient_descent(rate), FIELD, Z0, 3)[0][-1]["x"]

    np.testing.assert_allclose(
        end(0.3), play(optimistic_gradient_descent(0.3), FIELD, Z0, 3)[0][-1]["x"], rtol=1e-5
    )


@pytest.mark.parametrize("rate", [0.02, lambda count: 0.02], ids=["number", "schedule"])
def test_optimistic_adam(rate):
    def end(tx):
        return distance(games.solve(tx, FIELD, Z0, steps=600).last)

    # Adam spirals out, its optimistic form in.
    assert end(optimistic_adam(rate, b1=0.5)) < 0.7 * distance(Z0) < distance(Z0) < end(adam(rate, b1=0.5))


def test_past_extragradient_is_optimistic_after_its_first_step():
    # Popov has no gradient before the first, the optimistic method takes the first twice.
    past, _ = play(past_extragradient(0.3), FIELD, Z0, 4)
    first = {p: Z0[p] - 0.3 * 2 * g for p, g in FIELD(Z0).items()}
    np.testing.assert_allclose(past[0]["x"], first["x"], rtol=1e-6)
    z, g_old = past[0], FIELD(Z0)
    for k in range(1, 4):
        g = FIELD(z)
        z = {p: z[p] - 0.3 * (2 * g[p] - g_old[p]) for p in z}
        g_old = g
        np.testing.assert_allclose([past[k]["x"], past[k]["y"]], [z["x"], z["y"]], rtol=1e-5)


def test_lookahead_on_the_joint_parameters():
    lr, k, alpha = 0.3, 5, 0.5
    tx = lookahead(sgd(lr), k, alpha)
    params = LookaheadParams(fast=Z0, slow=Z0)
    state = tx.init(params)
    for _ in range(2 * k):
        u, state = tx.update(FIELD(params.fast), state, params)
        params = apply_updates(params, u)
    modulus = abs(1 + alpha * ((1 - 1j * lr) ** k - 1))
    assert distance(params.slow) / distance(Z0) == pytest.approx(modulus**2, rel=1e-5)


def test_partition_plays_two_time_scales_in_the_solver():
    from nablax.transforms import partition

    tx = partition({"slow": sgd(0.1), "fast": sgd(0.4)}, {"x": "slow", "y": "fast"})
    path = games.trajectory(games.methods.extragradient(tx), FIELD, Z0, steps=1)
    half = 1 - 0.1 * 0.5, 0.5 + 0.4 * 1
    np.testing.assert_allclose(
        [path["x"][1], path["y"][1]], [1 - 0.1 * half[1], 0.5 + 0.4 * half[0]], rtol=1e-6
    )


def test_a_whole_training_loop_reaches_the_equilibrium():
    tx = SPLITTERS["nablax.partition"](
        {"down": extragradient(0.4), "up": extragradient(0.4, ascend=True)}, {"x": "down", "y": "up"}
    )
    path, _ = play(tx, bilinear, Z0, 60)
    assert distance(path[-1]) == pytest.approx(distance(Z0) * (1 - 0.16 + 0.0256) ** 15, rel=1e-4)
