"""The compiled functions behind a pass: one for all `scalars`, one for the rules of a leaf; remembered."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core._arguments import frozen
from nablax.core._errors import StructureError
from nablax.core._numerics import safe_increment
from nablax.core._program import Program
from nablax.core._tracing import jits
from nablax.tree import at_least_float32

_WIDE = {np.dtype(np.float32), np.dtype(np.float64)}
_COMPILED = 1024  # programs remembered; each holds the traces of one sequence of rules with their constants


class Constants:
    """A dict of constants as a key of a cache, told apart as `frozen` does."""

    __slots__ = ("_hash", "items", "key")

    def __init__(self, items: dict[str, Any]):
        self.items = items
        self.key = tuple((k, frozen(v)) for k, v in sorted(items.items()))
        self._hash = hash(self.key)

    def extended(self, more: Sequence[tuple[str, Any]]) -> Constants:
        """The same constants and these."""
        return Constants({**self.items, **dict(more)}) if more else self

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Constants) and self.key == other.key


def scalar_program(keys: tuple[Any, ...]) -> Any:
    """The function that runs every `scalars`; jitted, unless JAX is told to jit nothing."""
    return _scalar_program(keys, jits())


@functools.lru_cache(_COMPILED)
def _scalar_program(keys: tuple[Any, ...], jitted: bool) -> Any:
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

    return jax.jit(scalars) if jitted else scalars


class Step:
    """One rule as a leaf's program sees it: hashable, told by what it computes."""

    __slots__ = ("active", "constants", "follows", "inputs", "keeps", "key", "name", "rule")

    def __init__(self, rule: Any, constants: Constants, active: bool):
        self.name, self.rule, self.inputs = rule.name, rule.rule, rule.wiring.inputs
        self.follows, self.keeps = rule.follows, rule.keeps
        self.constants, self.active = constants, active
        self.key = (self.name, self.rule, self.inputs, self.follows, self.keeps, constants, active)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and self.key == other.key

    def dtype_after(self, dtype: Any, param_dtype: Any, fields: Sequence[Any]) -> Any:
        """The dtype that an update has after this rule: that of the widest array it was made from.

        Args:
          dtype: of the update before.
          param_dtype: the parameter's, None where it is not known.
          fields: what the leaf has of the state, in the order of the rule's fields.
        """
        if not (self.active and jnp.issubdtype(dtype, jnp.inexact)):
            return dtype
        names = [n for n in self.inputs if n != "params"]
        dtypes = [
            _dtype(x)
            for n, field in zip(names, fields, strict=True)
            if n in self.follows
            for x in jax.tree.leaves(field)
        ]
        if param_dtype is not None and (self.keeps or "params" in self.inputs):
            dtypes.append(param_dtype)
        for other in dtypes:
            if other != dtype and jnp.issubdtype(other, jnp.inexact):
                dtype = jnp.promote_types(dtype, other)
        return dtype


@functools.lru_cache(_COMPILED)
def leaf_program(steps: tuple[Step, ...], start: Any, param_dtype: Any, wide: bool, stack: bool) -> Program:
    """The program of one leaf.

    Args:
      steps: the rules.
      start: dtype that the update had before the chain; None is its own.
      param_dtype: of the parameter, where it is known and another than the update's.
      wide: leave the update as wide as it was computed.
      stack: see `Program`.
    """

    def on_leaf(row: Any, shared: list[dict[str, Any]]) -> Any:
        g, param, columns = row
        g = _array(g)
        shape = g.shape
        dtype = g.dtype if start is None else start
        known = param_dtype if param is None else _dtype(param)
        param, u = _widen(param), _widen(g)
        real = _real(u.dtype)
        outputs = []
        for step, fields, dynamic in zip(steps, columns, shared, strict=True):
            if not step.active:
                outputs.append(fields)
                continue
            given = iter(fields)
            args = [param if n == "params" else _widen(next(given)) for n in step.inputs]
            out = step.rule(
                u, *args, **step.constants.items, **{k: _as_real(v, real) for k, v in dynamic.items()}
            )
            new_u, *new_fields = out if isinstance(out, tuple) else (out,)
            if jnp.shape(new_u) != shape and jnp.size(new_u) == g.size:
                new_u = jnp.reshape(new_u, shape)  # a number of shape (1,), for a leaf of shape ()
            if jnp.shape(new_u) != shape or len(new_fields) != len(fields):
                raise StructureError(
                    f"{step.name}: the rule made an update of shape {jnp.shape(new_u)} and {len(new_fields)} fields "
                    f"for a gradient of shape {shape} and {len(fields)} fields."
                )
            dtype = step.dtype_after(dtype, known, fields)
            u = new_u
            outputs.append([like(new, old, step.name) for new, old in zip(new_fields, fields, strict=True)])
        return cast(u, dtype) if real is not None and not wide else u, outputs

    return Program(on_leaf, "_".join(step.name for step in steps), lambda row: (row[0], row[2]), stack)


def cast(x: Any, dtype: Any) -> Any:
    """The array in another dtype; where it has it already, untouched, because a cast makes weak types strong."""
    x = _array(x)
    return x if x.dtype == dtype else x.astype(dtype)


def _each(fn: Any, x: Any, *others: Any) -> Any:
    """A function of every array of a field, which as a rule is one array."""
    for a in (x, *others):
        if not isinstance(a, jax.Array):
            return jax.tree.map(fn, x, *others)
    return fn(x, *others)


def _widen(x: Any) -> Any:
    """Arrays of a field in at least float32; a field may hold several arrays a leaf."""
    return _each(_wide, x)


@functools.cache
def _real(dtype: Any) -> Any:
    """The dtype of the real numbers of this one; None where it holds no such."""
    return jnp.finfo(dtype).dtype if jnp.issubdtype(dtype, jnp.inexact) else None


def _wide(a: Any) -> Any:
    a = _array(a)
    if a.dtype in _WIDE:  # as a rule
        return a
    return cast(a, at_least_float32(a.dtype)) if jnp.issubdtype(a.dtype, jnp.inexact) else a


def _dtype(x: Any) -> Any:
    return x.dtype if isinstance(x, jax.Array) else jnp.result_type(x)


def _array(x: Any) -> Any:
    return x if isinstance(x, jax.Array) else jnp.asarray(x)


def _as_real(x: Any, real: Any) -> Any:
    """Floating scalars in the precision of the leaf, so that float64 rates do not turn float32 leaves into float64."""

    def leaf(a: Any) -> Any:
        a = _array(a)
        if real is None or a.dtype == real:
            return a
        return cast(a, real) if jnp.issubdtype(a.dtype, jnp.floating) else a

    return _each(leaf, x)


def like(new: Any, old: Any, name: str) -> Any:
    """New arrays in the dtypes of the old ones, whose shapes they must have."""

    def leaf(n: Any, o: Any) -> Any:
        n = _array(n)
        if n.shape != jnp.shape(o):
            raise StructureError(f"{name}: a field of shape {jnp.shape(o)} became one of shape {n.shape}.")
        return cast(n, _dtype(o))

    return _each(leaf, new, old)
