"""Losses against torch.nn.functional, values and gradients in float64, where a twin exists."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nablax.losses as losses

torch = pytest.importorskip("torch")
F = torch.nn.functional

RNG = np.random.default_rng(2)
X, Y, W = (RNG.normal(size=(3, 4)) for _ in range(3))
P = np.exp(Y) / np.exp(Y).sum(-1, keepdims=True)
CLASSES = np.array([3, 0, 2])
UNIT = 1 / (1 + np.exp(-Y))

TWINS = [
    (losses.softmax_cross_entropy, lambda x, p: F.cross_entropy(x, p, reduction="none"), (X, P)),
    (
        losses.softmax_cross_entropy_with_integer_labels,
        lambda x, y: F.cross_entropy(x, y, reduction="none"),
        (X, CLASSES),
    ),
    (
        losses.sigmoid_binary_cross_entropy,
        lambda x, y: F.binary_cross_entropy_with_logits(x, y, reduction="none"),
        (X, UNIT),
    ),
    (losses.kl_divergence, lambda q, p: F.kl_div(q, p, reduction="none").sum(-1), (np.log(UNIT), P)),
    (
        losses.kl_divergence_with_log_targets,
        lambda q, p: F.kl_div(q, p, reduction="none", log_target=True).sum(-1),
        (np.log(UNIT), np.log(P)),
    ),
    (losses.squared_error, lambda x, y: F.mse_loss(x, y, reduction="none"), (X, Y)),
    (
        lambda x, y: losses.huber_loss(x, y, delta=0.6),
        lambda x, y: F.huber_loss(x, y, reduction="none", delta=0.6),
        (X, Y),
    ),
    (losses.cosine_similarity, lambda x, y: F.cosine_similarity(x, y, dim=-1), (X, Y)),
    (
        lambda a, p, n: losses.triplet_margin_loss(a, p, n, norm_degree=3, eps=0.0),
        lambda a, p, n: F.triplet_margin_loss(a, p, n, p=3, eps=0.0, reduction="none"),
        (X, Y, W),
    ),
]


@pytest.mark.parametrize(("ours", "theirs", "args"), TWINS)
def test_twin(ours, theirs, args):
    with jax.enable_x64(True):
        x, *rest = map(jnp.asarray, args)
        values, gradient = jax.jit(
            lambda x: (ours(x, *rest), jax.grad(lambda x: jnp.sin(ours(x, *rest)).sum())(x))
        )(x)
    x = torch.tensor(args[0], requires_grad=True)
    expected = theirs(x, *(torch.tensor(a) for a in args[1:]))
    expected.sin().sum().backward()
    np.testing.assert_allclose(values, expected.detach().numpy(), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=1e-12, atol=1e-13)


def test_ctc():
    frames, lengths = np.array([7, 5]), np.array([3, 2])
    logits, labels = RNG.normal(size=(2, 7, 5)), np.array([[1, 1, 4], [2, 3, 3]])
    padding = jnp.asarray(np.arange(7) >= frames[:, None]), jnp.asarray(np.arange(3) >= lengths[:, None])
    with jax.enable_x64(True):
        f = jax.jit(lambda x: losses.ctc_loss(x, padding[0], jnp.asarray(labels), padding[1]))
        values, gradient = (
            f(jnp.asarray(logits)),
            jax.jit(jax.grad(lambda x: f(x).sum()))(jnp.asarray(logits)),
        )
    x = torch.tensor(logits, requires_grad=True)
    expected = F.ctc_loss(
        x.transpose(0, 1).log_softmax(-1),
        torch.tensor(labels),
        torch.tensor(frames),
        torch.tensor(lengths),
        reduction="none",
    )
    expected.sum().backward()
    np.testing.assert_allclose(values, expected.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(gradient, x.grad.numpy(), atol=1e-12)
