"""Microbatches: a function of a large batch, evaluated part by part in one compiled loop.

Memory then holds the intermediate results of one part. Part i takes every `parts`-th row, starting at row i: where the
batch axis is sharded, each device keeps a share of every part.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nablax.core import ANY_ARRAY, ArgumentError, HyperparameterError, StructureError
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
        ANY_ARRAY("reshape_batch_axis", "tree", x)
        x = jnp.asarray(x)
        if not x.ndim:
            raise StructureError(
                f"reshape_batch_axis: tree must hold arrays with a batch axis, got the scalar {x}."
            )
        at = axis % x.ndim
        parts = _parts("reshape_batch_axis", x.shape[at], microbatch_size)
        split = x.reshape(*x.shape[:at], microbatch_size, parts, *x.shape[at + 1 :])
        return jnp.swapaxes(split, at, at + 1)

    return jax.tree.map(leaf, tree)


def positions(who: str, name: str, value: Any) -> tuple[int, ...]:
    """One position of an argument, or several, as a tuple."""
    found = (value,) if isinstance(value, int) or not isinstance(value, Iterable) else tuple(value)
    if not all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in found):
        raise ArgumentError(
            f"{who}: {name} must be the position of an argument, or several, got {value!r}."[:300]
        )
    return found


def _parts(who: str, batch_size: int, microbatch_size: Any) -> int:
    if isinstance(microbatch_size, bool) or not isinstance(microbatch_size, int) or microbatch_size < 1:
        raise HyperparameterError(
            f"{who}: microbatch_size must be an integer of at least 1, got {microbatch_size!r}."
        )
    if batch_size % microbatch_size:
        raise StructureError(
            f"{who}: the batch size must be divisible by microbatch_size, got {batch_size} and {microbatch_size}."
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
    numbers = positions("microbatch", "argnums", argnums)
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
    kinds = jax.tree.leaves(jax.tree.broadcast(accumulator, shapes, is_leaf=is_kind), is_leaf=is_kind)
    how = [as_accumulator(kind, parts) for kind in kinds]

    def body(i: Any, carries: Any) -> Any:
        results = jax.tree.leaves(part(i))
        return [a.update(c, x, i) for a, c, x in zip(how, carries, results, strict=True)]

    carries = [a.init(like) for a, like in zip(how, leaves, strict=True)]
    # A static number of rounds keeps the loop differentiable in reverse.
    rounds = parts if real is None else jnp.minimum(jnp.asarray(real, jnp.int32), parts)
    carries = lax.fori_loop(0, rounds, body, carries)
    return treedef.unflatten([a.finalize(c) for a, c in zip(how, carries, strict=True)])


def is_kind(x: Any) -> bool:
    """Whether x says how to accumulate: a leaf of a tree of such."""
    return isinstance(x, AccumulationType | Accumulator) or hasattr(x, "finalize")
