"""The protocol: a gradient transformation is a pair of functions, `init` and `update`.

    init(params) -> state
    update(updates, state, params=None, **extra) -> (updates, state)

Any object with these two is a transformation; whether `update` takes extra arguments (the loss's value, a key, ...)
is read from its signature, so that transformations of other libraries take part. A chain or a wrapper also carries
`children`, and `rebuild(children)`, from which the runtime finds and replaces hyperparameters.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax

from nablax.core._errors import ArgumentError

Params = Any
Updates = Any
OptState = Any
Schedule = Callable[[Any], Any]
ScalarOrSchedule = float | jax.Array | Schedule


class TransformInitFn(Protocol):
    """`init(params) -> state`."""

    def __call__(self, params: Params) -> OptState: ...


class TransformUpdateFn(Protocol):
    """`update(updates, state, params=None) -> (updates, state)`."""

    def __call__(
        self, updates: Updates, state: OptState, params: Params | None = None
    ) -> tuple[Updates, OptState]: ...


class TransformUpdateExtraArgsFn(Protocol):
    """`update(updates, state, params=None, **extra_args) -> (updates, state)`."""

    def __call__(
        self, updates: Updates, state: OptState, params: Params | None = None, **extra_args: Any
    ) -> tuple[Updates, OptState]: ...


class GradientTransformation(NamedTuple):
    """A pair of pure functions.

    Attributes:
      init: `init(params)` returns the initial state, a pytree of arrays.
      update: `update(updates, state, params=None)` returns the transformed updates and the next state.
    """

    init: Callable[..., Any]
    update: Callable[..., Any]


class GradientTransformationExtraArgs(GradientTransformation):
    """A transformation whose `update` also takes, and may ignore, keyword arguments such as `value=`."""

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # Optax decides by isinstance whether to hand extra arguments on. Answering for its class, where it is
        # loaded, is what lets our transformations receive them inside an Optax chain.
        optax = sys.modules.get("optax")
        return getattr(optax, "GradientTransformationExtraArgs", type(self))


class Wrapper(GradientTransformationExtraArgs):
    """A transformation made of others.

    Attributes:
      children: the inner transformations by name.
      rebuild: makes the same wrapper around other children.
      states: finds the children's states, by name, in the wrapper's; None where they cannot be told apart.
      label: what the wrapper is called in the paths of hyperparameters.
    """

    children: dict[str, GradientTransformation]
    rebuild: Callable[[dict[str, Any]], GradientTransformation]
    states: Callable[[Any], dict[str, Any]] | None
    label: str

    def __new__(
        cls,
        init: Callable[..., Any],
        update: Callable[..., Any],
        children: Mapping[str, Any],
        rebuild: Callable[[dict[str, Any]], GradientTransformation],
        states: Callable[[Any], dict[str, Any]] | None = None,
        label: str = "",
    ) -> Wrapper:
        self = super().__new__(cls, init, update)
        self.children = dict(children)
        self.rebuild = rebuild
        self.states = states
        self.label = label
        return self


class EmptyState(NamedTuple):
    """The state of a transformation that remembers nothing."""


class MaskedNode(NamedTuple):
    """Stands, in a tree, for a leaf that a mask leaves out. It holds no leaves."""


class MaskedState(NamedTuple):
    """inner_state: the state of the masked transformation; left-out leaves are `MaskedNode()`."""

    inner_state: Any


def init_empty_state(params: Params) -> EmptyState:
    """The `init` of every transformation without a memory."""
    del params
    return EmptyState()


def stateless(f: Callable[[Updates, Params | None], Updates]) -> GradientTransformation:
    """Makes a transformation of a function of whole trees.

    Args:
      f: `f(updates, params)` returns the new updates; `params` is None where `update` got none.
    """

    def update(updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]:
        return f(updates, params), state

    return GradientTransformation(init_empty_state, update)


def stateless_with_tree_map(f: Callable[[Any, Any], Any]) -> GradientTransformation:
    """Makes a transformation of a function of one leaf.

    Args:
      f: `f(g, p)` returns the new update of a leaf; `p` is None where `update` got no params. Leaves that are None
        stay None.
    """

    def leaf(g: Any, p: Any) -> Any:
        return None if g is None else f(g, p)

    def update(updates: Updates, state: OptState, params: Params | None = None) -> tuple[Updates, OptState]:
        def is_none(x: Any) -> bool:
            return x is None

        if params is None:
            return jax.tree.map(lambda g: leaf(g, None), updates, is_leaf=is_none), state
        return jax.tree.map(leaf, updates, params, is_leaf=is_none), state

    return GradientTransformation(init_empty_state, update)


def with_extra_args_support(tx: Any) -> GradientTransformationExtraArgs:
    """Lets any transformation be called with extra arguments; those that its `update` does not name are dropped.

    Args:
      tx: an object with `init` and `update`.

    Returns:
      `tx` itself where its `update` takes any keyword argument.

    Raises:
      ArgumentError: `tx` has no callable `init` and `update`.
    """
    init, update = getattr(tx, "init", None), getattr(tx, "update", None)
    if not (callable(init) and callable(update)):
        raise ArgumentError(
            f"A gradient transformation is an object with functions init and update, got {type(tx).__name__}: "
            f"{tx!r}"[:300]
        )
    if isinstance(tx, GradientTransformationExtraArgs):
        return tx
    accepted = _keyword_names(update)
    if accepted is None:
        return GradientTransformationExtraArgs(init, update)

    def filtered(
        updates: Updates, state: OptState, params: Params | None = None, **extra: Any
    ) -> tuple[Updates, OptState]:
        return update(updates, state, params, **{k: v for k, v in extra.items() if k in accepted})

    return GradientTransformationExtraArgs(init, filtered)


def _keyword_names(update: Callable[..., Any]) -> frozenset[str] | None:
    """The extra keyword arguments that `update` names; None where it takes any."""
    try:
        parameters = list(inspect.signature(update).parameters.values())
    except (TypeError, ValueError):
        return frozenset()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    extra = [p for p in parameters[3:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    extra += [p for p in parameters[:3] if p.kind is p.KEYWORD_ONLY]
    return frozenset(p.name for p in extra)
