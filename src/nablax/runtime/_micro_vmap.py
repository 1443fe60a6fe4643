"""Functions of single examples over a batch of any size: `micro_vmap`, and `micro_grad` on top of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import FUNCTION, StructureError
from nablax.runtime._accumulation import AccumulationType, as_accumulator
from nablax.runtime._microbatch import is_kind, microbatch, positions


def micro_vmap(
    fun: Callable[..., Any],
    in_axes: int | Sequence[Any] = 0,
    out_axes: int = 0,
    *,
    microbatch_size: int | None = None,
    vmap_fn: Callable[..., Any] = jax.vmap,
    accumulator: Any = AccumulationType.CONCAT,
    num_real_microbatches: int | jax.Array | None = None,
) -> Callable[..., Any]:
    """`jax.vmap` over a batch of any size, part by part, with a reduction of the results if asked for.

    Args:
      fun: function of one example.
      in_axes: as in jax.vmap: one integer, or for each argument an integer or None.
      out_axes: 0.
      microbatch_size: rows of a part; None maps the whole batch at once.
      vmap_fn: called in place of jax.vmap.
      accumulator: CONCAT returns each example's result; MEAN and SUM reduce over the batch. A tree of them may be a
        prefix of the result.
      num_real_microbatches: as in `microbatch`.

    Returns:
      A function of batches.

    Raises:
      ArgumentError: fun is no function.
      StructureError: out_axes is not 0; arguments have other batch sizes.

    Example:
      >>> micro_vmap(jnp.square, microbatch_size=2, accumulator=AccumulationType.SUM)(jnp.arange(4.0))
      Array(14., dtype=float32)
    """
    FUNCTION("micro_vmap", "fun", fun)
    if out_axes != 0:
        raise StructureError(f"micro_vmap: out_axes must be 0, got {out_axes}.")

    @functools.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        axes = [in_axes] * len(args) if isinstance(in_axes, int) else list(in_axes)
        if len(axes) != len(args):
            raise StructureError(f"micro_vmap: in_axes is for {len(axes)} arguments, got {len(args)}.")
        # Batched leaves, each with its axis; all other leaves stay whole.
        full = [
            jax.tree.map(lambda _, a=axis: a, arg) if axis is None or isinstance(axis, int)
            else jax.tree.broadcast(axis, arg, is_leaf=lambda a: a is None)
            for axis, arg in zip(axes, args, strict=True)
        ]  # fmt: skip
        treedef: Any
        leaves, treedef = jax.tree.flatten((args, kwargs))
        flat_axes = [a for axis, arg in zip(full, args, strict=True) for a in _leaf_axes(axis, arg)]
        flat_axes += [0] * (len(leaves) - len(flat_axes))  # keyword arguments, as in jax.vmap

        def mapped(*flat: Any) -> Any:
            def one(*example: Any) -> Any:
                a, k = treedef.unflatten(example)
                return fun(*a, **k)

            out = vmap_fn(one, tuple(flat_axes))(*flat)
            return _aggregated(out, accumulator)

        batched = [i for i, a in enumerate(flat_axes) if a is not None]
        sizes = {jnp.shape(leaves[i])[flat_axes[i]] for i in batched}
        if len(sizes) != 1:
            raise StructureError(f"micro_vmap: batch axes must be of one size, got {sorted(sizes)}.")
        size = microbatch_size if microbatch_size is not None else sizes.pop()
        return microbatch(
            mapped,
            batched,
            size,
            accumulator,
            in_axes=[flat_axes[i] for i in batched],
            num_real_microbatches=num_real_microbatches,
        )(*leaves)

    return wrapped


def _leaf_axes(axes: Any, arg: Any) -> list[Any]:
    """The axis of each leaf of an argument."""
    flat = jax.tree.leaves(axes, is_leaf=lambda a: a is None)
    return flat if len(flat) == len(jax.tree.leaves(arg)) else flat * len(jax.tree.leaves(arg))


def _aggregated(out: Any, accumulator: Any) -> Any:
    kinds = jax.tree.broadcast(accumulator, out, is_leaf=is_kind)
    return jax.tree.map(lambda k, x: as_accumulator(k, 1).aggregate(x), kinds, out, is_leaf=is_kind)


class Aux(NamedTuple):
    """Of each example: values of the function, metrics, and what the function returned beside its value."""

    values: Any
    metrics: Any
    aux: Any


def _same(grads: Any) -> Any:
    return grads


def _none(grads: Any) -> None:
    del grads


def micro_grad(
    fun: Callable[..., Any],
    has_aux: bool = False,
    argnums: int | Sequence[int] = 0,
    *,
    batch_argnums: int | Sequence[int] = 1,
    keep_batch_dim: bool = True,
    microbatch_size: int | None = None,
    accumulator: Any = AccumulationType.SUM,
    transform_fn: Callable[[Any], Any] = _same,
    metrics_fn: Callable[[Any], Any] = _none,
    num_real_microbatches: int | jax.Array | None = None,
) -> Callable[..., tuple[Any, Aux]]:
    """Gradients of single examples, transformed one by one and accumulated: clipped, squared, counted, ...

    Args:
      fun: `fun(params, batch, ...)` returns a scalar, with `has_aux` a pair of a scalar and a tree.
      has_aux: see fun.
      argnums: arguments to differentiate.
      batch_argnums: arguments that have a batch axis, their first.
      keep_batch_dim: hand each example to `fun` as a batch of one; False takes the axis away.
      microbatch_size: examples whose gradients are in memory at a time; None is all.
      accumulator: what to do with the transformed gradients: an `AccumulationType` or a tree of them.
      transform_fn: function of one example's gradient.
      metrics_fn: function of one example's gradient before that, of small results.
      num_real_microbatches: as in `microbatch`.

    Returns:
      A function with the arguments of `fun` that returns the accumulated gradient, and an `Aux` of values, metrics and
      aux for each example.

    Example:
      >>> def loss(w, x):
      ...     return jnp.mean((w - x) ** 2)
      >>> clipped = micro_grad(loss, transform_fn=lambda g: jnp.clip(g, -1, 1), microbatch_size=2)
      >>> grad, aux = clipped(0.0, jnp.array([-1.0, 0.0, 0.25, 3.0]))
      >>> grad, aux.values
      (Array(-0.5, dtype=float32), Array([1.    , 0.    , 0.0625, 9.    ], dtype=float32))
    """
    FUNCTION("micro_grad", "fun", fun)
    positions("micro_grad", "argnums", argnums)
    batch = set(positions("micro_grad", "batch_argnums", batch_argnums))
    value_and_grad = jax.value_and_grad(fun, argnums, has_aux)

    def one(*args: Any, **kwargs: Any) -> Any:
        if keep_batch_dim:
            args = tuple(jax.tree.map(lambda x: x[None], a) if i in batch else a for i, a in enumerate(args))
        out, grads = value_and_grad(*args, **kwargs)
        value, aux = out if has_aux else (out, None)
        return transform_fn(grads), Aux(value, metrics_fn(grads), aux)

    @functools.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> tuple[Any, Aux]:
        mapped = micro_vmap(
            lambda *a: one(*a, **kwargs),
            [0 if i in batch else None for i in range(len(args))],
            microbatch_size=microbatch_size,
            accumulator=(accumulator, AccumulationType.CONCAT),
            num_real_microbatches=num_real_microbatches,
        )
        return mapped(*args)

    return wrapped
