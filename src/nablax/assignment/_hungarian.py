"""The linear assignment problem: as many pairs (row, column) as fit, no row or column twice, of least total cost.

Prices v_j <= 0 of columns prove a partial matching optimal when every matched row is matched to a column of least
c_ij - v_j, and unmatched columns have price 0. From there, a free row is matched by a shortest augmenting path in
the reduced costs (Dijkstra, one row and one vector operation a step), after which the prices are corrected.

A path costs many dependent steps, so `hungarian_algorithm` first lets all free rows bid at once, as in an auction:
each wants its cheapest column and may lower its price until the second cheapest is as good. The highest bid wins, the
loser is free again. Whatever it ends with satisfies the condition above, and few rows are left.

Source: Jonker and Volgenant 1987, doi:10.1007/BF02278710; Crouse 2016, doi:10.1109/TAES.2016.140952; for the
bidding, Bertsekas 1988, doi:10.1007/BF02186476.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core._errors import ArgumentError, StructureError


def hungarian_algorithm(cost_matrix: Any) -> tuple[jax.Array, jax.Array]:
    """Solves the linear assignment problem.

        minimise sum_{(i, j) in pairs} c_ij over min(n, m) pairs without a row or column twice

    It can be jitted and mapped with `jax.vmap`. Costs are computed with in at least float32, so integers are exact
    below 2^24. A cost of +inf or NaN forbids a pair, unless there is no assignment without; -inf wants it above all.

    Args:
      cost_matrix: c, real, shape (n, m).

    Returns:
      (i, j), int32 vectors of length min(n, m), with i rising: the cost is `cost_matrix[i, j].sum()`.

    Raises:
      ArgumentError: cost_matrix is complex.
      StructureError: cost_matrix is no matrix.

    Source: Jonker and Volgenant 1987, doi:10.1007/BF02278710; Bertsekas 1988, doi:10.1007/BF02186476.

    >>> import jax.numpy as jnp
    >>> cost = jnp.array([[4, 1, 3], [2, 0, 5], [3, 2, 2]])
    >>> i, j = hungarian_algorithm(cost)
    >>> print(i, j, cost[i, j].sum())
    [0 1 2] [1 0 2] 5
    """
    return _solve("hungarian_algorithm", cost_matrix, bidding=True)


def base_hungarian_algorithm(cost_matrix: Any) -> tuple[jax.Array, jax.Array]:
    """Solves the linear assignment problem by shortest augmenting paths alone.

    The plain method, of a simpler program and slower than `hungarian_algorithm`: arguments and result are the same,
    except where several assignments are optimal.

    Args:
      cost_matrix: c, real, shape (n, m).

    Returns:
      (i, j), int32 vectors of length min(n, m), with i rising: the cost is `cost_matrix[i, j].sum()`.

    Raises:
      ArgumentError: cost_matrix is complex.
      StructureError: cost_matrix is no matrix.

    Source: Crouse 2016, doi:10.1109/TAES.2016.140952.
    """
    return _solve("base_hungarian_algorithm", cost_matrix, bidding=False)


class _Matching(NamedTuple):
    """price: v, shape (m,); column: that of each row, -1 for a free one, (n,); row: that of each column, (m,)."""

    price: jax.Array
    column: jax.Array
    row: jax.Array


def _solve(who: str, cost_matrix: Any, bidding: bool) -> tuple[jax.Array, jax.Array]:
    cost = jnp.asarray(cost_matrix)
    if jnp.iscomplexobj(cost):
        raise ArgumentError(f"{who}: cost_matrix must be real, got {cost.dtype}.")
    if cost.ndim != 2:
        raise StructureError(f"{who}: cost_matrix must have shape (rows, columns), got {cost.shape}.")
    if 0 in cost.shape:
        return jnp.zeros(0, jnp.int32), jnp.zeros(0, jnp.int32)
    cost = _finite(cost.astype(jnp.promote_types(cost.dtype, jnp.float32)))
    tall = cost.shape[0] > cost.shape[1]
    column = _match(cost.T if tall else cost, bidding)
    if not tall:
        return jnp.arange(column.size, dtype=jnp.int32), column
    order = jnp.argsort(column)
    return column[order], order.astype(jnp.int32)


def _finite(cost: jax.Array) -> jax.Array:
    """Forbidden pairs at a cost that no assignment of the others reaches."""
    allowed = jnp.isfinite(cost)
    high = jnp.max(cost, where=allowed, initial=-jnp.inf)
    low = jnp.min(cost, where=allowed, initial=jnp.inf)
    high, low = (jnp.where(jnp.any(allowed), x, 0.0) for x in (high, low))
    most = high + min(cost.shape) * (high - low + 1)
    return jnp.where(allowed, cost, jnp.where(jnp.isneginf(cost), low - (most - high), most))


@partial(jax.jit, static_argnames="bidding")
def _match(cost: jax.Array, bidding: bool) -> jax.Array:
    """The column of each row, for at least as many columns as rows."""
    rows, columns = cost.shape
    matching = _Matching(
        jnp.zeros(columns, cost.dtype), jnp.full(rows, -1, jnp.int32), jnp.full(columns, -1, jnp.int32)
    )
    if bidding and columns > 1:
        matching = _bid(cost, matching)

    def free(matching: _Matching) -> jax.Array:
        return jnp.any(matching.column < 0)

    return jax.lax.while_loop(free, lambda matching: _augment(cost, matching), matching).column


def _bid(cost: jax.Array, matching: _Matching) -> _Matching:
    """Rounds of bids by all free rows, until a round wins no column that was not taken, or none is free."""
    rows = jnp.arange(cost.shape[0], dtype=jnp.int32)

    def bid(carry: tuple[_Matching, jax.Array]) -> tuple[_Matching, jax.Array]:
        (price, column, row), left = carry
        reduced = cost - price
        wanted = jnp.argmin(reduced, axis=1).astype(jnp.int32)
        best = jnp.take_along_axis(reduced, wanted[:, None], 1)[:, 0]
        second = jnp.min(jnp.where(jnp.arange(cost.shape[1]) == wanted[:, None], jnp.inf, reduced), axis=1)
        bids = jnp.where(column < 0, second - best, -1.0)
        highest = jnp.full(cost.shape[1], -1.0, cost.dtype).at[wanted].max(bids)
        bidder = (bids >= 0) & (bids == highest[wanted])
        winner = jnp.full(cost.shape[1], -1, jnp.int32).at[wanted].max(jnp.where(bidder, rows, -1))
        # Taking a column from its owner for nothing would go round in circles.
        won = (winner >= 0) & ((row < 0) | (highest > 0))
        loser = jnp.where(won & (row >= 0), row, rows.size)
        column = column.at[loser].set(-1, mode="drop")
        row = jnp.where(won, winner, row)
        column = column.at[jnp.where(won, winner, rows.size)].set(
            jnp.arange(row.size, dtype=jnp.int32), mode="drop"
        )
        return (_Matching(jnp.where(won, price - highest, price), column, row), left - 1)

    def unfinished(carry: tuple[_Matching, jax.Array]) -> jax.Array:
        matching, left = carry
        return jnp.any(matching.column < 0) & (left > 0)

    return jax.lax.while_loop(unfinished, bid, (matching, jnp.int32(_ROUNDS)))[0]


_ROUNDS = 4  # of bids, each a pass over the matrix; on 256 x 256 more cost more than the paths they save


class _Paths(NamedTuple):
    """Dijkstra's state. distance: from the free row to each column, (m,); before: the row before each column, (m,);
    done: columns whose distance is final, (m,); end: the last of them; length: its distance."""

    distance: jax.Array
    before: jax.Array
    done: jax.Array
    end: jax.Array
    length: jax.Array


def _augment(cost: jax.Array, matching: _Matching) -> _Matching:
    """Matches the first free row along a shortest augmenting path."""
    price, column, row = matching
    columns = cost.shape[1]
    # Mapped by vmap, this also runs for problems that are already solved, until the last one is: its loops must end.
    active = jnp.any(column < 0)
    source = jnp.argmax(column < 0).astype(jnp.int32)

    def relax(paths: _Paths, i: jax.Array, least: jax.Array) -> _Paths:
        """Paths that go on from row i, whose own reduced cost is `least`."""
        through = paths.length + ((cost[i] - price) - least)
        shorter = ~paths.done & (through < paths.distance)
        distance = jnp.where(shorter, through, paths.distance)
        # Any column that is not done comes before those that are: the search ends, whatever the numbers.
        largest = jnp.finfo(cost.dtype).max
        end = jnp.argmin(jnp.where(paths.done, jnp.inf, jnp.minimum(distance, largest))).astype(jnp.int32)
        return _Paths(
            distance=distance,
            before=jnp.where(shorter, i, paths.before),
            done=paths.done | (jnp.arange(columns) == end),
            end=end,
            length=distance[end],
        )

    def onward(paths: _Paths) -> _Paths:
        i = row[paths.end]
        return relax(paths, i, cost[i, paths.end] - price[paths.end])

    start = _Paths(
        distance=jnp.full(columns, jnp.inf, cost.dtype),
        before=jnp.full(columns, source),
        done=jnp.zeros(columns, bool),
        end=jnp.int32(0),
        length=jnp.zeros((), cost.dtype),
    )
    first = relax(start, source, jnp.zeros((), cost.dtype))
    paths = jax.lax.while_loop(lambda paths: active & (row[paths.end] >= 0), onward, first)
    price = jnp.where(paths.done, price + jnp.minimum(paths.distance - paths.length, 0), price)

    def flip(carry: tuple[jax.Array, jax.Array, jax.Array, jax.Array]) -> Any:
        column, row, j, _ = carry
        i = paths.before[j]
        return column.at[i].set(j), row.at[j].set(i), column[i], i

    column, row, _, _ = jax.lax.while_loop(
        lambda carry: carry[3] != source, flip, (column, row, paths.end, jnp.where(active, -1, source))
    )
    return _Matching(price, column, row)
