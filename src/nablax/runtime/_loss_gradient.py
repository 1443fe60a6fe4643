"""The gradient of a batch's loss: in pieces, scaled, with what the pieces tell of its noise."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nablax import tree
from nablax.core import ArgumentError, StructureError
from nablax.runtime._microbatch import reshape_batch_axis
from nablax.runtime._packing._flat import as_tree
from nablax.tree import at_least_float32


class LossParts(NamedTuple):
    """What `loss_gradient` computes: `parts` pieces of the batch; arguments at `keys` are random keys."""

    loss_fn: Callable[..., Any]
    has_aux: bool
    parts: int
    scale: Any
    keys: tuple[int, ...]
    noise: bool


def key_positions(loss_fn: Callable[..., Any], keys: Any) -> tuple[int, ...]:
    """Positions within the batch, of positions or names."""
    found = []
    for key in keys if isinstance(keys, tuple | list) else (keys,):
        if isinstance(key, str):
            names = list(inspect.signature(loss_fn).parameters)[1:]
            if key not in names:
                raise ArgumentError(
                    f"train_step: keys names {key!r}, but after the parameters loss_fn takes "
                    f"{', '.join(names) or 'nothing'}."
                )
            key = names.index(key)
        if isinstance(key, bool) or not isinstance(key, int):
            raise ArgumentError(f"train_step: keys holds positions or names, got {key!r}.")
        found.append(key)
    return tuple(found)


def _parted(out: Any, has_aux: bool) -> tuple[Any, Any]:
    """What a loss function returned as loss and aux.

    Raises:
      StructureError: it does not look so; with what to write.
    """
    if has_aux and not (isinstance(out, tuple | list) and len(out) == 2):
        raise StructureError(
            f"train_step: with has_aux=True loss_fn must return a pair (loss, aux), got {_kind(out)}."
        )
    loss, aux = out if has_aux else (out, None)
    if isinstance(loss, tuple | list | dict | str | None) or jnp.shape(loss) != ():
        hint = " has_aux=True lets it return (loss, aux)." if isinstance(out, tuple) and not has_aux else ""
        raise StructureError(f"train_step: loss_fn must return a scalar, got {_kind(loss)}.{hint}")
    return loss, aux


def _kind(x: Any) -> str:
    return f"an array of shape {x.shape}" if hasattr(x, "shape") else type(x).__name__


def loss_gradient(of: LossParts, params: Any, batch: Any) -> tuple[Any, Any, Any, Any]:
    """Loss, aux and (scaled) gradient of a batch, in pieces, and the mean of the pieces' squared norms if asked for."""
    loss_fn, has_aux, parts, scale, keys, noise = of

    def scaled(p: Any, *b: Any) -> Any:
        out = loss_fn(as_tree(p), *b)
        loss, aux = _parted(out, has_aux)
        return (loss if scale is None else loss * scale), (loss, aux)

    value_and_grad = jax.value_and_grad(scaled, has_aux=True)
    if parts == 1:
        (_, (loss, aux)), grads = value_and_grad(params, *batch)
        return loss, aux, grads, None

    def body(total: Any, piece: Any) -> Any:
        (_, (loss, aux)), grads = value_and_grad(params, *piece)
        found = (grads, loss, tree.norm(grads, squared=True) if noise else None)
        return jax.tree.map(lambda t, g: t + g.astype(t.dtype), total, found), aux

    pieces = tuple(
        jax.random.split(x, parts) if i in keys else jax.tree.map(lambda x: _split(x, parts), x)
        for i, x in enumerate(batch)
    )
    shapes = jax.eval_shape(value_and_grad, params, *jax.tree.map(lambda x: x[0], pieces))
    (_, (loss_shape, _)), grad_shapes = shapes
    squares = jax.eval_shape(lambda g: tree.norm(g, squared=True), grad_shapes) if noise else None
    sums = (grad_shapes, loss_shape, squares)
    wide = jax.tree.map(lambda s: jnp.zeros(s.shape, at_least_float32(s.dtype)), sums)
    (grads, loss, squares), aux = lax.scan(body, wide, pieces)
    grads, squares = jax.tree.map(lambda g: g / parts, (grads, squares))
    if scale is None:
        grads = jax.tree.map(lambda g, s: g.astype(s.dtype), grads, grad_shapes)
    return loss / parts, aux, grads, squares


def noise_scale(small: Any, big: Any, rows: int, parts: int) -> dict[str, Any]:
    """Unbiased estimates of |G|^2 and tr(Sigma) from squared norms of gradients of rows/parts rows and of all."""
    few = rows / parts
    signal = (rows * big - few * small) / (rows - few)
    noise = (small - big) / (1 / few - 1 / rows)
    return {"gradient_signal": signal, "gradient_noise": noise, "gradient_noise_scale": noise / signal}


def unscaled(grads: Any, scale: Any) -> Any:
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
    return reshape_batch_axis(x, shape[0] // parts)
