"""Scalar bounds on trees, spheres at zero, gradients there, dtypes, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

import nablax.projections as projections
from nablax.core._errors import ArgumentError, HyperparameterError, StructureError

TREE = {"w": jnp.array([2.0, -1.0]), "b": (jnp.array(0.5), None)}


def test_scalar_bounds_on_a_dict_tree():
    """Documented in Optax, where it raises."""
    p = projections.projection_box(TREE, 0.0, 1.0)
    np.testing.assert_array_equal(p["w"], [1.0, 0.0])
    assert p["b"] == (0.5, None)
    np.testing.assert_array_equal(projections.projection_hypercube(TREE)["w"], [1.0, 0.0])
    one_sided = projections.projection_box(TREE, {"w": 0.0, "b": (-1.0, None)}, np.inf)
    np.testing.assert_array_equal(one_sided["w"], [2.0, 0.0])


@pytest.mark.parametrize("name", ["projection_l1_sphere", "projection_l2_sphere"])
@pytest.mark.parametrize("x", [[0.0, 0.0, 0.0], [0.1, 0.0, -0.0], [1e-30, 0.0, 0.0], [1e30, 1e30, 0.0]])
def test_spheres_are_reached_from_everywhere(name, x):
    """From points with zeros Optax leaves the l1 sphere; at zero it returns NaN on the l2 sphere."""
    project = getattr(projections, name)
    p, gradient = jax.jit(lambda x: (project(x, 2.0), jax.grad(lambda x: project(x, 2.0)[0])(x)))(
        jnp.array(x)
    )
    size = np.abs(p).sum() if "l1" in name else np.linalg.norm(p)
    np.testing.assert_allclose(size, 2.0, rtol=1e-6)
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("name", ["projection_l1_ball", "projection_l2_ball", "projection_simplex"])
def test_balls_at_zero_and_of_no_size(name):
    project = getattr(projections, name)
    gradient = jax.jit(jax.grad(lambda x: project(x)[0]))(jnp.zeros(3))
    assert np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(project(jnp.array([1.0, -2.0, 0.5]), 0.0), np.zeros(3))


def test_zero_normal_changes_nothing():
    x, zero = jnp.array([1.0, 2.0]), jnp.zeros(2)
    for p in (
        projections.projection_hyperplane(x, zero, 1.0),
        projections.projection_halfspace(x, zero, -1.0),
    ):
        np.testing.assert_array_equal(p, x)
    np.testing.assert_array_equal(projections.projection_vector(x, zero), zero)
    gradient = jax.grad(lambda a: projections.projection_vector(x, a)[0])(zero)
    assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize(
    ("name", "args"),
    [("projection_l2_ball", (2.0,)), ("projection_simplex", (2.0,)), ("projection_l1_sphere", (2.0,))],
)
def test_leaves_keep_their_dtypes(name, args):
    """Sums run in float32: 5,000 bfloat16 ones have norm 70.7, not 16."""
    tree = {"h": jnp.ones(5000, jnp.bfloat16), "f": jnp.zeros(1), "i": jnp.array(0)}
    p = getattr(projections, name)(tree, *args)
    assert [p[k].dtype for k in "hfi"] == [jnp.bfloat16, jnp.float32, jnp.float32]
    h = np.asarray(p["h"], np.float64)
    size = np.linalg.norm(h) if "l2" in name else h.sum() + float(p["f"][0]) + float(p["i"])
    np.testing.assert_allclose(size, 2.0, rtol=5e-3)


def test_complex_vectors_where_the_set_has_no_order():
    z, a = jnp.array([3.0 + 0j, 4j]), jnp.array([1.0, 1j])
    np.testing.assert_allclose(projections.projection_l2_sphere(z, 10.0), [6.0, 8j], rtol=1e-6)
    np.testing.assert_allclose(projections.projection_l2_ball(z, 2.5), [1.5, 2j], rtol=1e-6)
    np.testing.assert_allclose(projections.projection_vector(z, a), [3.5, 3.5j], rtol=1e-6)
    on_plane = projections.projection_hyperplane(z, a, 1.0 + 1j)
    np.testing.assert_allclose(jnp.vdot(a, on_plane), 1.0 + 1j, rtol=1e-6)


ORDERED = {
    "non_negative": (), "box": (0.0, 1.0), "hypercube": (), "linf_ball": (), "simplex": (), "l1_ball": (),
    "l1_sphere": (), "halfspace": ({"w": jnp.ones(2)}, 1.0),
}  # fmt: skip


@pytest.mark.parametrize("name", ORDERED)
def test_complex_vectors_are_refused_where_elements_are_compared(name):
    project, z = getattr(projections, f"projection_{name}"), {"w": jnp.array([1 + 1j, 2.0])}
    with pytest.raises(ArgumentError) as raised:
        project(z, *ORDERED[name])
    tree = "x" if name == "halfspace" else "tree"
    assert str(raised.value) == f"projection_{name}: {tree} must be real, got complex64 at ['w']."


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: projections.projection_box(TREE, 1.0, 0.0),
            HyperparameterError,
            "lower bounds must not exceed upper",
        ),
        (
            lambda: projections.projection_box(TREE, np.nan, 0.0),
            HyperparameterError,
            "projection_box: lower bounds",
        ),
        (
            lambda: projections.projection_hypercube(TREE, -1.0),
            HyperparameterError,
            "projection_hypercube: lower",
        ),
        (
            lambda: projections.projection_box(TREE, {"w": 0.0}, 1.0),
            StructureError,
            "lower must be a number or have",
        ),
        (
            lambda: projections.projection_box(TREE["w"], jnp.zeros(3), 1.0),
            StructureError,
            "lower must broadcast to tree, got shape (3,) for (2,)",
        ),
        (
            lambda: projections.projection_l2_ball(TREE, -1.0),
            HyperparameterError,
            "scale must not be negative, got -1.0",
        ),
        (
            lambda: projections.projection_simplex(TREE, np.nan),
            HyperparameterError,
            "projection_simplex: scale",
        ),
        (lambda: projections.projection_l1_ball(TREE, "x"), ArgumentError, "scale must be a real number"),
        (
            lambda: projections.projection_box(TREE, 0.0, 1j),
            ArgumentError,
            "projection_box: upper must be real, got complex",
        ),
        (
            lambda: projections.projection_halfspace(TREE["w"], TREE["w"], "x"),
            ArgumentError,
            "projection_halfspace: b must be a real number, got str",
        ),
        (lambda: projections.projection_simplex({}), StructureError, "tree must hold at least one element"),
        (
            lambda: projections.projection_vector(TREE, TREE["w"]),
            StructureError,
            "must have the same structure",
        ),
        (
            lambda: projections.projection_halfspace({"a": jnp.ones(2)}, {"a": jnp.ones(3)}, 1.0),
            StructureError,
            "projection_halfspace: x and a must have the same shapes, got (2,) and (3,) at ['a']",
        ),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error) as raised:
        call()
    assert message in str(raised.value)


def test_traced_bounds_are_checked_by_checkify():
    checked = jax.jit(checkify.checkify(lambda low: projections.projection_box(TREE, low, 0.0)["w"]))
    assert checked(-1.0)[0].get() is None
    assert "projection_box: lower bounds must not exceed upper bounds" in checked(1.0)[0].get()
