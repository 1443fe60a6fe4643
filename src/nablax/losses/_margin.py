"""Losses of a margin between the right answer and the others: hinge and perceptron."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ._operands import array, broadcastable, row_labels, same_shape, to_dtype, wide


def hinge_loss(predictor_outputs: Any, targets: Any) -> jax.Array:
    """Binary hinge loss, elementwise.   L = max(0, 1 - y f)

    Args:
      predictor_outputs: f, numbers.
      targets: y in {-1, 1}, numbers that broadcast against f.

    Returns:
      The losses, in the dtype of the floating arguments.

    Raises:
      StructureError: shapes do not broadcast.

    Source: Cortes and Vapnik 1995, doi:10.1007/BF00994018.
    """
    predictor_outputs = array("hinge_loss", "predictor_outputs", predictor_outputs)
    targets = array("hinge_loss", "targets", targets)
    broadcastable("hinge_loss", predictor_outputs=predictor_outputs, targets=targets)
    dtype = jnp.result_type(predictor_outputs, targets)
    return to_dtype(jnp.maximum(0, 1 - wide(predictor_outputs) * wide(targets)), dtype)


def perceptron_loss(predictor_outputs: Any, targets: Any) -> jax.Array:
    """Binary perceptron loss, elementwise.   L = max(0, -y f)

    Args:
      predictor_outputs: f, numbers.
      targets: y in {-1, 1}, of the same shape.

    Returns:
      The losses, in the dtype of the floating arguments.

    Raises:
      StructureError: shapes differ.

    Source: Rosenblatt 1958, doi:10.1037/h0042519.
    """
    predictor_outputs = array("perceptron_loss", "predictor_outputs", predictor_outputs)
    targets = array("perceptron_loss", "targets", targets)
    same_shape("perceptron_loss", predictor_outputs=predictor_outputs, targets=targets)
    dtype = jnp.result_type(predictor_outputs, targets)
    return to_dtype(jnp.maximum(0, -wide(predictor_outputs) * wide(targets)), dtype)


def multiclass_hinge_loss(scores: Any, labels: Any) -> jax.Array:
    """Hinge loss of one class against the strongest other one.   L = max_j (s_j + [j != y]) - s_y

    Args:
      scores: s, floating, classes last.
      labels: y, integers in [0, classes), of the shape of s without the classes. A label outside the range gives
        NaN; `jax.experimental.checkify` reports it.

    Returns:
      The losses, of the labels' shape, in at least float32.

    Raises:
      ArgumentError: scores are not floating, or labels not integers.
      StructureError: shapes do not fit.

    Source: Crammer and Singer 2001, JMLR 2:265-292.
    """
    return _multiclass("multiclass_hinge_loss", scores, labels, 1.0)


def multiclass_perceptron_loss(scores: Any, labels: Any) -> jax.Array:
    """How far the right class is behind the strongest one.   L = max_j s_j - s_y

    Args:
      scores: s, floating, classes last.
      labels: y, integers in [0, classes), of the shape of s without the classes. A label outside the range gives
        NaN; `jax.experimental.checkify` reports it.

    Returns:
      The losses, of the labels' shape, in at least float32.

    Raises:
      ArgumentError: scores are not floating, or labels not integers.
      StructureError: shapes do not fit.

    Source: Collins 2002, doi:10.3115/1118693.1118694.
    """
    return _multiclass("multiclass_perceptron_loss", scores, labels, 0.0)


def _multiclass(who: str, scores: Any, labels: Any, margin: float) -> jax.Array:
    s, index, valid = row_labels(who, scores, labels)
    right = jnp.take_along_axis(s, index, -1)
    others = jnp.arange(s.shape[-1]) != index
    loss = jnp.max(s - right + margin * others, axis=-1)
    return jnp.where(valid, loss, jnp.nan)
