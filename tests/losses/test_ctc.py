"""CTC against all alignments, one by one; against torch; never negative."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax.losses import ctc_loss, ctc_loss_with_forward_probs


def spelled(path, blank):
    """What an alignment spells: repeats merged, then blanks dropped."""
    return tuple(k for k, _ in itertools.groupby(path) if k != blank)


def brute_force(log_p, labels, blank):
    """-log of the sum over all K^T alignments that spell the labels."""
    frames, classes = log_p.shape
    total = sum(
        np.exp(sum(log_p[t, k] for t, k in enumerate(path)))
        for path in itertools.product(range(classes), repeat=frames)
        if spelled(path, blank) == tuple(labels)
    )
    return -np.log(total)


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(5, 5, 3)) * 2
    labels = np.array([[1, 1], [1, 2], [2, 0], [0, 0], [2, 1]])
    lengths, frames = np.array([2, 2, 1, 0, 2]), np.array([5, 4, 5, 3, 3])
    return logits, np.arange(5) >= frames[:, None], labels, np.arange(2) >= lengths[:, None], lengths, frames


@pytest.mark.parametrize("blank", [0, 2])
def test_brute_force(problem, blank):
    logits, frame_padding, labels, label_padding, lengths, frames = problem
    labels = labels if blank == 0 else np.array([[1, 1], [1, 0], [0, 2], [2, 2], [0, 1]])
    with jax.enable_x64(True):
        log_p = np.asarray(jax.nn.log_softmax(logits))
        expected = [
            brute_force(log_p[i, : frames[i]], labels[i, : lengths[i]], blank) for i in range(len(labels))
        ]
        args = (jnp.array(frame_padding), jnp.array(labels), jnp.array(label_padding))
        mine = jax.jit(lambda x: ctc_loss(x, *args, blank_id=blank))(jnp.array(logits))
    np.testing.assert_allclose(mine, expected, rtol=1e-10)


def test_derivatives(problem):
    """The posterior as gradient, against the recursion differentiated; the second derivative against differences."""
    logits, frame_padding, labels, label_padding, *_ = problem
    args = (jnp.array(frame_padding), jnp.array(labels), jnp.array(label_padding))
    with jax.enable_x64(True):
        x = jnp.array(logits)
        direction = jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)

        @jax.jit
        def derivatives(x):
            gradient = jax.grad(lambda x: ctc_loss(x, *args).sum())
            plain = jax.grad(lambda x: ctc_loss_with_forward_probs(x, *args)[0].sum())
            return *jax.jvp(gradient, (x,), (direction,)), plain(x)

        gradient, curvature, expected = derivatives(x)
        np.testing.assert_allclose(gradient, expected, atol=1e-12)
        h = 1e-5
        ahead, behind = derivatives(x + h * direction)[0], derivatives(x - h * direction)[0]
        np.testing.assert_allclose(curvature, (ahead - behind) / (2 * h), atol=1e-8)
        assert np.all(np.asarray(gradient)[frame_padding] == 0.0)


def test_never_negative():
    """Certain spellings, of several alignments: the logarithm of their sum rounds to either side of 0.

    The first frame is the label, the second is the label or a blank. Optax's losses go down to -8e-8.
    """
    logits = np.zeros((512, 2, 2), np.float32)
    logits[:, 0, 1], logits[:, 1] = 30.0, np.random.default_rng(0).normal(size=(512, 2))
    labels, padding = np.ones((512, 1), int), np.zeros((512, 1))

    @jax.jit
    def both(x):
        value, pullback = jax.vjp(lambda x: ctc_loss(x, np.zeros((512, 2)), labels, padding), x)
        return value, pullback(jnp.ones(512))[0]

    value, gradient = both(logits)
    assert np.all(value >= 0.0)
    np.testing.assert_allclose(value, 0.0, atol=1e-6)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


def test_impossible_spelling_and_impossible_class_stay_finite():
    too_short = jnp.zeros((1, 1, 3)), jnp.zeros((1, 1)), jnp.array([[1, 2]]), jnp.zeros((1, 2))
    loss = jax.jit(lambda log_epsilon: ctc_loss(*too_short, log_epsilon=log_epsilon)[0])
    np.testing.assert_allclose(loss(-1e5), 1e5, rtol=1e-3)
    np.testing.assert_allclose(loss(-1e3), 1e3, rtol=1e-2)
    logits = jnp.zeros((1, 2, 3)).at[0, :, 2].set(-jnp.inf)
    f = lambda x: ctc_loss(x, jnp.zeros((1, 2)), jnp.array([[1]]), jnp.zeros((1, 1)))[0]  # noqa: E731
    value, gradient = jax.jit(jax.value_and_grad(f))(logits)
    np.testing.assert_allclose(value, -np.log(0.75), rtol=1e-6)
    assert np.all(np.isfinite(gradient))


def test_no_labels_at_all(problem):
    logits, frame_padding, *_ = problem
    empty = jnp.zeros((5, 0), int)
    expected = -np.sum(np.where(frame_padding, 0.0, jax.nn.log_softmax(jnp.array(logits))[..., 0]), axis=1)
    mine = jax.jit(ctc_loss)(jnp.array(logits), jnp.array(frame_padding), empty, empty)
    np.testing.assert_allclose(mine, expected, rtol=1e-5)
