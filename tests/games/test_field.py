import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import games
from nablax.core import ArgumentError, StructureError

Z = {"x": jnp.array([1.0, 2.0]), "y": jnp.array([0.5, -1.0])}


def coupled(x, y):
    return 0.5 * x @ x + x @ y - 2.0 * y @ y


def assert_point(z, **expected):
    assert set(z) == set(expected)
    for p, value in expected.items():
        np.testing.assert_allclose(z[p], value, rtol=1e-6)


def test_zero_sum_gives_each_player_the_gradient_of_its_own_loss():
    F = games.field(coupled, minimize="x", maximize="y")
    assert_point(F(Z), x=Z["x"] + Z["y"], y=-(Z["x"] - 4 * Z["y"]))
    np.testing.assert_allclose(F.own("y", Z), F(Z)["y"])
    assert_point(F.gradient("y", Z), x=-(Z["x"] + Z["y"]), y=-(Z["x"] - 4 * Z["y"]))
    losses = F.losses(Z)
    assert float(losses["x"]) == -float(losses["y"]) == pytest.approx(float(coupled(**Z)))


def test_order_of_arguments_and_of_the_point_does_not_matter():
    F = games.field(lambda y, x: coupled(x, y), minimize="x", maximize="y")
    assert_point(F(dict(reversed(Z.items()))), x=Z["x"] + Z["y"], y=-(Z["x"] - 4 * Z["y"]))


def test_general_sum():
    F = games.field({"x": lambda x, y: x @ y + x @ x, "y": lambda x, y: (y @ y) * (x @ x)})
    assert_point(F(Z), x=Z["y"] + 2 * Z["x"], y=2 * Z["y"] * 5.0)
    np.testing.assert_allclose(F.own("x", Z), F(Z)["x"])
    assert_point(F.gradient("y", Z), x=2 * Z["x"] * 1.25, y=10.0 * Z["y"])


def test_several_players_a_side_and_functions_of_the_joint_point():
    z = {"a": jnp.array(2.0), "b": jnp.array(3.0), "c": jnp.array(5.0)}
    F = games.field(lambda z: z["a"] * z["b"] * z["c"], minimize=("a", "c"), maximize="b")
    assert_point(F(z), a=15.0, b=-10.0, c=6.0)
    assert F.players == ("a", "c", "b")


def test_players_are_any_trees():
    z = {"x": {"w": jnp.ones(2), "b": jnp.array(1.0)}, "y": [jnp.array(2.0)]}
    F = games.field(lambda x, y: (x["w"].sum() + x["b"]) * y[0], minimize="x", maximize="y")
    value = F(z)
    np.testing.assert_allclose(value["x"]["w"], 2.0)
    np.testing.assert_allclose(value["y"][0], -3.0)


def test_batches_and_keys():
    def f(x, y, batch, key):
        return x @ y * batch + jax.random.normal(key) * x.sum()

    F = games.field(f, minimize="x", maximize="y")
    key = jax.random.key(1)
    direct, bound = F(Z, 3.0, key), F.bind(3.0, key)(Z)
    noise = jax.random.normal(key)
    assert_point(direct, x=3 * Z["y"] + noise, y=-3 * Z["x"])
    assert_point(bound, **direct)
    np.testing.assert_allclose(F.bind(3.0, key).own("x", Z), direct["x"])
    only_batch = games.field({"x": lambda z, batch=None: z["x"] @ z["x"] * batch, "y": lambda x, y: x @ y})
    assert_point(only_batch(Z, 2.0), x=4 * Z["x"], y=Z["x"])


def test_a_zero_sum_field_costs_one_backward_pass():
    rng = np.random.default_rng(0)
    layers = [jnp.asarray(rng.normal(size=(8, 8)), jnp.float32) for _ in range(3)]

    def f(x, y):
        h = y
        for w in layers:
            h = jnp.tanh(w @ (x * h))
        return h.sum()

    def dots(fn, *args):
        return str(jax.make_jaxpr(fn)(*args)).count("dot_general")

    z = {"x": jnp.ones(8), "y": jnp.ones(8)}
    zero_sum = games.field(f, minimize="x", maximize="y")
    general = games.field({"x": f, "y": lambda x, y: -f(x, y)})
    one_pass = dots(lambda z: jax.vjp(lambda x, y: f(x, y), z["x"], z["y"])[1](1.0), z)
    assert one_pass == 6  # three forward, three backward
    assert dots(zero_sum, z) == one_pass
    assert dots(general, z) == 2 * one_pass
    tanhs = str(jax.make_jaxpr(zero_sum)(z)).count("tanh")
    assert tanhs == 3


def test_a_solver_step_asks_for_no_more_than_its_evaluations():
    a = jnp.ones((4, 4))
    F = games.field(lambda x, y: x @ a @ y, minimize="x", maximize="y")
    z = {"x": jnp.ones(4), "y": jnp.ones(4)}

    def count(method):
        state = method.init(F, z)
        return jax.jit(lambda z, s: method.step(F, z, s).z).lower(z, state).compile().as_text().count(" dot(")

    simultaneous = count(games.methods.simultaneous(0.1))
    assert simultaneous == 2  # A y and A^T x
    assert count(games.methods.extragradient(0.1)) == 2 * simultaneous
    assert count(games.methods.optimistic(0.1)) == simultaneous


def test_projections_and_residual():
    F = games.field(coupled, minimize="x", maximize="y", projections={"y": lambda y: jnp.maximum(y, 0.0)})
    assert_point(F.project(Z), x=Z["x"], y=jnp.array([0.5, 0.0]))
    z = F.project(Z)
    step = np.maximum(z["y"] - F(z)["y"], 0.0)
    expected = np.sqrt(np.sum(np.square(F(z)["x"])) + np.sum(np.square(z["y"] - step)))
    assert float(F.residual(z)) == pytest.approx(expected, rel=1e-6)
    free = games.field(coupled, minimize="x", maximize="y")
    value = free(Z)
    assert float(free.residual(Z)) == pytest.approx(np.linalg.norm(np.concatenate([value["x"], value["y"]])))


def test_operator():
    F = games.operator(
        lambda z, batch: (batch * z[1], -z[0]), projection=lambda z: (z[0], jnp.maximum(z[1], 0))
    )
    value = F((jnp.array(1.0), jnp.array(2.0)), 3.0)
    assert (float(value[0]), float(value[1])) == (6.0, -1.0)
    assert float(F.project((jnp.array(1.0), jnp.array(-2.0)))[1]) == 0.0
    with pytest.raises(ArgumentError, match="knows no player's loss"):
        F.losses((jnp.array(1.0), jnp.array(2.0)))
    with pytest.raises(
        StructureError, match=r"games\.operator: the field must have the structure of the point"
    ):
        games.operator(lambda z: [z])(jnp.ones(2))
    with pytest.raises(ArgumentError, match="fun must be a function"):
        games.operator(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: games.field(coupled, minimize="x", maximize="z"),
            "reads 'y', which is no player",
        ),
        (lambda: games.field(lambda x: x, minimize="x", maximize="y"), "player 'y' is named in no objective"),
        (lambda: games.field({"x": lambda x: x, "y": lambda x: x}), "player 'y' is named in no objective"),
        (lambda: games.field(coupled, minimize="x"), "maximize must name a player"),
        (lambda: games.field(coupled, minimize="x", maximize=()), "maximize must be the name of a player"),
        (lambda: games.field(coupled, minimize="x", maximize=("x", "y")), "a player plays on one side"),
        (lambda: games.field({}), "at least one player"),
        (
            lambda: games.field(lambda a, b: a @ b, minimize="x", maximize="y"),
            r"takes a, b, none of which is a player. Its arguments are the players \(x, y\) by name",
        ),
        (
            lambda: games.field({"x": lambda a, b: a @ b, "y": coupled}),
            "player 'x': the objective <lambda> takes a, b",
        ),
        (lambda: games.field({"x": coupled}, minimize="x"), "minimize and maximize belong to one function"),
        (lambda: games.field({"x": 3.0}), "an objective must be a function"),
        (
            lambda: games.field(coupled, minimize="x", maximize="y", projections={"w": abs}),
            "projections names the unknown player 'w'; the players are x, y",
        ),
        (
            lambda: games.field(coupled, minimize="x", maximize="y", projections={"x": 1.0}),
            "the projection of 'x' must be a function",
        ),
    ],
)
def test_games_that_make_no_sense(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_objectives_whose_arguments_have_no_names_outside():
    F = games.field(lambda x, y, /: x @ y, minimize="x", maximize="y")
    assert_point(F(Z), x=Z["y"], y=-Z["x"])


def test_points_that_do_not_fit():
    F = games.field(coupled, minimize="x", maximize="y")
    with pytest.raises(StructureError, match="player 'w' is named in no objective; the players are x, y"):
        F({**Z, "w": jnp.ones(2)})
    with pytest.raises(StructureError, match="lacks player 'y'"):
        F({"x": Z["x"]})
    with pytest.raises(StructureError, match=r"a dict with one entry a player \(x, y\), got list"):
        F([1.0, 2.0])
