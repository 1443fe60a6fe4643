"""Ways to keep what a narrow parameter cannot hold: what stands beside it, and how the two become a float32.

    way            beside bfloat16    the weight
    master         float32            what stands beside it
    stochastic     nothing            the parameter, rounded without bias
    kahan          bfloat16           parameter + compensation
    remainder      int16              the bits of both, one after the other

A way is three functions of one array: `start(p)` what stands beside a parameter at first, `read(p, beside)` the weight
in float32, `round(w, p, draw)` the new parameter, `beside(w, p)` what then stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import Field, Program, accumulator, filled_like, snapshot, statistic
from nablax.runtime._precision._rounding import join, remainder, round_stochastically, split
from nablax.runtime._random_bits import random_bits


def _nearest(w: jax.Array, p: jax.Array, draw: Any) -> jax.Array:
    return w.astype(p.dtype)


def _without_bias(w: jax.Array, p: jax.Array, draw: Any) -> jax.Array:
    words, leaf = draw
    return round_stochastically(w, p.dtype, random_bits(words, leaf, p.shape))


def _wide(p: jax.Array, beside: Any) -> jax.Array:
    return p.astype(jnp.float32)


class Way(NamedTuple):
    """One way; see the head of this file.

    Attributes:
      field: the role of what stands beside the parameters; None where nothing does.
      start: its first value for one parameter.
      read, round, beside: see the head of this file.
    """

    field: Callable[[], Field] | None
    start: Callable[[jax.Array], Any]
    read: Callable[[jax.Array, Any], jax.Array]
    round: Callable[[jax.Array, jax.Array, Any], jax.Array]
    beside: Callable[[jax.Array, jax.Array], Any]

    def write(self, row: Any, shared: Any) -> tuple[jax.Array, Any]:
        """The new parameter, and what stands beside it."""
        w, p, leaf = row
        new = self.round(w, p, (shared, leaf))
        return new, self.beside(w, new)

    def write_by_hand(self, row: Any, shared: Any) -> tuple[jax.Array, Any]:
        """What is to be added to the parameter, in float32, and what then stands beside it.

        The sum rounds to the new parameter wherever the old one is less than 2^14 times as large; where it is larger,
        to a neighbour within float32's resolution at the old one. What stands beside it knows.
        """
        w, p, leaf = row
        new = self.round(w, p, (shared, leaf))
        old = p.astype(jnp.float32)
        change = jnp.where(new == p, 0, new.astype(jnp.float32) - old)
        return change, self.beside(w, (old + change).astype(p.dtype))


WAYS: dict[str, Way] = {
    "master": Way(
        snapshot, lambda p: jnp.array(p, jnp.float32), lambda p, w: w, _nearest, lambda w, p: w
    ),
    "stochastic": Way(None, lambda p: (), _wide, _without_bias, lambda w, p: ()),
    "kahan": Way(
        accumulator,
        lambda p: filled_like(p, 0),
        lambda p, c: p.astype(jnp.float32) + c.astype(jnp.float32),
        _nearest,
        lambda w, p: jnp.where(jnp.isfinite(p), w - p.astype(jnp.float32), 0).astype(p.dtype),
    ),
    "remainder": Way(
        lambda: statistic(lambda p: None),
        lambda p: filled_like(p, 0, jnp.int16),
        join,
        lambda w, p, draw: split(w),
        remainder,
    ),
}  # fmt: skip


class Programs(NamedTuple):
    """The functions of a way as programs over the leaves."""

    read: Program
    write: Program
    write_by_hand: Program


def _programs(name: str, way: Way) -> Programs:
    return Programs(
        Program(lambda row, shared: way.read(*row), f"read_{name}"),
        Program(lambda row, shared: way.write(row, shared), f"write_{name}"),
        Program(lambda row, shared: way.write_by_hand(row, shared), f"updates_{name}"),
    )


PROGRAMS = {name: _programs(name, way) for name, way in WAYS.items()}
