"""Functions of arrays against the installed Optax, and the few names that are neither step nor table."""

import functools
import warnings
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import nablax.core
import nablax.optax
import nablax.optax.contrib
import nablax.optax.transforms
from parity.function_cases import CASES, FLOAT64, NOT_COMPLEX, TREE
from parity.stepping import assert_same, random_like


def library(face):
    return SimpleNamespace(**{**vars(face.transforms), **vars(face.contrib), **vars(face)})


OURS, THEIRS = library(nablax.optax), library(optax)
TOLERANCES = {np.float32: 1e-6, np.complex64: 3e-6, np.float64: 1e-12}


@functools.cache
def results(dtype):
    """What all functions of both libraries give for three draws: one program."""
    with jax.enable_x64(dtype == np.float64), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # global_norm
        every = jax.jit(lambda *args: {n: (f(OURS, *args), f(THEIRS, *args)) for n, f in CASES.items()})
        rng = np.random.default_rng(7)
        return [
            jax.device_get(every(*(random_like(t, dtype, rng) for t in ((3, 3), TREE, TREE))))
            for _ in range(3)
        ]


@pytest.mark.parametrize("dtype", TOLERANCES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", CASES)
def test_values(name, dtype):
    if dtype == np.complex64 and name in NOT_COMPLEX:
        pytest.skip("Optax squares the entries where their size is meant")
    tol = max(TOLERANCES[dtype], FLOAT64.get(name, 0) if dtype == np.float64 else 0)
    for draw in results(dtype):
        assert_same(*draw[name], tol, name)


@pytest.mark.parametrize(("g_norm", "max_norm"), [((2, 3), (3,)), ((3,), (2, 3))])
def test_clipping_units_keeps_the_shape_of_the_gradient(g_norm, max_norm):
    """Optax refuses what has not the shape of the gradient; ours what does not broadcast to it."""
    with pytest.raises(nablax.core.StructureError, match="unitwise_clip: .* shape of grad, \\(3,\\)"):
        OURS.unitwise_clip(jnp.ones(g_norm), jnp.ones(max_norm), jnp.ones(3))
    with pytest.raises(ValueError, match="Shape mismatch"):
        THEIRS.unitwise_clip(jnp.ones(g_norm), jnp.ones(max_norm), jnp.ones(3))
    np.testing.assert_allclose(OURS.unitwise_clip(2.0, jnp.ones(3), jnp.ones((2, 3))), np.full((2, 3), 0.5))


def test_an_empty_array_has_the_least_root_mean_square():
    assert OURS.safe_root_mean_squares(jnp.zeros((0, 2)), 0.3) == np.float32(0.3)
    assert np.isnan(THEIRS.safe_root_mean_squares(jnp.zeros((0, 2)), 0.3))
