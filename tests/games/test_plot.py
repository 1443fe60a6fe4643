import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pytest

from nablax import games
from nablax.core import ArgumentError, HyperparameterError, StructureError
from nablax.games import methods

mpl.use("Agg")
BILINEAR = games.field(lambda x, y: x * y, minimize="x", maximize="y")


@pytest.fixture(autouse=True)
def _close():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


def test_one_line_a_method_and_the_field_as_arrows():
    chosen = {"simultaneous": methods.simultaneous(0.2), "extra-gradient": methods.extragradient(0.2)}
    ax = games.plot_trajectories(BILINEAR, chosen, {"x": 1.0, "y": 0.5}, steps=10)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == list(chosen)
    lines = {line.get_label(): line.get_xydata() for line in ax.lines}
    path = games.trajectory(chosen["extra-gradient"], BILINEAR, {"x": 1.0, "y": 0.5}, steps=10)
    np.testing.assert_allclose(lines["extra-gradient"], np.stack([path["x"], path["y"]], 1))
    (arrows,) = [c for c in ax.collections if type(c).__name__ == "Quiver"]
    xy = np.asarray(arrows.get_offsets())
    expected = np.stack([-xy[:, 1], xy[:, 0]], 1) / np.maximum(np.linalg.norm(xy, axis=1), 1e-9)[:, None]
    np.testing.assert_allclose(np.stack([arrows.U, arrows.V], 1), expected, atol=1e-5)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "y")


def test_a_path_that_leaves_does_not_hide_the_others_and_axes_may_be_given():
    import matplotlib.pyplot as plt

    _, ax = plt.subplots()
    z0 = jnp.array([1.0, 0.5])
    F = games.operator(lambda z: jnp.stack([z[1], -z[0]]))
    drawn = games.plot_trajectories(F, {"far": methods.simultaneous(3.0)}, z0, steps=300, ax=ax)
    assert drawn is ax
    assert ax.get_xlim()[1] < 5
    games.plot_trajectories(
        F, {"near": methods.extragradient(0.3)}, z0, steps=3, ax=ax, limits=((-1, 2), (0, 3))
    )
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 2), (0, 3))


def test_bad_input():
    with pytest.raises(StructureError, match="must hold two numbers, got 4"):
        games.plot_trajectories(
            BILINEAR, {"a": methods.simultaneous(0.1)}, {"x": jnp.ones(2), "y": jnp.ones(2)}, steps=2
        )
    with pytest.raises(ArgumentError, match="give at least one method"):
        games.plot_trajectories(BILINEAR, {}, {"x": 1.0, "y": 0.5})
    with pytest.raises(HyperparameterError, match=r"games\.trajectory: steps must be an integer"):
        games.plot_trajectories(BILINEAR, {"a": methods.simultaneous(0.1)}, {"x": 1.0, "y": 0.5}, steps=0)
