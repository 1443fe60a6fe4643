"""Extreme numbers: at infinity, at 0 log 0, in what a mask leaves out. Values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nablax.losses as losses


def both(f, x):
    """Value and gradient of the sum."""
    value, slope = jax.jit(lambda x: (f(x), jax.grad(lambda x: f(x).astype(jnp.float32).sum())(x)))(x)
    return np.asarray(value, np.float64), np.asarray(slope, np.float64)


def test_distances_of_nearly_parallel_vectors_in_half_precision():
    p, y = (jnp.array(v, jnp.float16) for v in ([1.0, 0.05], [1.0, 0.0]))
    exact = 1 - 1 / np.sqrt(1 + np.float64(p[1]) ** 2)
    np.testing.assert_allclose(losses.cosine_distance(p, y), exact, rtol=2e-3)


def test_sparsemax_of_integers_is_a_fraction():
    assert losses.sparsemax_loss(jnp.array([0]), jnp.array([1])) == 0.25


@pytest.mark.parametrize("infinity", [np.inf, -np.inf])
def test_infinite_logits(infinity):
    right = jnp.array([1.0 if infinity > 0 else 0.0])
    value, slope = both(lambda x: losses.sigmoid_binary_cross_entropy(x, right), jnp.array([infinity]))
    assert value == 0.0
    assert slope == 0.0


def test_minus_infinite_logit_of_an_impossible_class():
    x, y = jnp.array([0.0, -jnp.inf, 1.0]), jnp.array([1.0, 0.0, 0.0])
    for loss in (
        losses.softmax_cross_entropy,
        losses.safe_softmax_cross_entropy,
        losses.poly_loss_cross_entropy,
    ):
        value, slope = both(lambda x, loss=loss: loss(x, y), x)
        assert np.isfinite(value)
        assert np.all(np.isfinite(slope))
    np.testing.assert_allclose(losses.softmax_cross_entropy(x, y), np.log(1 + np.e), rtol=1e-6)
    assert losses.softmax_cross_entropy_with_integer_labels(x, jnp.array(1)) == np.inf


def test_divergences_at_zero_probability():
    """0 log 0 = 0, also against a prediction of 0: sum over {1/2 (log 1/2 - log 1/4)}, twice."""
    q = jnp.array([-jnp.inf, jnp.log(0.25), jnp.log(0.25), jnp.log(0.5)])
    y = jnp.array([0.0, 0.5, 0.5, 0.0])
    value, slope = both(lambda q: losses.kl_divergence(q, y), q)
    np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(slope, -np.asarray(y), rtol=1e-6)
    value, slope = both(lambda q: losses.kl_divergence_with_log_targets(q, jnp.log(y)), q)
    np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
    assert np.all(np.isfinite(slope))


def test_log_cosh_keeps_its_digits_near_zero():
    x = 1e-4
    value, slope = both(losses.log_cosh, x)
    np.testing.assert_allclose(value, x * x / 2, rtol=1e-6)
    np.testing.assert_allclose(slope, x, rtol=1e-6)


def test_cosine_at_zero_and_at_extreme_lengths():
    value, slope = both(lambda x: losses.cosine_similarity(x, jnp.ones(3)), jnp.zeros(3))
    assert value == 0.0
    assert np.all(slope == 0.0)
    for size in (1e-30, 1e30):
        np.testing.assert_allclose(losses.cosine_similarity(size * jnp.ones(3), jnp.ones(3)), 1.0, rtol=1e-6)
    # epsilon is the least norm, as documented: Optax takes it for the least square of one.
    np.testing.assert_allclose(
        losses.cosine_similarity(jnp.array([0.3]), jnp.array([2.0]), epsilon=0.6), 0.5, rtol=1e-6
    )


def test_triplet_of_odd_degree_takes_absolute_values():
    """Optax sums signed cubes. d = (1 + 8)^(1/3) from the positive, 0 from the negative."""
    a, p = jnp.array([1.0, 1.0]), jnp.array([2.0, -1.0])
    value, slope = both(lambda a: losses.triplet_margin_loss(a, p, a, norm_degree=3, margin=0.0, eps=0.0), a)
    np.testing.assert_allclose(value, 9 ** (1 / 3), rtol=1e-6)
    assert np.all(np.isfinite(slope))
    largest = losses.triplet_margin_loss(a, p, a, norm_degree=jnp.inf, margin=0.0)
    np.testing.assert_allclose(largest, 2.0, rtol=1e-6)


def test_ntxent_without_pairs_and_with_a_zero_embedding():
    z = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    value, slope = both(lambda z: losses.ntxent(z, jnp.arange(4)), z)
    assert value == 0.0
    assert np.all(slope == 0.0)
    value, slope = both(
        lambda z: losses.ntxent(z, jnp.array([0, 0, 1, 1])), z * np.array([[0], [1], [1], [1]], np.float32)
    )
    assert np.isfinite(value)
    assert np.all(np.isfinite(slope))


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, w: losses.softmax_cross_entropy(x, jnp.ones_like(x) / 3, where=w),
        lambda x, w: losses.softmax_cross_entropy_with_integer_labels(x, jnp.array([-1, 1]), where=w),
        lambda x, w: losses.kl_divergence(x, jnp.ones_like(x) / 3, where=w),
        lambda x, w: losses.cosine_similarity(x, jnp.ones_like(x), where=w),
        lambda x, w: losses.ranking_softmax_loss(x, jnp.ones_like(x), where=w),
    ],
)
def test_what_a_mask_leaves_out_is_not_seen(loss):
    """The first row counts nowhere: NaN there, or a label of -1, changes neither value nor gradient."""
    where = jnp.array([[False] * 3, [True, True, False]])
    x = jnp.array([[jnp.nan] * 3, [0.3, -0.2, jnp.nan]])
    clean = jnp.nan_to_num(x, nan=0.5)
    value, slope = both(lambda x: loss(x, where), x)
    expected, expected_slope = both(lambda x: loss(x, where), clean)
    np.testing.assert_allclose(value, expected)
    np.testing.assert_allclose(slope, expected_slope)
    assert np.all(np.isfinite(slope))
    assert np.all(slope[0] == 0.0)
    assert np.any(slope[1] != 0.0)


def test_dice_of_nothing_is_no_loss_and_sigmoid_may_be_left_out():
    nothing = jnp.zeros((1, 4, 2))
    assert np.all(losses.dice_loss(nothing, nothing, apply_softmax=False, smooth=0.0) == 0.0)
    p, t = jnp.array([[0.5, 0.5]]), jnp.array([[1.0, 0.0]])  # I = 1/2, P = T = 1: 1 - (1/2) / 1; Optax raises
    np.testing.assert_allclose(losses.binary_dice_loss(p, t, smooth=0.0, apply_sigmoid=False), [0.5])
