"""Hessian and Fisher products against the full matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax.core import StructureError
from nablax.second_order import fisher_diag, hessian_diag, hessian_product, hvp

KEY = jax.random.key(0)
PARAMS = {"b": jnp.array([0.3, -0.2]), "w": jax.random.normal(KEY, (3, 2))}
INPUTS, TARGETS = jax.random.normal(jax.random.key(1), (5, 3)), jnp.array([0, 1, 1, 0, 1])


def loss(params, inputs, targets):
    logits = jnp.tanh(inputs @ params["w"]) * params["b"] + params["b"] ** 3
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits), targets[:, None], axis=1))


def full_hessian():
    flat, unravel = jax.flatten_util.ravel_pytree(PARAMS)
    return jax.jit(jax.hessian(lambda x: loss(unravel(x), INPUTS, TARGETS)))(flat)


def test_products_are_those_of_the_full_hessian():
    h = full_hessian()
    v = jax.random.normal(jax.random.key(2), (8,))
    diagonal = jax.jit(lambda p: hessian_diag(loss, p, INPUTS, TARGETS))(PARAMS)
    np.testing.assert_allclose(diagonal, np.diag(h), rtol=1e-5, atol=1e-7)
    _, unravel = jax.flatten_util.ravel_pytree(PARAMS)
    for product in (
        hessian_product(loss, PARAMS, INPUTS, TARGETS)(unravel(v)),
        hvp(loss, unravel(v), PARAMS, INPUTS, TARGETS),
        hvp(loss, v, PARAMS, INPUTS, TARGETS),
    ):
        np.testing.assert_allclose(jax.flatten_util.ravel_pytree(product)[0], h @ v, rtol=1e-5, atol=1e-7)


def test_fisher_is_the_square_of_the_gradient():
    g = jax.flatten_util.ravel_pytree(jax.grad(loss)(PARAMS, INPUTS, TARGETS))[0]
    np.testing.assert_allclose(fisher_diag(loss, PARAMS, INPUTS, TARGETS), g**2, rtol=1e-6)


def test_a_vector_of_another_size_is_refused():
    with pytest.raises(StructureError, match="hvp: v must hold as many numbers as params, 8, got 3"):
        hvp(loss, jnp.ones(3), PARAMS, INPUTS, TARGETS)
