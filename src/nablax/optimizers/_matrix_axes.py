"""Arrays seen as matrices: which axes are inputs, which outputs."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from nablax.core import Check, PerLeaf, of_kind


@dataclasses.dataclass(frozen=True)
class Axes:
    """Dimension numbers of one leaf: itself a leaf, where the users' NamedTuples are trees."""

    inputs: tuple[int, ...] = (0,)
    outputs: tuple[int, ...] = (1,)


def _as_tuple(axis: Any) -> tuple[int, ...]:
    return tuple(axis) if isinstance(axis, tuple | list) else (int(axis),)


def axes_of(numbers: Any, kind: type) -> Any:
    """Dimension numbers, a tree of them and None, or a function that returns one, with `Axes` in their place."""
    if callable(numbers):
        return lambda params: axes_of(numbers(params), kind)

    def is_spec(x: Any) -> bool:
        return x is None or isinstance(x, kind)

    def one(spec: Any) -> Any:
        return None if spec is None else Axes(_as_tuple(spec.reduction_axis), _as_tuple(spec.output_axis))

    return jax.tree.map(one, numbers, is_leaf=is_spec)


def check_numbers_of(kind: type) -> Check:
    """The check of an argument that `axes_of` can read."""

    def is_spec(x: Any) -> bool:
        return x is None or isinstance(x, kind)

    def fits(value: Any) -> bool:
        return callable(value) or all(map(is_spec, jax.tree.leaves(value, is_leaf=is_spec)))

    return of_kind(f"{kind.__name__}, a tree of them, or a function of the parameters that returns one", fits)


class AxesPerLeaf(PerLeaf):
    """The axes of each leaf, None where it is no matrix."""

    kind = "dimension numbers"
