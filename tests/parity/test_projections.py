"""Projections against the installed Optax: names, signatures, values and gradients."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax.projections as theirs
import pytest

import nablax.projections as ours

RNG = np.random.default_rng(3)
X, A = ({"w": RNG.normal(size=(2, 3)), "b": RNG.normal(size=2)} for _ in range(2))
LOWER, UPPER = {"w": -0.5, "b": np.array([0.1, -2.0])}, {"w": 0.3, "b": np.array([0.2, 2.0])}

CASES = [
    ("projection_non_negative", ()),
    ("projection_box", (LOWER, UPPER)),
    ("projection_hypercube", (0.5,)),  # of one leaf: Optax raises on trees
    ("projection_simplex", (1.3,)),
    ("projection_l1_ball", (1.5,)),
    ("projection_l1_ball", (20.0,)),
    ("projection_l1_sphere", (1.5,)),
    ("projection_l2_ball", (1.5,)),
    ("projection_l2_ball", (20.0,)),
    ("projection_l2_sphere", (1.5,)),
    ("projection_linf_ball", (0.6,)),
    ("projection_vector", (A,)),
    ("projection_hyperplane", (A, 0.7)),
    ("projection_halfspace", (A, -5.0)),
    ("projection_halfspace", (A, 5.0)),
]


def public(module):
    return {n for n, v in vars(module).items() if not n.startswith("_") and not inspect.ismodule(v)}


def test_names():
    assert public(ours) == public(theirs) == {name for name, _ in CASES}


@pytest.mark.parametrize("name", sorted(public(ours)))
def test_signature(name):
    mine, reference = (inspect.signature(getattr(m, name)).parameters.values() for m in (ours, theirs))
    assert [(p.name, p.default, p.kind) for p in mine] == [(p.name, p.default, p.kind) for p in reference]


@functools.cache
def results(module, dtype):
    """The projections of all cases, and the derivatives along a direction, by one compiled program."""

    def along(name, args, x, direction):
        pair = (x["w"], direction["w"]) if name == "projection_hypercube" else (x, direction)
        return jax.jvp(lambda x: getattr(module, name)(x, *args), pair[:1], pair[1:])

    def every(x, direction):
        return [along(*case, x, direction) for case in CASES]

    with jax.enable_x64(dtype == jnp.float64):
        cast = lambda tree: jax.tree.map(lambda v: jnp.asarray(v, dtype), tree)  # noqa: E731
        return jax.tree.map(np.asarray, jax.jit(every)(cast(X), cast(A)))


@pytest.mark.parametrize("case", range(len(CASES)), ids=[f"{n}-{i}" for i, (n, _) in enumerate(CASES)])
def test_values_and_derivatives(case):
    """Relative to the largest entry of both: a derivative along the normal is 0 by cancellation."""
    expected = results(theirs, jnp.float64)[case]
    largest = max(np.max(np.abs(x)) for x in jax.tree.leaves(expected))
    for dtype, rtol in ((jnp.float64, 1e-12), (jnp.float32, 1e-6)):
        mine = results(ours, dtype)[case]
        assert jax.tree.structure(mine) == jax.tree.structure(expected)
        for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(expected), strict=True):
            assert a.dtype == dtype
            np.testing.assert_allclose(a, b, rtol=0, atol=rtol * largest)
