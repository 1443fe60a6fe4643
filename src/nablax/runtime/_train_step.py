"""`train_step`: loss, gradient, transformation and application as one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nablax.core import (
    StructureError,
    apply_updates,
    check_number,
    hyperparams,
    resolve,
    with_extra_args_support,
    with_hyperparams,
)
from nablax.runtime._metrics import all_finite, keep_if, learning_rates, norms
from nablax.tree import at_least_float32


def train_step(
    loss_fn: Callable[..., Any],
    tx: Any,
    *,
    has_aux: bool = False,
    microbatches: int = 1,
    loss_scale: float | None = None,
    skip_nonfinite: bool = False,
    metrics: bool = True,
    donate: bool = True,
) -> Callable[..., tuple[Any, Any, dict[str, Any]]]:
    """Compiles a whole training step.

    Args:
      loss_fn: `loss_fn(params, *batch)` returns a scalar, with `has_aux` a pair of a scalar and a tree.
      tx: a gradient transformation. It gets `value=`, `grad=` and `value_fn=` where it takes them.
      has_aux: the loss comes with something else, which is returned as `metrics["aux"]`.
      microbatches: parts into which the leading axis of each array of the batch is split, one after the other, so that
        activations of one part are in memory at a time. Gradients are averaged in at least float32; aux is stacked.
      loss_scale: the loss is multiplied by it and the gradient divided, which keeps small float16 gradients alive;
        gradients are then at least float32.
      skip_nonfinite: leave parameters and state as they are where a gradient is infinite or NaN.
      metrics: also compute the norms of gradient, update and parameters.
      donate: params and state are overwritten in place and the ones handed in become invalid.

    Returns:
      `step(params, state, *batch, hyperparams={})` -> `(params, state, metrics)`. `hyperparams` sets numbers for this
      step by path or unique short name, without recompiling. `metrics` holds loss, learning_rate, skipped (0 or 1), and
      the norms: arrays of shape ().

    Raises:
      HyperparameterError: microbatches < 1 or a loss scale that is not positive.
      StructureError: a batch whose leading axis microbatches does not divide.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax.optimizers import sgd
      >>> step = train_step(lambda w, x, y: jnp.mean((x @ w - y) ** 2), tx := sgd(0.1))
      >>> w, x, y = jnp.zeros(2), jnp.eye(2), jnp.array([1.0, 2.0])
      >>> w, state, metrics = step(w, tx.init(w), x, y)
      >>> float(metrics["loss"]), w
      (2.5, Array([0.1, 0.2], dtype=float32))
    """
    check_number("train_step", "microbatches", microbatches, 1)
    check_number("train_step", "loss_scale", loss_scale, 0, open_low=True, optional=True)
    tx = with_extra_args_support(tx)
    known = hyperparams(tx)

    def program(params: Any, state: Any, batch: tuple[Any, ...], live: dict[str, Any]) -> Any:
        bound = with_hyperparams(tx, live) if live else tx
        loss, aux, grads = _gradient(loss_fn, params, batch, has_aux, microbatches, loss_scale)
        report = {"loss": loss, **learning_rates(bound, state)}
        updates, new_state = bound.update(
            grads,
            state,
            params,
            value=loss,
            grad=grads,
            value_fn=lambda p: _first(loss_fn(p, *batch), has_aux),
        )
        new_params = apply_updates(params, updates)
        report["skipped"] = jnp.asarray(0, jnp.int32)
        if skip_nonfinite:
            finite = all_finite(grads)
            new_params, new_state = keep_if(finite, (new_params, new_state), (params, state))
            report["skipped"] = 1 - finite.astype(jnp.int32)
        if metrics:
            report |= norms(grads, updates, new_params)
        if has_aux:
            report["aux"] = aux
        return new_params, new_state, report

    compiled = jax.jit(program, donate_argnums=(0, 1) if donate else ())

    def step(
        params: Any, state: Any, *batch: Any, hyperparams: dict[str, Any] | None = None
    ) -> tuple[Any, Any, dict[str, Any]]:
        live = {
            resolve(k, known): jnp.asarray(v, jnp.result_type(float)) for k, v in (hyperparams or {}).items()
        }
        return compiled(params, state, batch, live)

    step.lower = lambda p, s, *batch: compiled.lower(p, s, batch, {})  # type: ignore[attr-defined]
    step.cache_size = compiled._cache_size  # type: ignore[attr-defined]
    return step


def _first(out: Any, has_aux: bool) -> Any:
    return out[0] if has_aux else out


def _gradient(
    loss_fn: Callable[..., Any], params: Any, batch: Any, has_aux: bool, parts: int, scale: float | None
) -> tuple[Any, Any, Any]:
    """Loss, aux and gradient of a batch, in `parts` pieces."""

    def scaled(p: Any, *b: Any) -> Any:
        out = loss_fn(p, *b)
        loss, aux = out if has_aux else (out, None)
        return (loss if scale is None else loss * scale), (loss, aux)

    value_and_grad = jax.value_and_grad(scaled, has_aux=True)
    if parts == 1:
        (_, (loss, aux)), grads = value_and_grad(params, *batch)
        return loss, aux, _unscale(grads, scale)

    def body(total: Any, piece: Any) -> Any:
        (_, (loss, aux)), grads = value_and_grad(params, *piece)
        return jax.tree.map(lambda t, g: t + g.astype(t.dtype), total, (grads, loss)), aux

    pieces = jax.tree.map(lambda x: _split(x, parts), batch)
    shapes = jax.eval_shape(value_and_grad, params, *jax.tree.map(lambda x: x[0], pieces))
    (_, (loss_shape, _)), grad_shapes = shapes
    wide = jax.tree.map(lambda s: jnp.zeros(s.shape, at_least_float32(s.dtype)), (grad_shapes, loss_shape))
    (grads, loss), aux = lax.scan(body, wide, pieces)
    grads = jax.tree.map(lambda g: g / parts, grads)
    if scale is None:
        grads = jax.tree.map(lambda g, s: g.astype(s.dtype), grads, grad_shapes)
    return loss / parts, aux, _unscale(grads, scale)


def _unscale(grads: Any, scale: float | None) -> Any:
    """Divides by the loss scale, in at least float32: cast back, what the scale saved would be lost again."""
    if scale is None:
        return grads
    return jax.tree.map(lambda g: g.astype(at_least_float32(g.dtype)) / scale, grads)


def _split(x: Any, parts: int) -> Any:
    shape = np.shape(x)
    if not shape or shape[0] % parts:
        raise StructureError(
            f"train_step: each array of the batch needs a leading axis that microbatches={parts} divides, got shape "
            f"{shape}."
        )
    return jnp.reshape(x, (parts, shape[0] // parts, *shape[1:]))
