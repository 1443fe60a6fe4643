"""A function of one leaf, run over many: compiled, traced and lowered once for each distinct kind of leaf.

Eagerly, a leaf costs one compiled call. Under a trace, calls cost too (about 0.15 ms each in tracing and lowering),
so leaves of one kind are handed over in chunks: a chunk is one call of a function that holds its leaves' calls, and
is itself traced once. On 1,000 leaves that is 4.9 times faster to trace and lower than one call after the other of
the operations themselves, and XLA inlines it all again. A function of very many operations (Newton-Schulz) goes over
the stacked leaves of a kind in a loop instead, and is compiled once for all of them; as a batch (vmap) it compiled
longer than its copies, and matrix products in batches ran slower.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core._dealt import dealing_now, together
from nablax.core._split import automatic
from nablax.core._tracing import is_traced, jits, under_trace

CHUNK = 16
_QUICK = {"xla_cpu_use_fusion_emitters": False}
_STEP = {"xla_cpu_copy_insertion_use_region_analysis": True, "xla_cpu_prefer_vector_width": 512}


def _compiles(options: dict[str, Any]) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except Exception:  # XLA's errors for unknown options have no class of their own
        return False
    return True


def _known(options: dict[str, Any]) -> dict[str, Any] | None:
    """Those of the compiler options that this version of XLA knows; None where there are none."""
    if _compiles(options):
        return options
    return {name: value for name, value in options.items() if _compiles({name: value})} or None


@functools.cache
def quick_compile_options() -> dict[str, Any] | None:
    """What halves the time XLA's CPU compiler takes for a small elementwise program, which runs as fast.

    Returns:
      Compiler options, or None where this version of XLA does not know them.
    """
    return _known(_QUICK)


@functools.cache
def step_compile_options() -> dict[str, Any] | None:
    """What makes a step with donated arguments fast on CPUs: it overwrites also what it reads more than once, and uses
    vectors of 512 bits where the processor has them.

    Without, XLA's CPU compiler looks at dependencies alone: where two loops read a buffer that one of them writes, or a
    branch hands it on, it copies all of it, though the order of the loops would do. And it stays at 256 bits, for the
    sake of processors whose clock slows down beyond.

    Returns:
      Compiler options, or None where this version of XLA does not know them.
    """
    return _known(_STEP)


class Program:
    """`fn(row, shared)`, jitted.

    Args:
      fn: pure function of `row`, a pytree of the arrays that belong to one leaf, and `shared`, a pytree that all
        leaves see. It returns a pytree of arrays.
      name: what errors, profiles and compiled programs call it.
      like: of a row, arrays whose shardings the results have on a mesh with explicit axes, where the function then
        runs as on an automatic one; None leaves it to the function.
      stack: under a trace, loop over the stacked leaves of one kind; but see `run`.
    """

    def __init__(
        self,
        fn: Callable[[Any, Any], Any],
        name: str,
        like: Callable[[Any], Any] | None = None,
        stack: bool = False,
    ):
        def on_row(row: Any, shared: Any) -> Any:
            return automatic(fn, row, like(row))(row, shared)  # type: ignore[misc]

        self.plain, self.like, self.stack, self.name = fn, like, stack, name
        self._fn = fn if like is None else on_row
        self._fn.__name__ = self._fn.__qualname__ = name

    @functools.cached_property
    def one(self) -> Any:
        """The function, jitted."""
        return jax.jit(self._fn)

    @functools.cached_property
    def many(self) -> Any:
        """`one` for several rows of one kind."""

        def many(rows: list[Any], shared: Any) -> list[Any]:
            if not self.stack:
                return [self.one(row, shared) for row in rows]
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
            results = jax.lax.map(lambda row: self.one(row, shared), stacked)
            return [jax.tree.map(lambda a, i=i: a[i], results) for i in range(len(rows))]

        many.__name__ = many.__qualname__ = self.name + "_chunk"
        return jax.jit(many)

    @functools.cached_property
    def eager(self) -> Any:
        """`one` for concrete arrays only: JAX takes compiler options in calls that no trace surrounds."""
        return jax.jit(self._fn, compiler_options=quick_compile_options())

    def map(self, rows: Sequence[Any], shared: Any) -> list[Any]:
        """The results of all rows, in their order."""
        if not under_trace() and not is_traced((rows, shared)):
            return [self.eager(row, shared) for row in rows]
        if not jits() and not self.stack:  # no call to save, and none to prepare
            return [self._fn(row, shared) for row in rows]
        if len(rows) < 2:
            return [self.one(row, shared) for row in rows]
        kinds: dict[Any, list[int]] = {}
        for i, row in enumerate(rows):
            leaves, treedef = jax.tree.flatten(row)
            kinds.setdefault((treedef, *map(jax.typeof, leaves)), []).append(i)
        results: list[Any] = [None] * len(rows)
        for members in kinds.values():
            size = len(members) if self.stack else CHUNK
            for start in range(0, len(members), size):
                chunk = members[start : start + size]
                if len(chunk) == 1:
                    results[chunk[0]] = self.one(rows[chunk[0]], shared)
                    continue
                for i, result in zip(chunk, self.many([rows[i] for i in chunk], shared), strict=True):
                    results[i] = result
        return results


def run(parts: Sequence[tuple[Program, Sequence[Any]]], shared: Any) -> list[list[Any]]:
    """The results of programs, each for its rows.

    Under a trace and within `dealing`, what those with `stack` need whole matrices for goes to the devices, of all
    rows together.
    """
    mesh = dealing_now() if under_trace() else None
    results: list[list[Any]] = []
    asking: list[tuple[list[Any], Program, Any]] = []
    for program, rows in parts:
        asks = mesh is not None and program.stack
        results.append([] if asks else program.map(rows, shared))
        asking += [(results[-1], program, row) for row in rows if asks]
    if not asking:
        return results

    def all_of_them(rows: list[Any], shared: Any) -> list[Any]:
        turns = zip(asking, rows, strict=True)
        return together(
            [functools.partial(program.plain, row, shared) for (_, program, _), row in turns], mesh
        )

    every = [row for *_, row in asking]
    like = [program.like(row) if program.like else None for _, program, row in asking]
    for (found, *_), result in zip(asking, automatic(all_of_them, every, like)(every, shared), strict=True):
        found.append(result)
    return results
