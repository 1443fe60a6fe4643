"""hvp, hessian_diag and fisher_diag against Optax, which has announced their removal: values and gradients."""

import functools
import inspect
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax.second_order
import pytest

from nablax import second_order

NAMES = ["hvp", "hessian_diag", "fisher_diag"]
RNG = np.random.default_rng(0)
PARAMS = {"w": RNG.normal(size=(3, 2)), "b": np.array([0.1, -0.4])}
DATA = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 2))


def loss(params, inputs, targets):
    return jnp.mean((jnp.tanh(inputs @ params["w"]) + params["b"] - targets) ** 4)


@pytest.mark.parametrize("name", NAMES)
def test_signatures(name):
    ours, theirs = getattr(second_order, name), getattr(optax.second_order, name)
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


@functools.cache
def results(module, dtype):
    """Each function's value, and the gradient of its sum of squares in the parameters, by one compiled program."""

    def one(name, params, data):
        args = (loss, jnp.arange(8.0, dtype=dtype)) if name == "hvp" else (loss,)

        def values(params):
            return getattr(module, name)(*args, params, *data)

        def squares(params):
            return sum(jnp.sum(x**2) for x in jax.tree.leaves(values(params)))

        return values(params), jax.grad(squares)(params)

    with jax.enable_x64(dtype == jnp.float64), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        given = jax.tree.map(lambda x: jnp.asarray(x, dtype), (PARAMS, DATA))
        return jax.tree.map(np.asarray, jax.jit(lambda *a: [one(n, *a) for n in NAMES])(*given))


@pytest.mark.parametrize("index", range(3), ids=NAMES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float64, 1e-12), (jnp.float32, 1e-6)])
def test_values_and_gradients(index, dtype, tolerance):
    """Relative to the largest entry: small ones are known to the rounding of the terms they are sums of."""
    mine, expected = results(second_order, dtype)[index], results(optax.second_order, jnp.float64)[index]
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(expected), strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.max(np.abs(b)))
