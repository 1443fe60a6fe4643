"""Losses of float16 and bfloat16 at extreme numbers: values and gradients are those of the same numbers in float64.

Each case would overflow, or lose all its digits, if it were computed in half precision: logits 60,000 apart, squares
of 300, exponentials of 1 / 0.07, sums of hundreds of pixels.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nablax.losses as losses

RNG = np.random.default_rng(0)
FAR = np.array([3e4, -3e4])
THREE = np.array([3e4, -3e4, 2.9e4])
LABELS = np.array([0.0, 1.0])
ONE = np.array(1)
FRAMES = 3e4 * np.array([[[1.0, 1, -1], [-1, 1, 1], [1, -1, 1]]])  # ties: half the paths each
CTC = (np.zeros((1, 3)), np.array([[1, 2]]), np.zeros((1, 2)))
PIXELS = 6e4 * RNG.choice([-1.0, 1.0], (2, 400, 3))
REGIONS = np.eye(3)[RNG.integers(0, 3, (2, 400))]
EMBEDDINGS = 3e4 * RNG.normal(size=(6, 4)).clip(-2, 2)
ANCHORS = 300 * RNG.normal(size=(3, 4, 5))


def forward_probabilities(*args):
    return sum(jnp.sum(v) for v in losses.ctc_loss_with_forward_probs(*args))


# A loss and its arguments; gradients are in the first.
CASES = [
    (losses.softmax_cross_entropy, FAR, LABELS),
    (losses.safe_softmax_cross_entropy, FAR, LABELS),
    (losses.poly_loss_cross_entropy, FAR, LABELS),
    (losses.softmax_cross_entropy_with_integer_labels, FAR, ONE),
    (losses.sigmoid_binary_cross_entropy, FAR, LABELS),
    (functools.partial(losses.sigmoid_focal_loss, gamma=0.5), FAR, LABELS),
    (losses.multiclass_hinge_loss, FAR, ONE),
    (losses.multiclass_perceptron_loss, FAR, ONE),
    (losses.multiclass_sparsemax_loss, FAR, ONE),
    (losses.sparsemax_loss, FAR, LABELS),
    (losses.hinge_loss, FAR, np.array([-1.0, -1.0])),
    (losses.perceptron_loss, FAR, np.array([-1.0, -1.0])),
    (losses.log_cosh, FAR),
    (losses.huber_loss, FAR),
    (losses.l2_loss, np.array([300.0])),  # its square is infinite in float16, half of it is not
    (losses.squared_error, np.array([300.0, 1e-4]), np.array([100.0, 0.0])),
    (losses.cosine_similarity, FAR, FAR[::-1]),
    (losses.cosine_distance, FAR, np.array([3e4, 1e4])),
    (losses.kl_divergence, FAR, np.array([0.5, 0.5])),
    (lambda y, q: losses.kl_divergence(q, y), np.array([0.75, 0.0]), np.array([-6e4, 0.0])),  # in the targets
    (losses.kl_divergence_with_log_targets, np.array([-6e4, -2.0, -3e4]), np.array([-0.5, -3e4, -9.0])),
    (losses.generalized_kl_divergence, np.array([10.5, -3e4, -30.0]), np.array([3.0, 0.5, 200.0])),
    (losses.generalized_kl_divergence, np.array([10.0, -6e4]), np.array([2.0, 0.0])),
    (losses.ctc_loss, FRAMES, *CTC),
    (forward_probabilities, FRAMES / 4, *CTC),
    (losses.ranking_softmax_loss, THREE, np.array([0.0, 1.0, 1.0])),
    (functools.partial(losses.dice_loss, smooth=1e-3), PIXELS, REGIONS),
    (
        functools.partial(losses.dice_loss, apply_softmax=False, reduction="none"),
        RNG.uniform(size=PIXELS.shape),
        REGIONS,
    ),
    (losses.binary_dice_loss, PIXELS[..., 0] / 3e4, REGIONS[..., 0]),
    (losses.multiclass_generalized_dice_loss, PIXELS / 1e4, REGIONS),
    (losses.ntxent, EMBEDDINGS, np.array([0, 0, 1, 1, 2, 2])),
    (losses.triplet_margin_loss, *ANCHORS),
    (losses.make_fenchel_young_loss(jax.nn.logsumexp), FAR, LABELS),
]


@functools.cache
def program(wide):
    """Values and gradients of all cases, compiled together."""

    def one(f, *args):
        def summed(x):
            value = f(x, *args[1:])
            return jnp.sum(value.astype(wide)), value

        gradient, value = jax.grad(summed, has_aux=True)(args[0])
        return value, gradient

    return jax.jit(lambda inputs: [one(f, *args) for (f, *_), args in zip(CASES, inputs, strict=True)])


@functools.cache
def results(dtype, like):
    """In `dtype`, of numbers rounded to `like`."""

    def rounded(x):
        return jnp.asarray(x.astype(like), dtype) if x.dtype.kind == "f" else jnp.asarray(x)

    with jax.enable_x64(dtype == jnp.float64):
        inputs = [[rounded(x) for x in args] for _, *args in CASES]
        out = program(jnp.promote_types(dtype, jnp.float32))(inputs)
        return jax.tree.map(lambda x: (x.dtype, np.asarray(x, np.float64)), out)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_as_in_float64(case, dtype):
    """Relative to the largest entry, to the unit of the last place; cosines of parallel vectors have gradient 0."""
    value, gradient = results(dtype, dtype)[case]
    assert gradient[0] == dtype
    for (_, mine), (_, exact) in zip((value, gradient), results(jnp.float64, dtype)[case], strict=True):
        assert np.all(np.isfinite(mine))
        atol = float(jnp.finfo(dtype).eps) * np.max(np.abs(exact)) + 1e-11
        np.testing.assert_allclose(mine, exact, rtol=0, atol=atol)
