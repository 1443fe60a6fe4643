"""Fenchel-Young losses: the sparse maximiser, its gradients, arguments of the maximum."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize_scalar

from nablax.losses import make_fenchel_young_loss, multiclass_sparsemax_loss, sparsemax_loss


def test_binary_is_multiclass_of_two():
    """Scores (0, x): the two-class simplex is the interval."""
    x = np.linspace(-3, 3, 13, dtype=np.float32)
    scores = np.stack([np.zeros_like(x), x], -1)
    multiclass = jax.jit(multiclass_sparsemax_loss)
    for y in (0, 1):
        np.testing.assert_allclose(sparsemax_loss(x, y), multiclass(scores, np.full(13, y)), atol=1e-6)
    # Omega*(s) = max over p in [0, 1] of p x - (p^2 + (1 - p)^2) / 2, by search
    best = minimize_scalar(lambda p: -(p * 0.4 - (p**2 + (1 - p) ** 2) / 2), bounds=(0, 1), method="bounded")
    np.testing.assert_allclose(sparsemax_loss(0.4, 0), -best.fun + 0.5, atol=1e-6)


def test_gradient_is_sparse_and_second_derivative_right():
    """On a support S the Hessian is I_S - 11^T / |S|."""
    with jax.enable_x64(True):
        s = jnp.array([[1.0, 0.8, -2.0, 0.5]])
        f = lambda s: multiclass_sparsemax_loss(s, jnp.array([2]))[0]  # noqa: E731
        support = np.array([1, 1, 0, 1.0])
        gradient, hessian = jax.jit(lambda s: (jax.grad(f)(s)[0], jax.hessian(f)(s)[0, :, 0]))(s)
        np.testing.assert_allclose(gradient, [17 / 30, 11 / 30, -1, 2 / 30], atol=1e-12)
        np.testing.assert_allclose(hessian, np.diag(support) - np.outer(support, support) / 3, atol=1e-12)


def test_arguments_reach_the_maximum():
    """Optax refuses them."""
    loss = make_fenchel_young_loss(lambda s, temperature: temperature * jax.nn.logsumexp(s / temperature))
    s, y = jnp.array([[0.0, 1.0], [2.0, -1.0]]), jnp.array([1.0, 0.0])
    for value in (loss(s, y, 2.0), loss(s, y, temperature=2.0)):
        np.testing.assert_allclose(value, 2 * np.log(np.exp(s / 2).sum(-1)) - s[:, 0], rtol=1e-6)
    np.testing.assert_allclose(
        jax.jit(jax.grad(lambda s: loss(s, y, 2.0).sum()))(s), jax.nn.softmax(s / 2) - y, rtol=1e-6
    )


def test_large_scores_keep_the_digits_of_the_maximiser():
    """Scores near 1e6, of which the threshold in float32 would keep none: p = (3/4, 1/4)."""
    s = jnp.array([[1e6, 1e6 - 0.5, 0.0]])
    value, gradient = jax.jit(jax.value_and_grad(lambda s: multiclass_sparsemax_loss(s, jnp.array([1]))[0]))(
        s
    )
    np.testing.assert_allclose(gradient[0], [0.75, -0.75, 0.0])
    np.testing.assert_allclose(value, (9 + 1) / 32 - 0.75 + 0.5 + 0.5)
