import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from nablax import games
from nablax.core import ArgumentError
from nablax.games import methods, nupi
from nablax.optimizers import sgd


def objective(x):
    return jnp.sum((x - jnp.array([2.0, 1.0, 0.5])) ** 2) + x[0] * x[1]


def below(x):
    return jnp.stack([x @ x - 1.0, x[0] - 0.4, -x[2] - 5.0])  # the last never binds


def on_plane(x):
    return {"sum": x.sum() - 1.0}


PROBLEM = games.lagrangian(objective, equality=on_plane, inequality=below)


def reference():
    return minimize(
        lambda x: np.sum((x - [2.0, 1.0, 0.5]) ** 2) + x[0] * x[1],
        np.zeros(3),
        method="SLSQP",
        options={"ftol": 1e-10},
        constraints=[
            {"type": "eq", "fun": lambda x: x.sum() - 1.0},
            {"type": "ineq", "fun": lambda x: -np.array([x @ x - 1.0, x[0] - 0.4, -x[2] - 5.0])},
        ],
    )


@pytest.mark.parametrize(
    "method",
    [
        methods.extragradient(0.1),
        methods.alternating({"x": sgd(0.1), "equality": nupi(0.1, kp=5.0), "inequality": nupi(0.1, kp=5.0)}),
    ],
    ids=["extragradient", "nupi"],
)
def test_finds_the_karush_kuhn_tucker_point(method):
    z0 = PROBLEM.start(jnp.zeros(3))
    s = games.solve(method, PROBLEM, z0, steps=3000, tol=2e-5)
    assert s.reason is games.Stopped.CONVERGED
    np.testing.assert_allclose(s.point["x"], reference().x, atol=2e-3)
    assert float(PROBLEM.violation(s.point["x"])) < 1e-4
    multipliers = s.point["inequality"]
    assert (multipliers >= 0).all()
    assert float(multipliers[2]) == 0.0  # complementary slackness
    # Stationarity, from the formulas.
    x = np.asarray(s.point["x"], np.float64)
    gradient = 2 * (x - [2.0, 1.0, 0.5]) + [x[1], x[0], 0] + float(s.point["equality"]["sum"])
    gradient += float(multipliers[0]) * 2 * x + float(multipliers[1]) * np.array([1.0, 0, 0])
    np.testing.assert_allclose(gradient, 0.0, atol=1e-3)


def test_a_constraint_may_be_a_vector():
    F = games.lagrangian(lambda x: 0.5 * x @ x, equality=lambda x: x - 1.0)
    assert F.start(jnp.zeros(2))["equality"].shape == (2,)


def test_the_field_is_that_of_the_lagrangian():
    z = {
        "x": jnp.array([1.0, 2.0, 3.0]),
        "equality": {"sum": jnp.array(2.0)},
        "inequality": jnp.array([1.0, 3.0, 0.5]),
    }
    value = PROBLEM(z)
    np.testing.assert_allclose(value["equality"]["sum"], -5.0)
    np.testing.assert_allclose(value["inequality"], [-13.0, -0.6, 8.0], rtol=1e-6)
    expected = 2 * np.array([-1, 1, 2.5]) + [2, 1, 0] + 2 + 2 * np.array([1, 2, 3]) + [3, 0, -0.5]
    np.testing.assert_allclose(value["x"], expected, rtol=1e-6)
    np.testing.assert_allclose(PROBLEM.project({**z, "inequality": -z["inequality"]})["inequality"], 0.0)


def test_start_and_violation():
    z0 = PROBLEM.start(jnp.zeros(3))
    assert set(z0) == {"x", "equality", "inequality"}
    assert z0["equality"]["sum"].shape == ()
    np.testing.assert_allclose(z0["inequality"], np.zeros(3))
    assert float(PROBLEM.violation(jnp.zeros(3))) == 1.0  # of the plane
    assert float(PROBLEM.violation(jnp.array([0.2, 0.4, 0.4]))) == pytest.approx(0.0, abs=1e-6)


def test_batches_reach_objective_and_constraints():
    F = games.lagrangian(lambda x, batch: x @ x * batch, inequality=lambda x, batch: batch - x.sum())
    value = F(F.start(jnp.ones(2), 3.0), 3.0)
    np.testing.assert_allclose(value["x"], 6.0)
    np.testing.assert_allclose(value["inequality"], -1.0)
    assert float(F.violation(jnp.ones(2), 3.0)) == 1.0


def test_a_set_for_the_variables():
    F = games.lagrangian(
        lambda x: x.sum(), inequality=lambda x: 1.0 - x.sum(), projection=lambda x: jnp.clip(x, 0.0, 0.7)
    )
    s = games.solve(methods.extragradient(0.2), F, F.start(jnp.array([5.0, 0.0])), steps=500, tol=1e-5)
    assert s.reason is games.Stopped.CONVERGED
    assert float(s.point["x"].sum()) == pytest.approx(1.0, abs=1e-4)
    assert (s.point["x"] <= 0.7).all()


def test_bad_input():
    with pytest.raises(ArgumentError, match="give equality= or inequality="):
        games.lagrangian(objective)
    with pytest.raises(ArgumentError, match="inequality: an objective must be a function"):
        games.lagrangian(objective, inequality=3.0)
