"""What makes a projection: it lands in the set, stays there, and no point of the set is nearer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nablax.projections as projections

N = 5
NORMAL = np.array([1.0, -2.0, 0.5, 0.0, 1.0])


def simplex_points(rng, count):
    return rng.dirichlet(np.full(N, 0.5), count)


def signed(rng, points):
    return points * rng.choice([-1, 1], points.shape)


def unit(points):
    return points / np.linalg.norm(points, axis=-1, keepdims=True)


def on_plane(points, b):
    return points - np.outer((points @ NORMAL - b) / (NORMAL @ NORMAL), NORMAL)


# name, arguments, defect of a point (0 in the set), random points of the set
SETS = [
    ("projection_non_negative", (), lambda p: np.minimum(p, 0), lambda r, n: np.abs(r.normal(size=(n, N)))),
    (
        "projection_box",
        (-0.2, 0.5),
        lambda p: p - np.clip(p, -0.2, 0.5),
        lambda r, n: r.uniform(-0.2, 0.5, (n, N)),
    ),
    (
        "projection_hypercube",
        (0.7,),
        lambda p: p - np.clip(p, 0, 0.7),
        lambda r, n: r.uniform(0, 0.7, (n, N)),
    ),
    (
        "projection_linf_ball",
        (0.7,),
        lambda p: p - np.clip(p, -0.7, 0.7),
        lambda r, n: r.uniform(-0.7, 0.7, (n, N)),
    ),
    (
        "projection_simplex",
        (1.5,),
        lambda p: [p.sum() - 1.5, p.min(initial=0)],
        lambda r, n: 1.5 * simplex_points(r, n),
    ),
    (
        "projection_l1_sphere",
        (1.5,),
        lambda p: abs(p).sum() - 1.5,
        lambda r, n: 1.5 * signed(r, simplex_points(r, n)),
    ),
    (
        "projection_l1_ball",
        (1.5,),
        lambda p: max(abs(p).sum() - 1.5, 0),
        lambda r, n: 1.5 * r.uniform(size=(n, 1)) * signed(r, simplex_points(r, n)),
    ),
    (
        "projection_l2_sphere",
        (1.5,),
        lambda p: np.linalg.norm(p) - 1.5,
        lambda r, n: 1.5 * unit(r.normal(size=(n, N))),
    ),
    (
        "projection_l2_ball",
        (1.5,),
        lambda p: max(np.linalg.norm(p) - 1.5, 0),
        lambda r, n: 1.5 * r.uniform(size=(n, 1)) * unit(r.normal(size=(n, N))),
    ),
    (
        "projection_vector",
        (jnp.array(NORMAL, jnp.float32),),
        lambda p: p - NORMAL * (p @ NORMAL) / (NORMAL @ NORMAL),
        lambda r, n: np.outer(r.normal(size=n), NORMAL),
    ),
    (
        "projection_hyperplane",
        (jnp.array(NORMAL, jnp.float32), 0.8),
        lambda p: p @ NORMAL - 0.8,
        lambda r, n: on_plane(r.normal(size=(n, N)), 0.8),
    ),
    (
        "projection_halfspace",
        (jnp.array(NORMAL, jnp.float32), 0.8),
        lambda p: max(p @ NORMAL - 0.8, 0),
        lambda r, n: on_plane(r.normal(size=(n, N)), 0.8 - r.exponential(size=n)),
    ),
]


@pytest.mark.parametrize(("name", "args", "defect", "sample"), SETS, ids=[s[0] for s in SETS])
def test_in_the_set_idempotent_and_nearest(name, args, defect, sample):
    rng = np.random.default_rng(0)
    project = jax.jit(jax.vmap(lambda x: getattr(projections, name)(x, *args)))
    points = np.concatenate([rng.normal(size=(40, N)) * rng.choice([0.1, 1, 10], (40, 1)), np.zeros((1, N))])
    points[5, :3], points[6] = 0.0, 0.4  # zeros, and ties
    projected = np.asarray(project(jnp.asarray(points, jnp.float32)), np.float64)
    np.testing.assert_allclose(np.asarray(project(jnp.asarray(projected, jnp.float32))), projected, atol=1e-5)
    feasible = sample(rng, 300)
    for x, p in zip(points, projected, strict=True):
        np.testing.assert_allclose(defect(p), 0, atol=1e-5)
        nearest = np.linalg.norm(x - feasible, axis=-1).min()
        assert np.linalg.norm(x - p) <= nearest + 1e-5


def test_simplex_variational_inequality():
    """<x - p, q - p> <= 0 for every vertex q: exact, where random points only sample."""
    x = jax.random.normal(jax.random.key(0), (50, 300)) * jnp.geomspace(1e-3, 1e3, 50)[:, None]
    p = jax.vmap(projections.projection_simplex)(x)
    np.testing.assert_allclose(p.sum(1), 1, rtol=1e-5)
    slack = (x - p).max(1) - jnp.sum((x - p) * p, 1)
    assert np.all(np.asarray(slack) <= 1e-4 * np.abs(x).max(1))


def test_simplex_derivative_in_its_scale():
    """More to share out goes to the support in equal parts."""
    x = jnp.array([1.0, 0.8, -3.0])
    slope = jax.jit(jax.jacobian(lambda scale: projections.projection_simplex(x, scale)))(1.0)
    np.testing.assert_allclose(slope, [0.5, 0.5, 0.0])
