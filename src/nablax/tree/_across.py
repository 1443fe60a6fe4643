"""Reductions of arrays that are split over devices, inside `jax.shard_map`.

There a device sees its part of an array, and a sum over all entries is the sum of the parts' sums. `across("data")`
says over which axes of the mesh leaves are split: reductions within it go on over the devices. Leaves that every
device holds whole count once.
"""

from __future__ import annotations

import contextlib
import contextvars
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax


class SplitError(ValueError):
    """Arrays that are split over devices were reduced as if they were whole."""


class Reach(NamedTuple):
    """axes: those to reduce over; arrays that are split over others are refused, unless each device stands `alone`."""

    axes: frozenset[str] = frozenset()
    alone: bool = False


_REACH: contextvars.ContextVar[Reach | None] = contextvars.ContextVar("reach", default=None)

_COLLECTIVES: dict[Any, Callable[..., Any]] = {
    operator.add: jax.lax.psum,
    jax.lax.max: jax.lax.pmax,
    jax.lax.min: jax.lax.pmin,
    operator.and_: lambda xs, axes: [n == 0 for n in jax.lax.psum([(~x).astype("int32") for x in xs], axes)],
}


def manual_axes() -> tuple[str, ...]:
    """The axes of the mesh that a surrounding `jax.shard_map` has taken apart."""
    return jax.sharding.get_abstract_mesh().manual_axes


def split_over(x: Any) -> frozenset[str]:
    """The axes over whose devices an array differs, as far as its type tells."""
    kind = jax.typeof(x)
    found = getattr(kind, "manual_axis_type", None)  # named `vma` before JAX 0.10.2
    return frozenset(getattr(kind, "vma", ()) if found is None else found.varying)


def reach_now() -> Reach | None:
    """What the innermost `across` said; None outside, where nothing is asked of anybody."""
    return _REACH.get()


@contextlib.contextmanager
def across(axes: Iterable[str] | None) -> Iterator[None]:
    """Within it, reductions go on over these axes, and refuse arrays that are split over others.

    Args:
      axes: names of axes of the mesh; None takes each device's part for a whole of its own.
    """
    token = _REACH.set(Reach(alone=True) if axes is None else Reach(frozenset(axes)))
    try:
        yield
    finally:
        _REACH.reset(token)


def over_devices(combine: Callable[[Any, Any], Any], scalars: list[Any]) -> list[Any]:
    """The scalars of all devices together, where the axes that they are split over are known.

    Raises:
      SplitError: they are split over another axis.
    """
    reach = _REACH.get()
    if reach is None or reach.alone:
        return scalars
    axes = reach.axes
    unchecked = frozenset(a for a in axes if not split_over(jax.lax.axis_index(a)))  # check_vma=False
    groups: dict[frozenset[str], list[int]] = {}
    for i, x in enumerate(scalars):
        groups.setdefault(
            (split_over(x) if isinstance(x, jax.Array) else frozenset()) | unchecked, []
        ).append(i)
    out = list(scalars)
    for split, members in groups.items():
        if split - axes:
            raise SplitError(refusal(split - axes))
        if split:
            reduced = _COLLECTIVES[combine]([scalars[i] for i in members], tuple(sorted(split)))
            for i, x in zip(members, reduced, strict=True):
                out[i] = x
    return out


def refusal(axes: Iterable[str]) -> str:
    """What to say of arrays that are split over axes which nobody named."""
    names = ", ".join(map(repr, sorted(axes)))
    return (
        f"the arrays are split over the mesh axis {names}, and this needs all their entries. Under jit without "
        f"shard_map nothing is needed (nablax.shard_state). Within shard_map, nablax.over_axis(tx, {names}) sums over "
        "the devices; nablax.over_axis(tx, None) takes each device's part for a whole of its own."
    )
