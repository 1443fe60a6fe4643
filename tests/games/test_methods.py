"""What facts do not cover: projections, bases, players, evaluations, bad input. One table, walked over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import games
from nablax.core import ArgumentError, HyperparameterError
from nablax.games import methods
from nablax.optimizers import adam, sgd

TABLE = {
    "simultaneous": lambda lr: methods.simultaneous(lr),
    "alternating": lambda lr: methods.alternating(lr),
    "extragradient": lambda lr: methods.extragradient(lr),
    "extragradient, two sizes": lambda lr: methods.extragradient(lr, extrapolation=lr),
    "past extragradient": lambda lr: methods.past_extragradient(lr),
    "optimistic": lambda lr: methods.optimistic(lr),
    "eag_c": lambda lr: methods.eag_c(lr),
    "eag_v": lambda lr: methods.eag_v(lr),
    "feg": lambda lr: methods.feg(lr),
    "forward-backward-forward": lambda lr: methods.forward_backward_forward(lr),
    "mirror-prox": lambda lr: methods.mirror_prox(lr, games.euclidean()),
    "consensus": lambda lr: methods.consensus(lr, weight=0.5),
    "symplectic": lambda lr: methods.symplectic(lr, weight=0.5),
    "symplectic, aligned": lambda lr: methods.symplectic(lr, weight=0.5, align=True),
    "competitive": lambda lr: (
        methods.competitive(lr) if isinstance(lr, float) else methods.competitive(0.1, base=lr)
    ),
    "lola": lambda lr: methods.lola(lr, opponent_rate=0.1),
    "lookahead": lambda lr: methods.lookahead_minmax(
        methods.simultaneous(lr), sync_period=5, slow_step_size=0.5
    ),
}
EVALUATIONS = {  # in a step, for two players
    "simultaneous": 1, "alternating": 2, "extragradient": 2, "extragradient, two sizes": 2, "past extragradient": 1,
    "optimistic": 1, "eag_c": 2, "eag_v": 2, "feg": 2, "forward-backward-forward": 2, "mirror-prox": 2, "consensus": 1,
    "symplectic": 1, "symplectic, aligned": 1, "competitive": 1, "lola": 3, "lookahead": 1,
}  # fmt: skip
ADJUSTED = {
    "consensus",
    "symplectic",
    "symplectic, aligned",
    "competitive",
    "lola",
}  # for games without constraints
Z0 = {"x": jnp.array([0.9, -0.5]), "y": jnp.array([0.3, 0.8])}
A = jnp.array([[1.0, 0.4], [-0.3, 0.8]])


def strongly_monotone(x, y):
    return 0.5 * x @ x + x @ A @ y - 0.5 * y @ y + x.sum()


def test_the_table_holds_every_method():
    public = {m for m in dir(methods) if not m.startswith("_")} - {"Method", "Step"}
    used = {name for make in TABLE.values() for name in make.__code__.co_names}
    assert public <= used
    assert set(EVALUATIONS) == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_solves_a_game(name):
    """Every method finds the solution, in a box if it is made for that, and counts its evaluations."""

    def box(v):
        return jnp.clip(v, -0.6, 0.6)

    free = games.field(strongly_monotone, minimize="x", maximize="y")
    boxed = games.field(strongly_monotone, minimize="x", maximize="y", projections={"x": box, "y": box})
    F = free if name in ADJUSTED else boxed
    # Anchored methods converge like 1/k, not linearly.
    tol = 0.05 if name in ("eag_c", "eag_v", "feg") else 1e-5
    s = games.solve(TABLE[name](0.2), F, Z0, steps=400, tol=tol)
    assert s.reason is games.Stopped.CONVERGED
    assert float(F.residual(s.point)) <= tol * 1.01
    assert int(s.evaluations) == EVALUATIONS[name] * (int(s.steps) + 1) + 1
    if F is boxed:
        for point in (s.point, s.last, s.average, s.best):
            assert all((jnp.abs(v) <= 0.6 + 1e-6).all() for v in point.values())
        # A coordinate sits on the bound: the residual of the whole field does not vanish.
        assert float(free.residual(s.point)) > 0.05


@pytest.mark.parametrize("name", TABLE)
def test_any_gradient_transformation_makes_the_steps(name):
    F = games.field(strongly_monotone, minimize="x", maximize="y")
    path = games.trajectory(TABLE[name](adam(0.03)), F, Z0, steps=200)
    residuals = [float(F.residual(jax.tree.map(lambda x, k=k: x[k], path))) for k in (0, 200)]
    assert residuals[1] < 0.2 * residuals[0]


@pytest.mark.parametrize("name", ["alternating", "extragradient", "past extragradient", "optimistic"])
def test_a_transformation_a_player(name):
    F = games.field(strongly_monotone, minimize="x", maximize="y")
    by_number = games.trajectory(TABLE[name](0.2), F, Z0, steps=3)
    by_player = games.trajectory(TABLE[name]({"x": sgd(0.2), "y": 0.2}), F, Z0, steps=3)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), by_number, by_player)


def expected_path(step, steps=4):
    z = {p: np.asarray(v, np.float64) for p, v in Z0.items()}
    out = []
    for k in range(steps):
        z = step(z, k)
        out.append(z)
    return {p: np.stack([z[p] for z in out]) for p in "xy"}


GENERAL = games.field(
    {
        "x": lambda x, y: 0.5 * x @ x + x @ A @ y,
        "y": lambda x, y: y @ y + 2.0 * x @ y + 0.3 * (x @ x) * y.sum(),
    }
)


def general_parts(z):
    """Own gradients, the other derivatives of each loss, and the blocks of the Jacobian."""
    x, y, a = z["x"], z["y"], np.asarray(A, np.float64)
    own = x + a @ y, 2 * y + 2 * x + 0.3 * (x @ x)
    across = a.T @ x, 2 * y + 0.6 * x * y.sum()  # dl_x/dy, dl_y/dx
    j = {"xx": np.eye(2), "xy": a, "yx": 2 * np.eye(2) + 0.6 * np.ones((2, 1)) * x, "yy": 2 * np.eye(2)}
    return own, across, j


def check(method, step):
    path = games.trajectory(method, GENERAL, Z0, steps=4)
    expected = expected_path(step)
    for p in "xy":
        np.testing.assert_allclose(path[p][1:], expected[p], rtol=1e-4, atol=1e-5)


def test_lola_on_a_general_game():
    def step(z, _):
        (gx, gy), (xy, yx), j = general_parts(z)
        return {
            "x": z["x"] - 0.1 * (gx - 0.2 * j["yx"].T @ xy),
            "y": z["y"] - 0.1 * (gy - 0.2 * j["xy"].T @ yx),
        }

    check(methods.lola(0.1, opponent_rate=0.2), step)


def test_competitive_on_a_general_game():
    def step(z, _):
        (gx, gy), _, j = general_parts(z)
        lr = 0.3
        dx = -lr * np.linalg.solve(np.eye(2) - lr**2 * j["xy"] @ j["yx"], gx - lr * j["xy"] @ gy)
        dy = -lr * np.linalg.solve(np.eye(2) - lr**2 * j["yx"] @ j["xy"], gy - lr * j["yx"] @ gx)
        return {"x": z["x"] + dx, "y": z["y"] + dy}

    check(methods.competitive(0.3), step)


@pytest.mark.parametrize(
    ("kind", "method"), [("consensus", methods.consensus), ("symplectic", methods.symplectic)]
)
def test_second_order_terms_on_a_general_game(kind, method):
    def step(z, _):
        (gx, gy), _, j = general_parts(z)
        jac = np.block([[j["xx"], j["xy"]], [j["yx"], j["yy"]]])
        g = np.concatenate([gx, gy])
        extra = jac.T @ g if kind == "consensus" else (jac.T - jac) @ g / 2
        d = g + 0.4 * extra
        return {"x": z["x"] - 0.1 * d[:2], "y": z["y"] - 0.1 * d[2:]}

    check(method(0.1, weight=0.4), step)


def test_symplectic_alignment_leaves_a_saddle_that_repels():
    # The field spins and points away from the origin; the unaligned adjustment would hold on to it.
    F = games.operator(lambda z: jnp.array([[-1.0, 3.0], [-3.0, -1.0]]) @ z)
    z0 = jnp.array([1.0, 0.0])
    aligned = games.trajectory(methods.symplectic(0.05, weight=1.0, align=True), F, z0, steps=20)
    unaligned = games.trajectory(methods.symplectic(0.05, weight=1.0), F, z0, steps=20)
    assert float(jnp.linalg.norm(unaligned[-1])) < 1 < float(jnp.linalg.norm(aligned[-1]))


def test_alternating_order_and_states():
    def step(z, _):
        gx, _ = general_parts(z)[0]
        z = {**z, "x": z["x"] - 0.1 * gx}
        return {**z, "y": z["y"] - 0.2 * general_parts(z)[0][1]}

    check(methods.alternating({"x": 0.1, "y": sgd(0.2)}), step)


def test_tseng_projects_and_corrects():
    F = games.operator(lambda z: z - 2.0, projection=lambda z: jnp.clip(z, 0.0, 1.0))
    path = games.trajectory(methods.forward_backward_forward(0.5), F, jnp.array(0.8), steps=1)
    half = min(0.8 + 0.5 * 1.2, 1.0)
    np.testing.assert_allclose(path[1], half - 0.5 * ((half - 2) - (0.8 - 2)), rtol=1e-6)


def test_two_step_sizes():
    F = games.operator(lambda z: jnp.array([[1.0, 2.0], [-2.0, 0.5]]) @ z)
    z, m = np.array([1.0, 2.0]), np.array([[1.0, 2.0], [-2.0, 0.5]])
    path = games.trajectory(methods.extragradient(0.1, extrapolation=0.3), F, jnp.array([1.0, 2.0]), steps=1)
    np.testing.assert_allclose(path[1], z - 0.1 * m @ (z - 0.3 * m @ z), rtol=1e-6)


def test_schedules_count_full_steps():
    F = games.operator(lambda z: z)
    path = games.trajectory(methods.extragradient(lambda k: 0.5 / (k + 1)), F, jnp.array(1.0), steps=3)
    z = 1.0
    for k in range(3):
        lr = 0.5 / (k + 1)
        z = z - lr * (z - lr * z)
        np.testing.assert_allclose(path[k + 1], z, rtol=1e-6)


def test_mirror_prox_with_maps_by_player():
    a = jnp.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])
    F = games.field(
        lambda x, y: x @ a @ y + 0.5 * (y @ y),
        minimize="x",
        maximize="y",
        projections={"y": lambda y: jnp.clip(y, -1, 1)},
    )
    z0 = {"x": jnp.array([0.5, 0.3, 0.2]), "y": jnp.array([0.5, -0.2, 0.1])}
    path = games.trajectory(methods.mirror_prox(0.3, {"x": games.entropy()}), F, z0, steps=1)
    x, y, m = np.array([0.5, 0.3, 0.2]), np.array([0.5, -0.2, 0.1]), np.asarray(a)

    def entropic(g):
        w = x * np.exp(-0.3 * g)
        return w / w.sum()

    def clipped(g):
        return np.clip(y + 0.3 * g, -1, 1)

    hx, hy = entropic(m @ y), clipped(m.T @ x + y)
    np.testing.assert_allclose(path["x"][1], entropic(m @ hy), rtol=1e-5)
    np.testing.assert_allclose(path["y"][1], clipped(m.T @ hx + hy), rtol=1e-5)
    one = games.operator(lambda z: jnp.array([1.0, 2.0]))
    flat = games.trajectory(methods.mirror_prox(1.0, games.entropy()), one, jnp.array([0.5, 0.5]), steps=1)
    np.testing.assert_allclose(flat[1], np.exp([-1, -2]) / np.exp([-1, -2]).sum(), rtol=1e-5)


def test_lookahead_takes_methods_within_methods():
    inner = methods.lookahead_minmax(methods.extragradient(0.3), sync_period=2, slow_step_size=0.5)
    outer = methods.lookahead_minmax(inner, sync_period=4, slow_step_size=0.5)
    F = games.operator(lambda z: z)
    path = games.trajectory(outer, F, jnp.array(1.0), steps=4)
    c = 1 - 0.3 + 0.09
    m = 1 + 0.5 * (c**2 - 1)
    np.testing.assert_allclose(path[1:4], [c, m, m * c], rtol=1e-5)
    np.testing.assert_allclose(path[4], 1 + 0.5 * (m * m - 1), rtol=1e-5)


BILINEAR = games.field(lambda x, y: x @ y, minimize="x", maximize="y")


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("bad", [0.0, -0.1, float("nan")])
def test_step_sizes_that_are_not_positive(name, bad):
    with pytest.raises(HyperparameterError, match=r"must be positive, got"):
        TABLE[name](bad)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: methods.simultaneous("fast"), "simultaneous: learning_rate must be a real number"),
        (
            lambda: methods.simultaneous({"x": -1.0, "y": 1.0}),
            r"simultaneous: learning_rate\['x'\] must be positive",
        ),
        (lambda: methods.competitive(lambda k: 0.1), "competitive: learning_rate must be a real number"),
        (lambda: methods.lola(sgd(0.1)), "lola: opponent_rate must be a real number"),
        (lambda: methods.consensus(0.1, weight=-1.0), "consensus: weight must not be negative"),
        (lambda: methods.symplectic(0.1, weight=float("nan")), "symplectic: weight must be a number"),
        (lambda: methods.mirror_prox(0.1, jnp.exp), "maps must be Bregman maps"),
        (lambda: methods.lookahead_minmax(0.1), "inner must be a method"),
        (
            lambda: methods.lookahead_minmax(methods.simultaneous(0.1), sync_period=0),
            "sync_period must be an integer, got 0|sync_period must be at least 1",
        ),
        (
            lambda: methods.lookahead_minmax(methods.simultaneous(0.1), sync_period=2, slow_step_size=0.0),
            r"slow_step_size must lie in \(0, 1\]",
        ),
        (
            lambda: methods.extragradient(0.1, extrapolation=-1.0),
            "extragradient: extrapolation must be positive",
        ),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises((ArgumentError, HyperparameterError), match=message):
        make()


@pytest.mark.parametrize(
    ("method", "field", "message"),
    [
        (
            methods.alternating(0.1),
            lambda z: z,
            "alternating needs a game made by games.field, got an operator",
        ),
        (methods.lola(0.1), lambda z: z, "lola needs a game"),
        (methods.competitive(0.1), lambda z: z, "competitive needs a game of 2 players, got an operator"),
        (
            methods.competitive(0.1),
            games.field(lambda x, y, w: x @ y + w @ x, minimize=("x", "w"), maximize="y"),
            "competitive needs a game of 2 players, got 3 players",
        ),
        (
            methods.simultaneous({"x": 0.1}),
            BILINEAR,
            "step sizes are given for x, but the point has x, y",
        ),
        (methods.mirror_prox(0.1, {"w": games.entropy()}), BILINEAR, "maps names the unknown player 'w'"),
    ],
)
def test_methods_that_do_not_fit_the_game(method, field, message):
    z0 = {"x": jnp.ones(2), "y": jnp.ones(2), "w": jnp.ones(2)} if "3 players" in message else Z0
    with pytest.raises(ArgumentError, match=message):
        games.solve(method, field, z0, steps=2)
