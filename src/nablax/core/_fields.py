"""The fields of a state, declared: each has a role.

    fields(ScaleByAdamState, count=count(), mu=first_moment(mu_dtype), nu=second_moment())

From the role follows what `init` makes (buffers of its own, always), in which dtype, whether a value is signed, and
whom it belongs to: a leaf, the whole transformation, or an inner one. What stores, shards or names states later asks
the roles; states themselves remain the NamedTuples that people know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core._base import init_empty_state
from nablax.core._fresh import copied, filled_like, zero_count
from nablax.core._numerics import moment_like, wide_moment_like
from nablax.tree import at_least_float32


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a state.

    Attributes:
      role: "count", "scalar", "flag", "key", "first_moment", "second_moment", "accumulator", "snapshot", "statistic"
        or "inner".
      make: from the parameters to the field's first value.
      signed: whether entries may be negative.
      per_leaf: whether it holds something for each leaf of the parameters.
      follows: whether its dtype is the leaf's own, so that updates made from it have the wider of both.
    """

    role: str
    make: Callable[[Any], Any]
    signed: bool = True
    per_leaf: bool = True
    follows: bool = False

    @property
    def like_params(self) -> bool:
        """Whether a leaf's part has the leaf's shape."""
        return self.role in ("first_moment", "second_moment", "accumulator", "snapshot")


_COUNT = Field("count", lambda params: zero_count(), signed=False, per_leaf=False)


def count() -> Field:
    """Updates so far: an int32 scalar."""
    return _COUNT


def real_dtype(params: Any) -> Any:
    """The real dtype, at least float32, in which sums over all leaves are held."""
    dtypes = [jnp.result_type(x) for x in jax.tree.leaves(params)]
    inexact = [d for d in dtypes if jnp.issubdtype(d, jnp.inexact)]
    return jnp.finfo(jnp.result_type(jnp.float32, *inexact)).dtype


def scalar(value: Any = 0.0, dtype: Any = None) -> Field:
    """A real scalar for all leaves, or a vector of a fixed length.

    Args:
      value: at the start; a number, an array, or a function of the parameters that returns one.
      dtype: None is the real dtype of the parameters, at least float32.
    """

    def make(params: Any) -> jax.Array:
        start = value(params) if callable(value) else value
        return jnp.array(start, real_dtype(params) if dtype is None else dtype)

    return Field("scalar", make, per_leaf=False)


def flag(value: bool) -> Field:
    """A boolean scalar."""
    return Field("flag", lambda params: jnp.array(value), signed=False, per_leaf=False)


def random_key(make: Callable[[], jax.Array]) -> Field:
    """A random key, in a buffer of its own; made by `init`, so that a constructor starts no device."""
    return Field("key", lambda params: copied(make()), signed=False, per_leaf=False)


def first_moment(dtype: Any = None, fill: float = 0.0) -> Field:
    """An average of gradients, like params; `dtype` None follows each leaf."""
    return Field("first_moment", lambda params: moment_like(params, dtype, fill), follows=True)


def second_moment(dtype: Any = None, fill: float = 0.0) -> Field:
    """An average of squares: real, not negative, at least float32."""
    return Field("second_moment", lambda p: wide_moment_like(p, dtype, fill, real=True), signed=False)


def accumulator(dtype: Any = None, fill: float = 0.0) -> Field:
    """A sum like params, at least float32, complex where they are."""
    return Field("accumulator", lambda params: wide_moment_like(params, dtype, fill))


def _as_complex_as(p: Any, dtype: Any) -> Any:
    complex_ = jnp.issubdtype(jnp.result_type(p), jnp.complexfloating)
    return jnp.promote_types(dtype, jnp.complex64) if complex_ else dtype


def snapshot(dtype: Any = None) -> Field:
    """A copy of the parameters in `dtype`, complex where they are; None is their own, raised to at least float32."""

    def leaf(p: Any) -> jax.Array:
        wide = at_least_float32(jnp.result_type(p)) if dtype is None else _as_complex_as(p, dtype)
        return copied(p, wide)

    return Field("snapshot", lambda params: jax.tree.map(leaf, params))


def point(copy: bool = False, dtype: Any = None) -> Field:
    """A point among the parameters: zeros at first, or a copy of them; in their own dtypes where `dtype` is None."""

    def leaf(p: Any) -> jax.Array:
        own = jnp.result_type(p) if dtype is None else _as_complex_as(p, dtype)
        return copied(p, own) if copy else filled_like(p, 0, own)

    return Field("snapshot", lambda params: jax.tree.map(leaf, params))


def statistic(make: Callable[[Any], Any], signed: bool = True) -> Field:
    """What a leaf needs beside its shape: `make(p)` returns the arrays of one leaf."""
    return Field("statistic", lambda params: jax.tree.map(make, params), signed=signed)


def inner_state(tx: Any) -> Field:
    """The state of an inner transformation."""
    return Field("inner", lambda params: tx.init(params), per_leaf=False)


class ScaleByScheduleState(NamedTuple):
    """count: updates so far, an int32 scalar; the schedule of the next update is evaluated at it."""

    count: Any


def counting(value: Any, state: Any = ScaleByScheduleState) -> Callable[[Any], Any]:
    """The state of a part with one hyperparameter and no memory: it counts updates where that is a schedule."""
    return fields(state, count=count()) if callable(value) else init_empty_state


class Fields:
    """The declared state of a part: `fields(params)` makes the first one.

    Attributes:
      state: the NamedTuple's class.
      roles: `Field` by name, in the order of the class.
    """

    def __init__(self, state: Callable[..., Any], roles: dict[str, Field]):
        self.state = state
        self.roles = roles

    def __call__(self, params: Any) -> Any:
        return self.state(**{name: field.make(params) for name, field in self.roles.items()})


def fields(state: Callable[..., Any], **roles: Field) -> Fields:
    """Declares a state.

    Args:
      state: a NamedTuple's class.
      **roles: a `Field` for each of its names.
    """
    return Fields(state, roles)
