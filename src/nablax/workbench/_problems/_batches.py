"""What `batches` may be in a user's file.

    def batches(key): return jax.random.normal(key, (32, 2))    the batch of one step, made by JAX: it is traced
    def batches(key): yield x, y                                an iterator: one pass, which may shuffle by its key
    batches = [(x0, y0), (x1, y1)]                              a list: its entries are the batches, in this order
    batches = x, y                                              any other tree of arrays: taken whole, at every step
    batches = DataLoader(...)                                   a loader, as torch's: it can be iterated again and again

A function of a key may return a list or a loader, too. Leaves are arrays, or what NumPy makes an array of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from nablax.core import ArgumentError


@dataclass(frozen=True)
class Batches:
    """of: key -> a batch, or an iterable of batches where it `streams`. example: a batch, arrays or their shapes."""

    of: Callable[[Any], Any]
    streams: bool
    example: Any


def read(given: Any, key: Any) -> Batches:
    """Finds out what form `batches` has, by one look at it.

    Raises:
      ArgumentError: it has none of the forms; it is empty; a leaf is no array.
    """
    if callable(given) and not _is_loader(given):
        return _of_function(given, key)
    if hasattr(given, "__next__"):
        raise ArgumentError(
            "an iterator can be read only once, and every run reads it; write `def batches(key)` that returns it."
        )
    if isinstance(given, list) or _is_loader(given):
        return Batches(lambda key: given, True, _first(given))
    whole = arrays(given)
    return Batches(lambda key: whole, False, whole)


def _of_function(function: Callable[[Any], Any], key: Any) -> Batches:
    made = function(key)
    if isinstance(made, list) or hasattr(made, "__next__") or _is_loader(made):
        return Batches(function, True, _first(made))
    arrays(made)
    try:
        return Batches(function, False, jax.eval_shape(function, key))
    except jax.errors.JAXTypeError as error:
        raise ArgumentError(
            "it returns the batch of one step, so JAX traces it, and it asks for the values of the key. Write it with "
            "jax.random, or let it yield the batches of a pass, with a generator seeded by jax.random.bits(key)."
        ) from error


def _is_loader(value: Any) -> bool:
    """Whether it can be iterated, and is no tree of arrays."""
    own = isinstance(value, str | bytes | np.ndarray | jax.Array) or hasattr(value, "__array__")
    return isinstance(value, Iterable) and not own and jax.tree_util.all_leaves([value])


def _first(batches: Iterable[Any]) -> Any:
    for batch in batches:
        return arrays(batch)
    what = (
        "the list"
        if isinstance(batches, list)
        else "the iterator"
        if hasattr(batches, "__next__")
        else "the loader"
    )
    raise ArgumentError(f"{what} is empty.")


def arrays(batch: Any) -> Any:
    """The batch with arrays for leaves.

    Raises:
      ArgumentError: a leaf is none.
    """

    def leaf(value: Any) -> Any:
        if isinstance(value, jax.Array | np.ndarray | np.generic | bool | int | float | complex):
            array = value
        elif hasattr(value, "__array__"):
            array = np.asarray(value)
        else:
            raise ArgumentError(f"a leaf of a batch must be an array, got {type(value).__name__}.")
        if not isinstance(array, jax.Array) and np.asarray(array).dtype.kind in "OUSMm":
            raise ArgumentError(f"a leaf of a batch must hold numbers, got dtype {np.asarray(array).dtype}.")
        return array

    return jax.tree.map(leaf, batch)
