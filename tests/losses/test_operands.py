"""What losses refuse: shapes that do not fit, kinds, labels out of range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import checkify

import nablax.losses as losses
from nablax.core._errors import ArgumentError, HyperparameterError, StructureError

ROW, ROWS, WIDE = jnp.ones(3), jnp.ones((2, 3)), jnp.ones((2, 4))
TWO, THREE = jnp.array([0, 1]), jnp.array([0, 1, 2])


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("softmax_cross_entropy", (ROWS, WIDE)),
        ("safe_softmax_cross_entropy", (ROWS, WIDE)),
        ("poly_loss_cross_entropy", (ROWS, WIDE)),
        ("softmax_cross_entropy_with_integer_labels", (ROWS, THREE)),
        ("sigmoid_binary_cross_entropy", (ROWS, WIDE)),
        ("sigmoid_focal_loss", (ROWS, WIDE)),
        ("kl_divergence", (ROWS, WIDE)),
        ("kl_divergence_with_log_targets", (ROWS, WIDE)),
        ("generalized_kl_divergence", (ROWS, WIDE)),
        ("hinge_loss", (ROWS, WIDE)),
        ("perceptron_loss", (ROWS, ROW)),
        ("sparsemax_loss", (ROWS, WIDE)),
        ("multiclass_hinge_loss", (ROWS, THREE)),
        ("multiclass_perceptron_loss", (ROWS, THREE)),
        ("multiclass_sparsemax_loss", (ROWS, THREE)),
        ("squared_error", (ROWS, ROW)),
        ("l2_loss", (ROWS, ROW)),
        ("huber_loss", (ROWS, WIDE)),
        ("log_cosh", (ROWS, WIDE)),
        ("cosine_similarity", (ROWS, WIDE)),
        ("cosine_distance", (ROWS, WIDE)),
        ("triplet_margin_loss", (ROWS, ROWS, WIDE)),
        ("ntxent", (ROWS, THREE)),
        ("ranking_softmax_loss", (ROWS, WIDE)),
        ("dice_loss", (ROWS, WIDE)),
        ("binary_dice_loss", (ROWS, WIDE)),
        ("multiclass_generalized_dice_loss", (ROWS, WIDE)),
        ("ctc_loss", (jnp.ones((2, 4, 3)), jnp.zeros((2, 5)), jnp.ones((2, 2), int), jnp.zeros((2, 2)))),
        ("ctc_loss", (jnp.ones((2, 4, 3)), jnp.zeros((2, 4)), jnp.ones((2, 2), int), jnp.zeros((2, 3)))),
    ],
)
def test_shapes_that_do_not_fit(name, args):
    with pytest.raises(StructureError) as error:
        getattr(losses, name)(*args)
    message = str(error.value)
    assert message.startswith(f"{name}: ")
    if "ctc" not in name:
        assert all(str(a.shape)[:-1] in message for a in args)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: losses.squared_error(THREE),
            ArgumentError,
            "predictions must be of a real floating dtype, got int32",
        ),
        (lambda: losses.squared_error(ROW + 1j), ArgumentError, "got complex64"),
        (
            lambda: losses.softmax_cross_entropy(THREE, ROW),
            ArgumentError,
            "logits must be of a real floating dtype",
        ),
        (
            lambda: losses.softmax_cross_entropy_with_integer_labels(ROWS, ROWS),
            ArgumentError,
            "labels must be of an integer dtype, got float32",
        ),
        (
            lambda: losses.softmax_cross_entropy(ROWS, ROWS, axis=2),
            StructureError,
            "axis must lie in [-2, 2)",
        ),
        *(
            (call, StructureError, "axis must name no dimension of 2 twice, got (1, -1)")
            for call in (
                lambda: losses.softmax_cross_entropy(ROWS, ROWS, axis=(1, -1)),
                lambda: losses.softmax_cross_entropy_with_integer_labels(ROWS, TWO, axis=(1, -1)),
                lambda: losses.smooth_labels(ROWS, 0.1, axis=(1, -1)),
                lambda: losses.kl_divergence(ROWS, ROWS, axis=(1, -1)),
                lambda: losses.cosine_similarity(ROWS, ROWS, axis=(1, -1)),
                lambda: losses.dice_loss(ROWS, ROWS, axis=(1, -1)),
            )
        ),
        (
            lambda: losses.softmax_cross_entropy(ROWS, ROWS, axis=1.5),
            ArgumentError,
            "axis must be an integer, a tuple of integers or None, got 1.5",
        ),
        (
            lambda: losses.triplet_margin_loss(ROWS, ROWS, ROWS, axis=2),
            StructureError,
            "triplet_margin_loss: axis must lie in [-2, 2) for 2 dimensions, got 2",
        ),
        (
            lambda: losses.softmax_cross_entropy(ROWS, ROWS, where=jnp.ones(5)),
            StructureError,
            "where of shape (5,)",
        ),
        (
            lambda: losses.dice_loss(ROWS, ROWS, reduction="max"),
            HyperparameterError,
            "'mean', 'sum' or 'none'",
        ),
        (
            lambda: losses.ctc_loss(
                jnp.ones((1, 2, 3)), jnp.zeros((1, 2)), TWO[None], jnp.zeros((1, 2)), blank_id=3
            ),
            HyperparameterError,
            "blank_id must lie in [0, 3), got 3",
        ),
    ],
)
def test_kinds_that_do_not_fit(call, error, message):
    with pytest.raises(error) as raised:
        call()
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("softmax_cross_entropy_with_integer_labels", losses.softmax_cross_entropy_with_integer_labels),
        ("multiclass_hinge_loss", losses.multiclass_hinge_loss),
        ("multiclass_perceptron_loss", losses.multiclass_perceptron_loss),
        ("multiclass_sparsemax_loss", losses.multiclass_sparsemax_loss),
        (
            "ctc_loss",
            lambda x, y: losses.ctc_loss(x[:, None], jnp.zeros((2, 1)), y[:, None], jnp.zeros((2, 1))),
        ),
    ],
)
def test_labels_out_of_range(name, call):
    """NaN, not a plausible number, in the row concerned; checkify names the label."""
    for bad in (-1, 3):
        labels = jnp.array([bad, 1])
        values = jax.jit(call)(ROWS, labels)
        np.testing.assert_array_equal(np.isnan(values), [True, False])
        error, _ = checkify.checkify(jax.jit(call))(ROWS, labels)
        assert f"{name}: labels must lie in [0, 3), got {bad}." in error.get()
    error, _ = checkify.checkify(jax.jit(call))(ROWS, jnp.array([2, 1]))
    assert error.get() is None


def test_masked_label_out_of_range_is_allowed():
    f = losses.softmax_cross_entropy_with_integer_labels
    where = jnp.array([False, True])
    error, values = checkify.checkify(lambda x: f(x, jnp.array([-100, 1]), where=where))(ROWS)
    assert error.get() is None
    np.testing.assert_allclose(values, [0.0, np.log(3)], rtol=1e-6)
