"""Mirror-prox: extra-gradient in the geometry of Bregman maps.

    z_half = argmin_w <lr F(z), w> + D(w, z),   z' = argmin_w <lr F(z_half), w> + D(w, z)

On a matrix game with entropy for both players and lr = 1/max|A_ij|, the average of the z_half has a duality gap of at
most max|A_ij| (ln n + ln m) / T.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from nablax import tree
from nablax.core import ArgumentError
from nablax.games._bregman import BregmanMap, euclidean
from nablax.games._extragradient import in_full_steps
from nablax.games._field import Field
from nablax.games.methods._method import Method, Step, as_base


def mirror_prox(learning_rate: Any, maps: BregmanMap | Mapping[str, BregmanMap]) -> Method:
    """Mirror-prox.

    Args:
      learning_rate: positive number, schedule of full steps, any gradient transformation (which then makes the moves in
        the dual), or a dict of these by player.
      maps: `euclidean()` or `entropy()` for all players, or by player; who is left out has the Euclidean one. A
        Euclidean map without a projection of its own takes the field's.

    Raises:
      HyperparameterError: a step size that is not positive.
      ArgumentError: no Bregman map, or one for an unknown player.

    Source: Nemirovski 2004, doi:10.1137/S1052623403425629.
    """
    tx = in_full_steps(as_base("mirror_prox", learning_rate), lambda count: count // 2)
    for m in maps.values() if isinstance(maps, Mapping) else [maps]:
        if not isinstance(m, BregmanMap):
            raise ArgumentError(
                f"mirror_prox: maps must be Bregman maps, such as entropy(), got {m!r}."[:300]
            )

    def by_player(field: Field) -> dict[str, BregmanMap]:
        players = field.players or ("",)
        given = dict(maps) if isinstance(maps, Mapping) else dict.fromkeys(players, maps)
        for p in given:
            if p not in players:
                raise ArgumentError(
                    f"mirror_prox: maps names the unknown player {p!r}; the players are {', '.join(players)}."
                )
        return {p: _within(given.get(p, euclidean()), field.projections.get(p)) for p in players}

    def prepare(field: Field) -> Field:
        sets = {p: m.projection for p, m in by_player(field).items() if m.projection is not None}
        return dataclasses.replace(field, projections={**sets, **field.projections})

    def mirror(field: Field, z: Any, updates: Any) -> Any:
        each = by_player(field)
        if not field.players:
            return each[""].step(z, updates)
        return {p: each[p].step(z[p], updates[p]) for p in z}

    def step(field: Field, z: Any, state: Any) -> Step:
        value = field(z)
        ahead, state = tx.update(value, state, z)
        half = mirror(field, z, ahead)
        updates, state = tx.update(field(half), state, half)
        return Step(mirror(field, z, updates), state, z, value, half)

    return Method("mirror-prox", lambda field, z: tx.init(z), step, 2, prepare)


def _within(m: BregmanMap, projection: Any) -> BregmanMap:
    """The map, followed by the field's projection where it has no set of its own."""
    if m.projection is not None or projection is None:
        return m
    return BregmanMap(lambda z, u: tree.cast_like(projection(m.step(z, u)), z), projection)
