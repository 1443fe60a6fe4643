"""The exact rates and bounds of games: correctness.md, section 2, "Bilinear game" and "Monotone field"."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import games
from nablax.games import methods

SINGULAR = np.array([0.2, 0.5, 1.0, 1.7])


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def diagonal_game(s):
    """min max x^T diag(s) y: one two-dimensional bilinear game for each singular value."""
    return games.field(lambda x, y: jnp.sum(x * s * y), minimize="x", maximize="y")


def squares(path):
    """|z_k|^2 for each singular value, shape (steps + 1, values)."""
    return np.asarray(path["x"] ** 2 + path["y"] ** 2)


def factors(method, steps=4):
    """The factors on |z|^2 of each step, shape (steps, singular values)."""
    z0 = {"x": jnp.array([1.0, -0.3, 2.0, 0.7]), "y": jnp.array([0.4, 1.1, -1.0, 0.2])}
    sizes = squares(games.trajectory(method, diagonal_game(SINGULAR), z0, steps=steps))
    return sizes[1:] / sizes[:-1]


LR = 0.3
A = LR * SINGULAR
EXACT = {
    "simultaneous": (methods.simultaneous(LR), 1 + A**2),
    "extragradient": (methods.extragradient(LR), 1 - A**2 + A**4),
    "two step sizes": (
        methods.extragradient(LR, extrapolation=0.7),
        (1 - LR * 0.7 * SINGULAR**2) ** 2 + (LR * SINGULAR) ** 2,
    ),
    "forward-backward-forward": (methods.forward_backward_forward(LR), 1 - A**2 + A**4),
    "mirror-prox, Euclidean": (methods.mirror_prox(LR, games.euclidean()), 1 - A**2 + A**4),
    "competitive": (methods.competitive(LR, tol=1e-12), 1 / (1 + A**2)),
    # In general (1 - lr weight s^2)^2 + lr^2 s^2; the list has s = 1.
    "consensus": (methods.consensus(LR, weight=0.8), (1 - LR * 0.8 * SINGULAR**2) ** 2 + A**2),
    "symplectic": (methods.symplectic(LR, weight=0.8), (1 - LR * 0.8 * SINGULAR**2) ** 2 + A**2),
}


@pytest.mark.parametrize("name", EXACT)
def test_factor_on_the_square_of_the_distance(name):
    method, expected = EXACT[name]
    np.testing.assert_allclose(factors(method), np.broadcast_to(expected, (4, 4)), rtol=1e-9)


def test_the_competitive_step_of_a_bilinear_game_is_the_proximal_point():
    """z+ = z - lr F(z+): the fact about proximal points is one about this method."""
    rng = np.random.default_rng(1)
    a = jnp.asarray(rng.normal(size=(4, 3)))
    F = games.field(lambda x, y: x @ a @ y, minimize="x", maximize="y")
    z0 = {"x": jnp.asarray(rng.normal(size=4)), "y": jnp.asarray(rng.normal(size=3))}
    path = games.trajectory(methods.competitive(LR, tol=1e-12), F, z0, steps=3)
    for k in range(3):
        before, after = ({p: path[p][i] for p in "xy"} for i in (k, k + 1))
        velocity = {"x": a @ after["y"], "y": -(after["x"] @ a)}
        for p in "xy":
            np.testing.assert_allclose(after[p] + LR * velocity[p], before[p], rtol=1e-9, atol=1e-12)


def test_factors_hold_for_every_singular_value_of_a_full_matrix():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(5, 3))
    u, s, vt = np.linalg.svd(a, full_matrices=False)
    F = games.field(lambda x, y: x @ jnp.asarray(a) @ y, minimize="x", maximize="y")
    lr = 0.4 / s[0]
    z0 = {"x": jnp.asarray(u @ [1.0, -2.0, 0.5]), "y": jnp.asarray(vt.T @ [0.3, 1.0, 1.0])}
    path = games.trajectory(methods.extragradient(lr), F, z0, steps=3)
    sizes = (np.asarray(path["x"]) @ u) ** 2 + (np.asarray(path["y"]) @ vt.T) ** 2
    np.testing.assert_allclose(
        sizes[1:] / sizes[:-1], np.tile(1 - (lr * s) ** 2 + (lr * s) ** 4, (3, 1)), rtol=1e-9
    )


def test_extragradient_contracts_below_one_and_best_at_the_root_of_a_half():
    a = np.array([0.05, 0.3, 1 / np.sqrt(2), 0.9, 0.999, 1.0, 1.001, 1.2])
    z0 = {"x": jnp.ones(8), "y": jnp.zeros(8)}
    sizes = squares(games.trajectory(methods.extragradient(1.0), diagonal_game(a), z0, steps=1))
    factor = sizes[1] / sizes[0]
    assert (factor[:5] < 1).all()
    assert factor[5] == pytest.approx(1.0, abs=1e-12)  # at lr = 1/L the top mode stays where it is
    assert (factor[6:] > 1).all()
    assert factor.argmin() == 2
    assert factor[2] == pytest.approx(0.75, abs=1e-12)


def test_alternating_conserves_an_ellipse():
    F = games.field(lambda x, y: x * y, minimize="x", maximize="y")
    path = games.trajectory(methods.alternating(0.4), F, {"x": 1.0, "y": 0.3}, steps=200)
    x, y = np.asarray(path["x"]), np.asarray(path["y"])
    invariant = x**2 + y**2 - 0.4 * x * y
    np.testing.assert_allclose(invariant, invariant[0], rtol=1e-12)


@pytest.mark.parametrize("method", [methods.optimistic, methods.past_extragradient])
def test_optimistic_rates(method):
    stable = np.array([0.2, 0.35, 0.45, 0.5, 0.56])  # 1/sqrt(3) = 0.577
    s = np.append(stable, 0.59)
    z0 = {"x": jnp.ones(6), "y": jnp.zeros(6)}
    sizes = squares(games.trajectory(method(1.0), diagonal_game(s), z0, steps=600))
    a = stable[:3]
    rate = sizes[60] / sizes[59]
    np.testing.assert_allclose(rate[:3], (1 + np.sqrt(1 - 4 * a**2)) / 2, rtol=1e-6)
    assert (sizes[600, :5] < 1e-3).all()
    assert sizes[600, 5] > 10
    # At a = 1/2 the root is double: |z|^2 ~ k^2 / 2^k, the best of all rates.
    average_rate = (sizes[600] / sizes[300]) ** (1 / 300)
    assert average_rate[3] == pytest.approx(0.5, abs=0.01)
    assert average_rate[:6].argmin() == 3


def test_optimistic_roots_of_the_characteristic_equation():
    a = np.array([0.1, 0.3, 0.55, 0.7])
    z0 = {"x": jnp.ones(4), "y": jnp.zeros(4)}
    sizes = squares(games.trajectory(methods.optimistic(1.0), diagonal_game(a), z0, steps=400))
    for i, ai in enumerate(a):
        largest = max(abs(np.roots([1, -(1 - 2j * ai), -1j * ai]))) ** 2
        assert (sizes[400, i] / sizes[300, i]) ** (1 / 100) == pytest.approx(largest, rel=1e-6)


@pytest.mark.parametrize(("k", "alpha"), [(5, 0.5), (3, 0.2)])
def test_lookahead_modulus(k, alpha):
    method = methods.lookahead_minmax(methods.simultaneous(LR), sync_period=k, slow_step_size=alpha)
    z0 = {"x": jnp.array([1.0, -0.3, 2.0, 0.7]), "y": jnp.array([0.4, 1.1, -1.0, 0.2])}
    sizes = squares(games.trajectory(method, diagonal_game(SINGULAR), z0, steps=2 * k))[::k]
    modulus = abs(1 + alpha * ((1 - 1j * A) ** k - 1))
    np.testing.assert_allclose(sizes[1:] / sizes[:-1], np.tile(modulus**2, (2, 1)), rtol=1e-9)


# Monotone fields: F(z) = M (z - z*), M + M^T positive semidefinite; forty of them, L = 1.


def random_fields(count=40, n=6):
    rng = np.random.default_rng(7)
    skew = rng.normal(size=(count, n, n))
    root = rng.normal(size=(count, n, n)) * rng.uniform(size=(count, 1, n)) ** 4
    weight = rng.uniform(size=(count, 1, 1)) * np.array([0, 1])[np.arange(count) % 2, None, None]
    m = skew - np.swapaxes(skew, 1, 2) + weight * np.einsum("bij,bkj->bik", root, root)
    m /= np.linalg.norm(m, 2, axis=(1, 2))[:, None, None]
    return jnp.asarray(m), jnp.asarray(rng.normal(size=(count, n))), jnp.asarray(rng.normal(size=(count, n)))


def field_norms(method, steps=200):
    """|F(z_k)|^2 and D^2, for each field."""
    m, solution, z0 = random_fields()

    @jax.vmap
    def run(m, solution, z0):
        def F(z):
            return m @ (z - solution)

        path = games.trajectory(method, F, z0, steps=steps)
        return jnp.sum(jax.vmap(F)(path) ** 2, -1)

    return np.asarray(run(m, solution, z0)), np.sum(np.asarray(z0 - solution) ** 2, -1)[:, None]


K = np.arange(201)


def test_extragradient_never_increases_the_field_and_meets_its_bound():
    gamma = 0.7  # <= 1 / sqrt(2)
    f, d = field_norms(methods.extragradient(gamma))
    assert (f[:, 1:] <= f[:, :-1] * (1 + 1e-12)).all()
    assert (f <= d / (gamma**2 * (1 - gamma**2) * (K + 1))).all()


def test_eag_c_bound():
    f, d = field_norms(methods.eag_c(1 / 8))
    assert (f <= 260 * d / (K + 1) ** 2).all()


def test_eag_v_bound():
    f, d = field_norms(methods.eag_v(0.618))
    assert (f <= 27 * d / ((K + 1) * (K + 2))).all()


def test_feg_bound_holds_and_is_tight():
    f, d = field_norms(methods.feg(1.0))
    assert (f[:, 1:] <= 4 * d / K[1:] ** 2).all()
    # On min max x y the first two steps meet the bound with equality.
    F = games.field(lambda x, y: x * y, minimize="x", maximize="y")
    path = games.trajectory(methods.feg(1.0), F, {"x": 1.0, "y": 0.0}, steps=2)
    assert float(path["x"][2] ** 2 + path["y"][2] ** 2) == pytest.approx(4 / 2**2, abs=1e-12)


def test_eag_and_feg_iterates_are_those_of_their_formulas():
    rng = np.random.default_rng(3)
    m = rng.normal(size=(4, 4))
    z0 = rng.normal(size=4)
    steps = 5

    def eag(rates):
        z, out = z0, [z0]
        for k in range(steps):
            half = z + (z0 - z) / (k + 2) - rates[k] * m @ z
            z = z + (z0 - z) / (k + 2) - rates[k] * m @ half
            out.append(z)
        return out

    def feg(lr):
        z, out = z0, [z0]
        for k in range(steps):
            b = 1 / (k + 1)
            half = z + b * (z0 - z) - (1 - b) * lr * m @ z
            z = z + b * (z0 - z) - lr * m @ half
            out.append(z)
        return out

    length = 2.5
    varying = [0.618 / length]
    for k in range(steps):
        a = varying[-1]
        varying.append(
            a / (1 - a**2 * length**2) * (1 - (k + 2) ** 2 * a**2 * length**2 / ((k + 1) * (k + 3)))
        )
    F = games.operator(lambda z: jnp.asarray(m) @ z)
    for method, expected in [
        (methods.eag_c(0.11), eag([0.11] * steps)),
        (methods.eag_v(0.618 / length), eag(varying)),
        (methods.feg(0.2), feg(0.2)),
    ]:
        path = games.trajectory(method, F, jnp.asarray(z0), steps=steps)
        np.testing.assert_allclose(path, expected, rtol=1e-9, atol=1e-12)


def test_entropic_mirror_prox_bound():
    steps = 100
    rng = np.random.default_rng(5)
    a = jnp.asarray(rng.uniform(-1, 1, size=(7, 4)))
    largest = float(jnp.max(jnp.abs(a)))
    F = games.field(lambda x, y: x @ a @ y, minimize="x", maximize="y")
    solution = games.solve(
        methods.mirror_prox(1 / largest, games.entropy()),
        F,
        {"x": jnp.full(7, 1 / 7), "y": jnp.full(4, 1 / 4)},
        steps=steps,
    )
    gap = float(games.duality_gap(a, solution.average["x"], solution.average["y"]))
    assert 0 <= gap <= largest * (np.log(7) + np.log(4)) / steps
