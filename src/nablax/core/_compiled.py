"""The compiled functions behind a pass: one for all `scalars`, one for the rules of a leaf; remembered."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core._errors import StructureError
from nablax.core._numerics import safe_increment
from nablax.core._program import Program
from nablax.tree import at_least_float32

_COMPILED = 1024  # programs remembered; each holds the traces of one sequence of rules with their constants


class Constants:
    """A dict of constants as a key of a cache. 1, 1.0 and True differ, and so do 0.0 and -0.0."""

    __slots__ = ("items", "key")

    def __init__(self, items: dict[str, Any]):
        self.items = items
        self.key = tuple((k, type(v), v if callable(v) else repr(v)) for k, v in sorted(items.items()))

    def extended(self, more: Sequence[tuple[str, Any]]) -> Constants:
        """The same constants and these."""
        return Constants({**self.items, **dict(more)}) if more else self

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constants) and self.key == other.key


@functools.lru_cache(_COMPILED)
def scalar_program(keys: tuple[Any, ...]) -> Any:
    def scalars(inputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        outputs = []
        for (_, fn, wants_count, options), given in zip(keys, inputs, strict=True):
            given, out = dict(given), {}
            if "count" in given:
                out["count"] = safe_increment(given.pop("count"))
            if fn is not None:
                count = {"count": out["count"]} if wants_count else {}
                out |= fn(**given, **count, **options.items)
            outputs.append(out)
        return outputs

    return jax.jit(scalars)


@functools.lru_cache(_COMPILED)
def leaf_program(keys: tuple[Any, ...], stack: bool) -> Program:
    def rules(row: Any, shared: list[dict[str, Any]]) -> Any:
        g, param, columns = row
        g = jnp.asarray(g)
        param, u = _widen(param), _widen(g)
        real = jnp.finfo(u.dtype).dtype if jnp.issubdtype(u.dtype, jnp.inexact) else None
        outputs = []
        for (name, rule, names, constants, active), fields, dynamic in zip(
            keys, columns, shared, strict=True
        ):
            if not active:
                outputs.append(fields)
                continue
            given = iter(fields)
            args = [param if n == "params" else _widen(next(given)) for n in names]
            out = rule(u, *args, **constants.items, **{k: _as_real(v, real) for k, v in dynamic.items()})
            new_u, *new_fields = out if isinstance(out, tuple) else (out,)
            if jnp.shape(new_u) != g.shape or len(new_fields) != len(fields):
                raise StructureError(
                    f"{name}: the rule made an update of shape {jnp.shape(new_u)} and {len(new_fields)} fields for a "
                    f"gradient of shape {g.shape} and {len(fields)} fields."
                )
            u = new_u
            outputs.append([like(new, old, name) for new, old in zip(new_fields, fields, strict=True)])
        return like(u, g, keys[-1][0]) if real is not None else u, outputs

    return Program(rules, "_".join(key[0] for key in keys), stack)


def _widen(x: Any) -> Any:
    """Arrays of a field in at least float32; a field may hold several arrays a leaf."""

    def leaf(a: Any) -> Any:
        a = jnp.asarray(a)
        return a.astype(at_least_float32(a.dtype)) if jnp.issubdtype(a.dtype, jnp.inexact) else a

    return jax.tree.map(leaf, x)


def _as_real(x: Any, real: Any) -> Any:
    """Floating scalars in the precision of the leaf, so that float64 rates do not turn float32 leaves into float64."""

    def leaf(a: Any) -> Any:
        return a.astype(real) if real is not None and jnp.issubdtype(jnp.result_type(a), jnp.floating) else a

    return jax.tree.map(lambda a: leaf(jnp.asarray(a)), x)


def like(new: Any, old: Any, name: str) -> Any:
    """New arrays in the dtypes of the old ones, whose shapes they must have."""

    def leaf(n: Any, o: Any) -> Any:
        n = jnp.asarray(n)
        if n.shape != jnp.shape(o):
            raise StructureError(f"{name}: a field of shape {jnp.shape(o)} became one of shape {n.shape}.")
        return n.astype(jnp.result_type(o)) if n.dtype != jnp.result_type(o) else n

    return jax.tree.map(leaf, new, old)
