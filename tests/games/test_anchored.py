import jax.numpy as jnp
import numpy as np
import pytest

from games.loops import SPLITTERS, bilinear, play, scan
from nablax import games
from nablax.core import ArgumentError, MissingParamsError, StructureError
from nablax.games import anchored, is_extrapolation, methods
from nablax.optimizers import adam, sgd

M = np.array([[1.0, 2.0], [-2.0, 0.5]])


def quadratic(z):
    return jnp.asarray(M, z.dtype) @ z


@pytest.mark.parametrize(
    ("variant", "method"), [("eag-c", methods.eag_c), ("eag-v", methods.eag_v), ("feg", methods.feg)]
)
def test_every_second_point_is_that_of_the_solver(variant, method):
    # The solver's iterates are checked against the formulas in tests/facts.
    z = jnp.array([1.0, 2.0])
    path, state = scan(anchored(0.1, variant), quadratic, z, 10)
    solver = games.trajectory(method(0.1), quadratic, z, steps=5)
    np.testing.assert_allclose(path[1::2], solver[1:], rtol=1e-5)
    assert not is_extrapolation(state)


def test_first_two_steps_of_eag_c():
    z0 = np.array([1.0, 2.0])
    half0 = z0 - 0.1 * M @ z0
    z1 = z0 - 0.1 * M @ half0
    half1 = z1 + (z0 - z1) / 3 - 0.1 * M @ z1
    z2 = z1 + (z0 - z1) / 3 - 0.1 * M @ half1
    path, _ = play(anchored(0.1), quadratic, jnp.array([1.0, 2.0]), 4)
    np.testing.assert_allclose(path, [half0, z1, half1, z2], rtol=1e-5)


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("up", [anchored(-1.0, "feg"), anchored(1.0, "feg", ascend=True)])
def test_players(splitter, up):
    tx = SPLITTERS[splitter]({"down": anchored(1.0, "feg"), "up": up}, {"x": "down", "y": "up"})
    path, state = scan(tx, bilinear, {"x": jnp.array(1.0), "y": jnp.array(0.0)}, 4)
    np.testing.assert_allclose([path["x"][1], path["y"][1]], [1.0, 1.0], atol=1e-6)
    np.testing.assert_allclose([path["x"][3], path["y"][3]], [0.0, 1.0], atol=1e-6)
    assert not is_extrapolation(state)


def test_schedules_count_full_steps_also_inside_a_base():
    z = jnp.array([1.0, 2.0])
    a, _ = play(anchored(lambda k: 0.2 / (1 + k)), quadratic, z, 4)
    b, _ = play(anchored(base=sgd(lambda k: 0.2 / (1 + k))), quadratic, z, 4)
    z1 = np.asarray(z) - 0.2 * M @ (np.asarray(z) - 0.2 * M @ np.asarray(z))
    drawn = z1 + (np.asarray(z) - z1) / 3
    z2 = drawn - 0.1 * M @ (drawn - 0.1 * M @ z1)
    np.testing.assert_allclose(a[3], z2, rtol=1e-5)
    np.testing.assert_allclose(b[3], z2, rtol=1e-5)


def test_around_adam():
    z = jnp.array([1.0, 2.0])
    path, state = scan(anchored(base=adam(0.05)), quadratic, z, 200)
    assert float(jnp.linalg.norm(path[-1])) < 0.5 * float(jnp.linalg.norm(z))
    assert state[-1].step == 100


def test_bad_input():
    z = jnp.zeros(2)
    with pytest.raises(ArgumentError, match="variant must be 'eag-c', 'eag-v' or 'feg', got 'eag'"):
        anchored(0.1, "eag")
    with pytest.raises(ArgumentError, match="anchored: give a learning_rate or a base"):
        anchored()
    with pytest.raises(MissingParamsError, match="anchored reads the parameters"):
        anchored(0.1).update(z, anchored(0.1).init(z))
    with pytest.raises(StructureError, match="anchored: "):
        anchored(0.1).update({"x": z}, anchored(0.1).init(z), {"x": z})
