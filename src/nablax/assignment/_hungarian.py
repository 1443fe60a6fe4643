"""The linear assignment problem: as many pairs (row, column) as fit, no row or column twice, of least total cost.

Prices v_j <= 0 of columns prove a partial matching optimal when every matched row is matched to a column of least
c_ij - v_j, and unmatched columns have price 0. From there, a free row is matched by a shortest augmenting path in
the reduced costs (Dijkstra, one row and one vector operation a step), after which the prices are corrected.

Rows are matched in their order, and of columns at one distance the first comes first. So where several assignments
have the least cost, the one that is found is Optax's.

Source: Jonker and Volgenant 1987, doi:10.1007/BF02278710; Crouse 2016, doi:10.1109/TAES.2016.140952.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nablax.core import ArgumentError, StructureError


def hungarian_algorithm(cost_matrix: Any) -> tuple[jax.Array, jax.Array]:
    """Solves the linear assignment problem.

        minimise sum_{(i, j) in pairs} c_ij over min(n, m) pairs without a row or column twice

    It can be jitted and mapped with `jax.vmap`. Costs are computed with in at least float32, so integers are exact
    below 2^24. A cost of +inf or NaN forbids a pair, unless there is no assignment without; -inf wants it above all.

    Args:
      cost_matrix: c, real, shape (n, m).

    Returns:
      (i, j), int32 vectors of length min(n, m): the cost is `cost_matrix[i, j].sum()`. As in Optax, j rises for n = m,
      i falls for n < m, and j falls for n > m.

    Raises:
      ArgumentError: cost_matrix is complex.
      StructureError: cost_matrix is no matrix.

    Source: Jonker and Volgenant 1987, doi:10.1007/BF02278710.

    >>> import jax.numpy as jnp
    >>> cost = jnp.array([[4, 1, 3], [2, 0, 5], [3, 2, 2]])
    >>> i, j = hungarian_algorithm(cost)
    >>> print(i, j, cost[i, j].sum())
    [1 0 2] [0 1 2] 5
    """
    i, j = _solve("hungarian_algorithm", cost_matrix)
    n, m = jnp.shape(cost_matrix)
    if n == m:
        return jnp.argsort(j).astype(jnp.int32), i
    if n < m:
        return i[::-1], j[::-1]
    order = jnp.argsort(j, descending=True)
    return i[order], j[order]


def base_hungarian_algorithm(cost_matrix: Any) -> tuple[jax.Array, jax.Array]:
    """Solves the linear assignment problem, like `hungarian_algorithm`, and gives the pairs in the order of their rows.

    Args:
      cost_matrix: c, real, shape (n, m).

    Returns:
      (i, j), int32 vectors of length min(n, m), with i rising: the cost is `cost_matrix[i, j].sum()`.

    Raises:
      ArgumentError: cost_matrix is complex.
      StructureError: cost_matrix is no matrix.

    Source: Crouse 2016, doi:10.1109/TAES.2016.140952.
    """
    return _solve("base_hungarian_algorithm", cost_matrix)


class _Matching(NamedTuple):
    """price: v, shape (m,); column: that of each row, -1 for a free one, (n,); row: that of each column, (m,)."""

    price: jax.Array
    column: jax.Array
    row: jax.Array


def _solve(who: str, cost_matrix: Any) -> tuple[jax.Array, jax.Array]:
    try:
        cost = jnp.asarray(cost_matrix)
    except (TypeError, ValueError):
        raise ArgumentError(
            f"{who}: cost_matrix must be an array of numbers, got {type(cost_matrix).__name__}: {cost_matrix!r}."[
                :300
            ]
        ) from None
    if jnp.iscomplexobj(cost):
        raise ArgumentError(f"{who}: cost_matrix must be real, got {cost.dtype}.")
    if cost.ndim != 2:
        raise StructureError(f"{who}: cost_matrix must have shape (rows, columns), got {cost.shape}.")
    if 0 in cost.shape:
        return jnp.zeros(0, jnp.int32), jnp.zeros(0, jnp.int32)
    cost = _finite(cost.astype(jnp.promote_types(cost.dtype, jnp.float32)))
    tall = cost.shape[0] > cost.shape[1]
    column = _match(cost.T if tall else cost)
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


@jax.jit
def _match(cost: jax.Array) -> jax.Array:
    """The column of each row, for at least as many columns as rows."""
    rows, columns = cost.shape
    matching = _Matching(
        jnp.zeros(columns, cost.dtype), jnp.full(rows, -1, jnp.int32), jnp.full(columns, -1, jnp.int32)
    )

    def free(matching: _Matching) -> jax.Array:
        return jnp.any(matching.column < 0)

    return jax.lax.while_loop(free, lambda matching: _augment(cost, matching), matching).column


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
