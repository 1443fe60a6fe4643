"""Microbatches: a function of a large batch, evaluated part by part in one compiled loop.

Memory then holds the intermediate results of one part. Part i takes every `parts`-th row, starting at row i: where the
batch axis is sharded, each device keeps a share of every part.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from nablax.core import HyperparameterError, StructureError
from nablax.runtime._accumulation import AccumulationType, Accumulator, as_accumulator


def reshape_batch_axis(tree: Any, microbatch_size: int, axis: int = 0) -> Any:
    """Splits the batch axis of each leaf in two: (number of microbatches, microbatch_size).

    Row j of microbatch i is row j * parts + i of the batch.

    Args:
      tree: arrays whose `axis` holds the batch.
      microbatch_size: rows of a part, a divisor of the batch size.
      axis: of the batch.

    Raises:
      StructureError: microbatch_size does not divide the batch.

    Example:
      >>> reshape_batch_axis(jnp.arange(6), 3)
      Array([[0, 2, 4],
             [1, 3, 5]], dtype=int32)
    """

    def leaf(x: Any) -> jax.Array:
        x = jnp.asarray(x)
        at = axis % x.ndim
        parts = _parts("reshape_batch_axis", x.shape[at], microbatch_size)
        split = x.reshape(*x.shape[:at], microbatch_size, parts, *x.shape[at + 1 :])
        return jnp.swapaxes(split, at, at + 1)

    return jax.tree.map(leaf, tree)


def _parts(who: str, batch_size: int, microbatch_size: Any) -> int:
    if isinstance(microbatch_size, bool) or not isinstance(microbatch_size, int) or microbatch_size < 1:
        raise HyperparameterError(
            f"{who}: microbatch_size must be an integer of at least 1, got {microbatch_size!r}."
        )
    if batch_size % microbatch_size:
        raise StructureError(
            f"{who}: microbatch_size must divide the batch size {batch_size}, got {microbatch_size}."
        )
    return batch_size // microbatch_size


def microbatch(
    fun: Callable[..., Any],
    argnums: int | Sequence[int],
    microbatch_size: int | None,
    accumulator: Any = AccumulationType.SUM,
    *,
    argnames: str | Sequence[str] = (),
    in_axes: int | Sequence[int] = 0,
    num_real_microbatches: int | jax.Array | None = None,
) -> Callable[..., Any]:
    """A function that evaluates `fun` part by part and accumulates the results.

    Args:
      fun: any function of arrays.
      argnums: the positional arguments that have a batch axis.
      microbatch_size: rows of a part, a divisor of the batch size; None evaluates `fun` once, on the whole batch.
      accumulator: an `AccumulationType` or `Accumulator`, or a tree of them: a prefix of the result of `fun`.
      argnames: the keyword arguments that have a batch axis.
      in_axes: their batch axes, one for all or one for each of argnums and then argnames.
      num_real_microbatches: stop after so many parts, a number or a traced one: a batch padded to a fixed size needs no
        new compilation. Means divide by the number of all parts, RUNNING_MEAN by that of the parts seen; rows of
        CONCAT that were not reached are zero.

    Returns:
      A function with the arguments of `fun`.

    Raises:
      StructureError: batch axes differ in size, or microbatch_size does not divide it.

    Example:
      >>> f = microbatch(lambda x: (x + 1, jnp.sum(x)), 0, 2, (AccumulationType.CONCAT, AccumulationType.SUM))
      >>> f(jnp.arange(4))
      (Array([1, 2, 3, 4], dtype=int32), Array(6, dtype=int32))
    """
    numbers = (argnums,) if isinstance(argnums, int) else tuple(argnums)
    names = (argnames,) if isinstance(argnames, str) else tuple(argnames)
    keys = (*numbers, *names)
    axes = (in_axes,) * len(keys) if isinstance(in_axes, int) else tuple(in_axes)
    if len(axes) != len(keys):
        raise StructureError(
            f"microbatch: in_axes must be one integer or {len(keys)}, one for each batched argument, got {in_axes}."
        )

    @functools.wraps(fun)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if microbatch_size is None:
            return fun(*args, **kwargs)
        given: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        batched = [given[k] for k in keys]
        sizes = [jnp.shape(x)[a] for b, a in zip(batched, axes, strict=True) for x in jax.tree.leaves(b)]
        if len(set(sizes)) != 1:
            raise StructureError(f"microbatch: batch axes must be of one size, got {sizes}.")
        parts = _parts("microbatch", sizes[0], microbatch_size)
        split = [reshape_batch_axis(b, microbatch_size, a) for b, a in zip(batched, axes, strict=True)]

        def part(i: Any) -> Any:
            now = dict(given)
            for key, whole, axis in zip(keys, split, axes, strict=True):
                now[key] = jax.tree.map(functools.partial(_take, i=i, axis=axis), whole)
            return fun(*(now[i] for i in range(len(args))), **{k: now[k] for k in kwargs})

        return _accumulate(part, accumulator, parts, num_real_microbatches)

    return wrapped


def _take(x: jax.Array, i: Any, axis: int) -> jax.Array:
    at = axis % (x.ndim - 1)
    return lax.dynamic_index_in_dim(x, i, at, keepdims=False)


def _accumulate(part: Callable[[Any], Any], accumulator: Any, parts: int, real: Any) -> Any:
    """The results of `part(i)` for all i, accumulated in a loop."""
    shapes: Any = jax.eval_shape(part, jnp.zeros((), jnp.int32))
    treedef: Any
    leaves, treedef = jax.tree.flatten(shapes)
    kinds = jax.tree.leaves(jax.tree.broadcast(accumulator, shapes, is_leaf=_is_kind), is_leaf=_is_kind)
    how = [as_accumulator(kind, parts) for kind in kinds]

    def body(i: Any, carries: Any) -> Any:
        results = jax.tree.leaves(part(i))
        return [a.update(c, x, i) for a, c, x in zip(how, carries, results, strict=True)]

    carries = [a.init(like) for a, like in zip(how, leaves, strict=True)]
    # A static number of rounds keeps the loop differentiable in reverse.
    rounds = parts if real is None else jnp.minimum(jnp.asarray(real, jnp.int32), parts)
    carries = lax.fori_loop(0, rounds, body, carries)
    return treedef.unflatten([a.finalize(c) for a, c in zip(how, carries, strict=True)])


def _is_kind(x: Any) -> bool:
    return isinstance(x, AccumulationType | Accumulator) or hasattr(x, "finalize")


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
      StructureError: out_axes is not 0; arguments have other batch sizes.

    Example:
      >>> micro_vmap(jnp.square, microbatch_size=2, accumulator=AccumulationType.SUM)(jnp.arange(4.0))
      Array(14., dtype=float32)
    """
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
    kinds = jax.tree.broadcast(accumulator, out, is_leaf=_is_kind)
    return jax.tree.map(lambda k, x: as_accumulator(k, 1).aggregate(x), kinds, out, is_leaf=_is_kind)


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
    batch = {batch_argnums} if isinstance(batch_argnums, int) else set(batch_argnums)
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
