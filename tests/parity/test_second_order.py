"""hvp, hessian_diag and fisher_diag against Optax, which has announced their removal."""

import inspect
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax.second_order
import pytest

from nablax import second_order

PARAMS = {"w": jax.random.normal(jax.random.key(0), (3, 2)), "b": jnp.array([0.1, -0.4])}
DATA = jax.random.normal(jax.random.key(1), (4, 3)), jax.random.normal(jax.random.key(2), (4, 2))


def loss(params, inputs, targets):
    return jnp.mean((jnp.tanh(inputs @ params["w"]) + params["b"] - targets) ** 4)


@pytest.mark.parametrize("name", ["hvp", "hessian_diag", "fisher_diag"])
def test_values_and_signatures(name):
    ours, theirs = getattr(second_order, name), getattr(optax.second_order, name)
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)
    args = (loss, jnp.arange(8.0)) if name == "hvp" else (loss,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        expected = theirs(*args, PARAMS, *DATA)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        ours(*args, PARAMS, *DATA),
        expected,
    )
