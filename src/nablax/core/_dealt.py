"""Whole matrices, dealt to the devices of a mesh by their size.

Newton-Schulz and decompositions need a matrix whole. Where the state is sharded, a compiler would gather and multiply
in parts, with collectives in every iteration. Here each matrix goes to one device, the largest first, each to the one
that has least to do: one exchange before, one after.

A rule says `of_whole(fn, matrices, ...)`. All that the leaves of a pass ask for is dealt at once: a leaf that asks is
left, and run again from its start when there is an answer. Rules are pure, so a compiler makes one of what is traced
twice.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax

from nablax.core._deal_plan import Kind
from nablax.core._exchange import exchange

_MESH: contextvars.ContextVar[Any] = contextvars.ContextVar("mesh", default=None)
_ANSWERS: contextvars.ContextVar[Iterator[Any] | None] = contextvars.ContextVar("answers", default=None)


@contextlib.contextmanager
def dealing(mesh: Any) -> Iterator[None]:
    """Within it, what needs whole matrices deals them to the devices of a mesh; to none, where it is None."""
    token = _MESH.set(mesh)
    try:
        yield
    finally:
        _MESH.reset(token)


def dealing_now() -> Any:
    """The mesh that the innermost `dealing` said."""
    return _MESH.get()


class Work(NamedTuple):
    """`fn(matrix, **numbers, **options)` for each matrix, which needs it whole.

    Attributes:
      fn: makes an array of one matrix.
      matrices: shape (..., rows, columns).
      numbers: small arrays, by name.
      options: everything else, by name, hashable; works of equal functions and options share a piece of the program.
    """

    fn: Callable[..., jax.Array]
    matrices: jax.Array
    numbers: dict[str, jax.Array]
    options: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, fn: Callable[..., jax.Array], matrices: jax.Array, **given: Any) -> Work:
        """The arguments told apart."""
        numbers = {k: x for k, x in given.items() if isinstance(x, jax.Array)}
        return cls(fn, matrices, numbers, tuple(sorted((k, x) for k, x in given.items() if k not in numbers)))

    @property
    def of_one(self) -> Callable[[jax.Array, dict[str, jax.Array]], jax.Array]:
        """The function of one matrix and the numbers."""
        fn, options = self.fn, dict(self.options)
        return lambda matrix, numbers: fn(matrix, **numbers, **options)

    def here(self) -> jax.Array:
        """All of it, wherever the matrices lie."""
        each = self.of_one
        for _ in range(self.matrices.ndim - 2):
            each = jax.vmap(each, (0, None))
        return each(self.matrices, self.numbers)

    @property
    def key(self) -> Any:
        """What works of one kind have in common."""
        numbers = tuple((k, x.shape, x.dtype) for k, x in self.numbers.items())
        return self.fn, self.options, self.matrices.shape[-2:], self.matrices.dtype, numbers


class _Asked(BaseException):
    """Leaves a rule that asked."""

    def __init__(self, work: Work):
        self.work = work


def of_whole(fn: Callable[..., jax.Array], matrices: jax.Array, **given: Any) -> jax.Array:
    """`fn(matrix, **given)` for each matrix of an array of shape (..., rows, columns); see `Work`."""
    work = Work.of(fn, matrices, **given)
    answers = _ANSWERS.get()
    if answers is None:
        return work.here()
    for answer in answers:
        return answer
    raise _Asked(work)


def together(turns: Sequence[Callable[[], Any]], mesh: Any) -> list[Any]:
    """The results of pure functions; what they ask of whole matrices is dealt to the devices together."""
    results: list[Any] = [None] * len(turns)
    answers: list[list[Any]] = [[] for _ in turns]
    left = list(range(len(turns)))
    while left:
        asked = {}
        for i in left:
            token = _ANSWERS.set(iter(answers[i]))
            try:
                results[i] = turns[i]()
            except _Asked as e:
                asked[i] = e.work
            finally:
                _ANSWERS.reset(token)
        for i, answer in zip(asked, dealt(list(asked.values()), mesh), strict=True):
            answers[i].append(answer)
        left = list(asked)
    return results


def dealt(works: Sequence[Work], mesh: Any) -> list[jax.Array]:
    """The results of works, each matrix on the device that got it; where they lie, if the mesh is None."""
    results: list[Any] = [None] * len(works)
    kinds: dict[Any, Kind] = {}
    groups: dict[Any, list[tuple[int, Kind]]] = {}
    for i, work in enumerate(works):
        x = work.matrices
        if mesh is None or not x.size:
            results[i] = work.here()
            continue
        if work.key not in kinds:
            one = jax.ShapeDtypeStruct(x.shape[-2:], x.dtype)
            kinds[work.key] = Kind.of(work.of_one, one, work.numbers, mesh.size)
        kind = kinds[work.key]
        groups.setdefault((x.dtype, kind.made.dtype), []).append((i, kind))
    for members in groups.values():
        chosen = [works[i] for i, _ in members]
        stacks = [w.matrices.reshape(-1, *w.matrices.shape[-2:]) for w in chosen]
        made = exchange(stacks, [w.numbers for w in chosen], [kind for _, kind in members], mesh)
        for (i, _), work, x in zip(members, chosen, made, strict=True):
            results[i] = x.reshape(*work.matrices.shape[:-2], *x.shape[1:])
    return results
