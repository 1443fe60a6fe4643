import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from nablax import games
from nablax.core import ArgumentError, StructureError

RPS = jnp.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])


def value_by_linear_program(a):
    """min_x max_j (A^T x)_j over the simplex, as a linear program in (x, v)."""
    n, m = a.shape
    result = linprog(
        np.append(np.zeros(n), 1.0),
        A_ub=np.hstack([a.T, -np.ones((m, 1))]),
        b_ub=np.zeros(m),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * n + [(None, None)],
    )
    return result.fun, result.x[:n]


def test_gap_is_zero_only_at_the_equilibrium_and_bounds_the_value():
    a = np.random.default_rng(1).normal(size=(5, 4))
    value, x = value_by_linear_program(a)
    minus_value, y = value_by_linear_program(-a.T)
    assert value == pytest.approx(-minus_value, abs=1e-9)
    assert float(games.duality_gap(a, x, y)) == pytest.approx(0.0, abs=1e-5)
    other = np.full(5, 0.2)
    gap = float(games.duality_gap(a, other, y))
    assert gap == pytest.approx((a.T @ other).max() - value, abs=1e-5)
    assert gap > 0.01


def test_exploitability_of_a_matrix_game_is_half_the_gap():
    rng = np.random.default_rng(2)
    a, x, y = rng.normal(size=(4, 3)), rng.dirichlet(np.ones(4)), rng.dirichlet(np.ones(3))
    # x minimises: its payoff is -a.
    assert float(games.exploitability([-a, a], [x, y])) == pytest.approx(
        float(games.duality_gap(a, x, y)) / 2, rel=1e-5
    )


def test_exploitability_of_three_players_by_enumeration():
    rng = np.random.default_rng(3)
    payoffs = rng.normal(size=(3, 2, 3, 4))
    s = [rng.dirichlet(np.ones(n)) for n in (2, 3, 4)]
    gains = []
    for i, subscripts in enumerate(["abc,b,c->a", "abc,a,c->b", "abc,a,b->c"]):
        others = [s[j] for j in range(3) if j != i]
        each = np.einsum(subscripts, payoffs[i], *others)
        gains.append(each.max() - each @ s[i])
    assert float(games.exploitability(payoffs, s)) == pytest.approx(np.mean(gains), rel=1e-5)


def test_rock_paper_scissors_is_solved():
    F = games.field(lambda x, y: x @ RPS @ y, minimize="x", maximize="y")
    z0 = {"x": jnp.array([0.6, 0.3, 0.1]), "y": jnp.array([0.2, 0.2, 0.6])}
    s = games.solve(games.methods.mirror_prox(0.5, games.entropy()), F, z0, steps=300, tol=1e-5)
    assert s.reason is games.Stopped.CONVERGED
    np.testing.assert_allclose([s.point["x"], s.point["y"]], 1 / 3, atol=1e-4)
    assert float(games.duality_gap(RPS, s.point["x"], s.point["y"])) < 1e-4


def test_bad_input():
    with pytest.raises(StructureError, match=r"duality_gap: .* got \(3, 3\), \(2,\), \(3,\)"):
        games.duality_gap(RPS, jnp.ones(2), jnp.ones(3))
    with pytest.raises(ArgumentError, match="give one strategy for each of 2 payoffs, got 1"):
        games.exploitability([RPS, RPS], [jnp.ones(3)])
    with pytest.raises(
        StructureError, match=r"payoffs\[0\] must have one axis a player, \(3, 2\), got \(3, 3\)"
    ):
        games.exploitability([RPS, RPS], [jnp.ones(3), jnp.ones(2)])
