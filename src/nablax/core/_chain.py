"""`chain`: transformations one after the other, neighbouring rules joined into one pass over the leaves."""

from __future__ import annotations

import collections
import sys
from collections.abc import Iterator, Sequence
from typing import Any, cast

from nablax.core._base import GradientTransformationExtraArgs, Wrapper, with_extra_args_support
from nablax.core._errors import ArgumentError, MissingParamsError, StructureError
from nablax.core._leafwise import Leafwise
from nablax.core._pass import run


class Chain(Wrapper):
    """Transformations in sequence. The state is a tuple of theirs, or, with names, an ordered dict."""

    named: bool
    _segments: list[list[Any]]

    def __new__(cls, links: Sequence[Any], names: Sequence[str] | None = None, label: str = "") -> Chain:
        links = [tx if isinstance(tx, Chain) else with_extra_args_support(tx) for tx in links]
        labels = list(names) if names is not None else _labels(links)

        def init(params: Any) -> Any:
            states = [tx.init(params) for tx in links]
            return (
                tuple(states) if names is None else collections.OrderedDict(zip(names, states, strict=True))
            )

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
            try:
                return run_segments(updates, state, params, extra)
            except MissingParamsError as error:  # say which optimizer, too
                who = _who_reads_params(self)
                said = str(error).startswith(f"{who} ")
                raise MissingParamsError(f"{who}: {error}" if who and not said else str(error)) from None

        def run_segments(updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
            states = iter(list(self._open(state)))
            new: list[Any] = []
            for segment in self._segments:
                if isinstance(segment[0], Leafwise):
                    specs = [tx.spec for tx in segment]
                    updates, after = run(specs, [next(states) for _ in segment], updates, params, extra)
                    new += after
                else:
                    updates, after = segment[0].update(updates, next(states), params, **extra)
                    new.append(after)
            return updates, self._close(iter(new), state)

        def rebuild(children: dict[str, Any]) -> Chain:
            return Chain([children[k] for k in labels], names, self.label)

        def states(state: Any) -> dict[str, Any]:
            return dict(zip(labels, self._states(state), strict=True))

        children = dict(zip(labels, links, strict=True))
        self = cast(Chain, super().__new__(cls, init, update, children, rebuild, states))
        self.named = names is not None
        self.label = label
        self._segments = _segments(self)
        return self

    def _open(self, state: Any) -> Iterator[Any]:
        """The states of the innermost links, in order."""
        for tx, child in zip(self.children.values(), self._states(state), strict=True):
            if isinstance(tx, Chain):
                yield from tx._open(child)
            else:
                yield child

    def _close(self, states: Iterator[Any], like: Any) -> Any:
        """The inverse of `_open`."""
        new = [
            tx._close(states, child) if isinstance(tx, Chain) else next(states)
            for tx, child in zip(self.children.values(), self._states(like), strict=True)
        ]
        return type(like)(zip(like, new, strict=True)) if self.named else tuple(new)

    def _states(self, state: Any) -> Sequence[Any]:
        fits = isinstance(state, dict if self.named else tuple)
        if not fits or len(state) != len(self.children):
            raise StructureError(
                f"chain: expected the {'named ' if self.named else ''}states of {len(self.children)} transformations "
                f"({', '.join(self.children)}), got {type(state).__name__} of {_length(state)}. Call init(params) "
                "first and hand its result to update."
            )
        return [state[k] for k in self.children] if self.named else state


def _who_reads_params(tx: Any) -> str:
    """The named chains around the first rule that reads the parameters, outermost first."""
    for child in tx.children.values() if isinstance(tx, Chain) else ():
        if isinstance(child, Chain) and (inner := _who_reads_params(child)):
            return f"{tx.label}/{inner}".lstrip("/")
        if isinstance(child, Leafwise) and "params" in child.spec.inputs:
            return tx.label
    return ""


def _length(state: Any) -> Any:
    return len(state) if hasattr(state, "__len__") else "no length"


def label_of(tx: Any) -> str:
    """What a transformation calls itself: its function's name; "" for a chain of the user's or a foreign object."""
    return tx.spec.name if isinstance(tx, Leafwise) else getattr(tx, "label", "")


def _labels(links: Sequence[Any]) -> list[str]:
    """A name for each link, numbered where it comes again."""
    seen: collections.Counter[str] = collections.Counter()
    labels = []
    for tx in links:
        name = label_of(tx) or type(tx).__name__.lower()
        labels.append(name if not seen[name] else f"{name}_{seen[name]}")
        seen[name] += 1
    return labels


def _links(tx: Any) -> list[Any]:
    return [x for child in tx.children.values() for x in _links(child)] if isinstance(tx, Chain) else [tx]


def _segments(tx: Chain) -> list[list[Any]]:
    """Runs of rules that one pass can hold. A rule that measures all leaves must be the first of its pass."""
    segments: list[list[Any]] = []
    for link in _links(tx):
        joins = isinstance(link, Leafwise) and link.spec.measure is None
        if joins and segments and isinstance(segments[-1][0], Leafwise):
            segments[-1].append(link)
        else:
            segments.append([link])
    return segments


def chain(*args: Any) -> GradientTransformationExtraArgs:
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
    caller = sys._getframe(1)
    own = caller.f_globals.get("__name__", "").startswith("nablax.optimizers")
    return Chain(args, label=caller.f_code.co_name if own else "")


def named_chain(*args: tuple[str, Any]) -> GradientTransformationExtraArgs:
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
    return Chain([tx for _, tx in args], names)
