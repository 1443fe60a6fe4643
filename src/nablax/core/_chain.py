"""`chain`: transformations one after the other, neighbouring rules joined into one pass over the leaves.

Updates stay wide, at least float32, from the first link to the last, and are cast once, at the end.
"""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterator, Sequence
from typing import Any

from nablax.core._base import with_extra_args_support
from nablax.core._errors import ArgumentError, StructureError
from nablax.core._numerics import widened
from nablax.core._pass import run
from nablax.core._rule import Rule
from nablax.core._value import Call, Transformation, body_of, call_of
from nablax.core._widths import dtypes_after, dtypes_of, narrowed


class Chain:
    """The body of a chain. The state is a tuple of the links', or, with names, an ordered dict."""

    def __init__(self, links: Sequence[Any], names: Sequence[str] | None = None):
        self.links = [tx if body_of(tx) is not None else with_extra_args_support(tx) for tx in links]
        self.names = names

    # Found when they are first needed, so that constructing stays cheap.

    @functools.cached_property
    def children(self) -> dict[str, Any]:
        """The links by name."""
        names = self.names if self.names is not None else _labels(self.links)
        return dict(zip(names, self.links, strict=True))

    @functools.cached_property
    def segments(self) -> list[list[Any]]:
        """Runs of rules that one pass can hold."""
        return _segments(self)

    @functools.cached_property
    def moves(self) -> bool:
        """Whether its last link decides on the parameters itself."""
        return bool(self._bodies) and getattr(self._bodies[-1], "moves", False)

    @functools.cached_property
    def head(self) -> Chain:
        """All links but the last, without names."""
        return Chain(self.links[:-1])

    @functools.cached_property
    def _bodies(self) -> list[Any]:
        return [body_of(tx) or tx for tx in self.links]

    def init(self, params: Any) -> Any:
        states = [tx.init(params) for tx in self._bodies]
        if self.names is None:
            return tuple(states)
        return collections.OrderedDict(zip(self.names, states, strict=True))

    def update(self, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
        return self._run(updates, state, params, extra, wide=False)

    def update_wide(self, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
        """`update`, its result as wide as it was computed."""
        return self._run(updates, state, params, extra, wide=True)

    def _run(
        self, updates: Any, state: Any, params: Any, extra: dict[str, Any], wide: bool
    ) -> tuple[Any, Any]:
        states = iter(list(self._open(state)))
        new: list[Any] = []
        segments = self.segments
        dtypes: Any = None
        for i, segment in enumerate(segments):
            last = i == len(segments) - 1
            if isinstance(segment[0], Rule):
                mine = [next(states) for _ in segment]
                updates, after, dtypes = run(segment, mine, updates, params, extra, dtypes, wide or not last)
                new += after
                continue
            if dtypes is None:
                dtypes = dtypes_of(updates)
                updates = widened(updates) if len(segments) > 1 else updates
            before = updates
            updates, after = _update(segment[0], updates, next(states), params, extra)
            dtypes = dtypes_after(dtypes, before, updates, params)
            if last and not (wide or self.moves) and len(segments) > 1:
                updates = narrowed(updates, dtypes)
            new.append(after)
        return updates, self._close(iter(new), state)

    def states(self, state: Any) -> dict[str, Any]:
        return dict(zip(self.children, self._states(state), strict=True))

    def with_states(self, state: Any, states: dict[str, Any]) -> Any:
        """The chain's state with other states of some links."""
        mine = {**self.states(state), **states}
        if self.names is None:
            return tuple(mine.values())
        return type(state)((name, mine[name]) for name in state)

    def _open(self, state: Any) -> Iterator[Any]:
        """The states of the innermost links, in order."""
        for body, child in zip(self._bodies, self._states(state), strict=True):
            if isinstance(body, Chain):
                yield from body._open(child)
            else:
                yield child

    def _close(self, states: Iterator[Any], like: Any) -> Any:
        """The inverse of `_open`."""
        new = [
            body._close(states, child) if isinstance(body, Chain) else next(states)
            for body, child in zip(self._bodies, self._states(like), strict=True)
        ]
        return self.with_states(like, dict(zip(self.children, new, strict=True)))

    def _states(self, state: Any) -> Sequence[Any]:
        # A list where a tuple was is what checkpoints without a template give back.
        fits = isinstance(state, dict if self.names is not None else tuple | list)
        if not fits or len(state) != len(self.links):
            raise StructureError(
                f"chain: expected the {'named ' if self.names is not None else ''}states of {len(self.links)} "
                f"transformations ({', '.join(self.children)}), got {type(state).__name__} of "
                f"{len(state) if hasattr(state, '__len__') else 'no length'}. Call init(params) first and hand its "
                "result to update."
            )
        return state if self.names is None else [state[k] for k in self.names]


def _update(body: Any, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
    if not isinstance(body, tuple):
        return body.update(updates, state, params, extra)
    _, update = body  # of another library
    return update(updates, state, params, **extra)


def _labels(links: Sequence[Any]) -> list[str]:
    """A name for each link, numbered where it comes again."""
    seen: collections.Counter[str] = collections.Counter()
    labels = []
    for tx in links:
        call = call_of(tx)
        name = label_of(tx) or (call.name if call is not None else type(tx).__name__.lower())
        labels.append(name if not seen[name] else f"{name}_{seen[name]}")
        seen[name] += 1
    return labels


def label_of(tx: Any) -> str:
    """What a transformation calls itself: the function that was called; "" for a chain or an object of elsewhere."""
    call = call_of(tx)
    if call is None or call.name in ("chain", "named_chain", "wrapper"):
        return ""
    return call.body.name if call.name == "leafwise" else call.name  # type: ignore[attr-defined]


def _links(body: Any) -> list[Any]:
    return [x for child in body._bodies for x in _links(child)] if isinstance(body, Chain) else [body]


def _segments(chain: Chain) -> list[list[Any]]:
    """Runs of rules that one pass can hold. A rule that measures all leaves must be the first of its pass."""
    segments: list[list[Any]] = []
    for link in _links(chain):
        if segments and getattr(segments[-1][0], "moves", False) and isinstance(link, Rule):
            raise ArgumentError(
                f"chain: {link.name} stands behind a transformation that decides on the parameters itself "
                f"({', '.join(chain.children)}). Put it before, or inside."
            )
        joins = isinstance(link, Rule) and link.measure is None
        if joins and segments and isinstance(segments[-1][0], Rule):
            segments[-1].append(link)
        else:
            segments.append([link])
    return segments


def chain(*args: Any) -> Any:
    """Applies transformations one after the other.

    Neighbouring rules, also those of chains within the chain, go through the leaves together: each leaf is read and
    written once. Extra arguments reach every link that takes them.

    Args:
      *args: transformations, nablax's or any object with `init` and `update`.

    Returns:
      A transformation whose state is the tuple of theirs.

    Raises:
      ArgumentError: an argument is no transformation.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax.transforms import clip, scale
      >>> tx = chain(clip(1.0), scale(-0.1))
      >>> updates, state = tx.update({"w": jnp.array([0.5, 5.0])}, tx.init(None))
      >>> updates["w"]
      Array([-0.05, -0.1 ], dtype=float32)
    """
    return Transformation.of(Call(chain, {"args": args}, Chain(args)))


def named_chain(*args: tuple[str, Any]) -> Any:
    """A chain whose state is an ordered dict: one name, one transformation.

    Args:
      *args: pairs `(name, transformation)`; names are distinct strings.

    Raises:
      ArgumentError: an argument is no such pair, or a name comes twice.
    """
    for pair in args:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)):
            raise ArgumentError(
                f"named_chain: each argument is a pair (name, transformation), got {pair!r}."[:300]
            )
    names = [name for name, _ in args]
    if len(set(names)) < len(names):
        raise ArgumentError(f"named_chain: names must be distinct, got {names}.")
    return Transformation.of(Call(named_chain, {"args": args}, Chain([tx for _, tx in args], names)))
