"""The protocol: a gradient transformation is a pair of functions, `init` and `update`.

    init(params) -> state
    update(updates, state, params=None, **extra) -> (updates, state)

Any object with these two is a transformation; whether `update` takes extra arguments (the loss's value, a key, ...)
is read from its signature, so that transformations of other libraries take part.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Iterable, Mapping, NamedTuple, Protocol, Union  # noqa: UP035

import jax

from nablax.core._border import at_home_in_optax
from nablax.core._errors import ArgumentError

# Types that packages dispatch on, and ask of annotations: those that Optax has, so `typing`'s own, not `|`.
if TYPE_CHECKING:
    ArrayTree = Any
else:
    ArrayTree = Union[jax.typing.ArrayLike, Iterable["ArrayTree"], Mapping[Any, "ArrayTree"]]  # noqa: UP007
Params = ArrayTree
Updates = ArrayTree
OptState = ArrayTree
Schedule = Callable[[jax.typing.ArrayLike], jax.typing.ArrayLike]
ScalarOrSchedule = Union[float, jax.Array, Schedule]  # noqa: UP007


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


class _Pair(NamedTuple):
    init: Callable[..., Any]
    update: Callable[..., Any]


class GradientTransformation(_Pair):
    """A pair of pure functions.

    Attributes:
      init: `init(params)` returns the initial state, a pytree of arrays.
      update: `update(updates, state, params=None)` returns the transformed updates and the next state.
    """

    __slots__ = ()

    def __new__(cls, init: Callable[..., Any], update: Callable[..., Any]) -> Any:
        return _Pair.__new__(at_home_in_optax(cls), init, update)


class GradientTransformationExtraArgs(GradientTransformation):
    """A transformation whose `update` also takes, and may ignore, keyword arguments such as `value=`."""

    __slots__ = ()


class Body(Protocol):
    """What a transformation does; made once, never changed.

    Attributes:
      children: the inner transformations by name.
    """

    @property
    def children(self) -> Mapping[str, Any]: ...

    def init(self, params: Any) -> Any: ...

    def update(self, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]: ...

    def states(self, state: Any) -> Mapping[str, Any]: ...


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
        name = getattr(tx, "__name__", "")
        hint = f" Call it first: {name}(...)." if callable(tx) and name.isidentifier() else ""
        raise ArgumentError(
            f"A gradient transformation is an object with functions init and update, got {type(tx).__name__}: "
            f"{tx!r}."[:300]
            + hint
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
