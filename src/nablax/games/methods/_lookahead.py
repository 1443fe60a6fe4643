"""Lookahead-minmax: every k steps of another method, go back part of the way.

    z <- slow + alpha (z - slow),   slow <- z

Over k simultaneous steps on a bilinear game the modulus is |1 + alpha ((1 - i lr s)^k - 1)|: it contracts where the
steps themselves spiral out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.core import ArgumentError, check_number
from nablax.games._field import Field
from nablax.games.methods._method import Method, Step


class _State(NamedTuple):
    inner: Any
    slow: Any
    count: jax.Array  # type: ignore[assignment]


def lookahead_minmax(inner: Method, *, sync_period: int = 5, slow_step_size: float = 0.5) -> Method:
    """Lookahead on the joint point, around any method.

    One step is one step of the inner method (with its own batch), every k-th followed by the way back; k is
    `sync_period`, alpha `slow_step_size`, as in `nablax.lookahead`.

    Args:
      inner: a method; may be another lookahead (nested lookahead).
      sync_period: steps between two ways back, at least 1.
      slow_step_size: fraction of the way that is kept, in (0, 1].

    Raises:
      ArgumentError: `inner` is no method.
      HyperparameterError: a number out of its range.

    Defaults: k = 5 and alpha = 0.5 are those of Zhang et al. 2019, arXiv:1907.08610.

    Source: Chavdarova et al. 2021, arXiv:2006.14567.
    """
    if not isinstance(inner, Method):
        raise ArgumentError(f"lookahead_minmax: inner must be a method, got {type(inner).__name__}.")
    check_number("lookahead_minmax", "sync_period", sync_period, 1, integer=True)
    check_number("lookahead_minmax", "slow_step_size", slow_step_size, 0, 1, open_low=True)

    def init(field: Field, z: Any) -> Any:
        return _State(inner.init(field, z), z, jnp.zeros((), jnp.int32))

    def step(field: Field, z: Any, state: Any) -> Step:
        done = inner.step(field, z, state.inner)
        back = (state.count + 1) % sync_period == 0
        mixed = jax.tree.map(lambda s, f: (s + slow_step_size * (f - s)).astype(f.dtype), state.slow, done.z)
        new = tree.where(back, mixed, done.z)
        slow = tree.where(back, mixed, state.slow)
        return done._replace(z=new, state=_State(done.state, slow, (state.count + 1) % sync_period))

    return Method(f"lookahead-minmax ({inner.name})", init, step, inner.evaluations, inner.prepare)
