"""A transformation is a value: it knows the call that made it.

`adamw(1e-3)` is a pair of functions, as the protocol has it, and both of them know the call: which function, with which
arguments, and what came of it. So the pair compares, hashes, copies, pickles and prints as that call, whoever takes it
apart and puts it together again: `jax.tree.map`, `copy.deepcopy`. `tx.replace(learning_rate=3e-4)` calls again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from nablax.core._arguments import as_passed, default_arguments, frozen, same, shown, variadic
from nablax.core._base import Body, GradientTransformationExtraArgs
from nablax.core._border import at_home_in_optax
from nablax.core._errors import ArgumentError, MissingParamsError
from nablax.core._spelling import unbound
from nablax.core._split import whole
from nablax.tree import manual_axes, reach_now


class Call:
    """One call of a function that makes transformations.

    Attributes:
      function: what was called.
      arguments: its arguments by name, defaults included; one that takes `*args` has their tuple under that name.
      body: what came of it.
    """

    __slots__ = ("_key", "arguments", "body", "function")

    def __init__(self, function: Callable[..., Any], arguments: Mapping[str, Any], body: Body):
        self.function = function
        self.arguments = arguments
        self.body = body
        self._key: Any = None

    @property
    def name(self) -> str:
        """The function's name."""
        return getattr(self.function, "label", self.function.__name__)

    @property
    def key(self) -> Any:
        """What equal calls have in common; hashable."""
        if self._key is None:
            self._key = (self.function, tuple((k, frozen(v)) for k, v in self.arguments.items()))
        return self._key

    def positional(self) -> tuple[list[Any], dict[str, Any]]:
        """The arguments as they are handed over."""
        return as_passed(self.function, self.arguments)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Call) and self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        args, kwargs = self.positional()
        defaults = default_arguments(self.function)
        given = {k: v for k, v in self.arguments.items() if k not in defaults or not same(defaults[k], v)}
        if variadic(self.function):
            return f"{self.name}({', '.join(map(shown, args))})"
        required = [k for k in self.arguments if k not in defaults and k not in kwargs]
        parts = [shown(self.arguments[k]) for k in required]
        parts += [f"{k}={shown(v)}" for k, v in given.items() if k not in required]
        return f"{self.name}({', '.join(parts)})"


class _Half:
    """One of the two functions of a transformation: it knows the call."""

    __slots__ = ("__weakref__", "call")

    def __init__(self, call: Call):
        self.call = call

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.call == other.call

    def __hash__(self) -> int:
        return hash((type(self), self.call))

    def __copy__(self) -> _Half:
        return self

    def __deepcopy__(self, memo: Any) -> _Half:
        return self

    def __reduce__(self) -> Any:
        return _half, (type(self), Transformation.of(self.call))

    def __repr__(self) -> str:
        return f"{self.call!r}.{type(self).__name__.lower()}"


class Init(_Half):
    """`init(params) -> state`."""

    __slots__ = ()

    def __call__(self, params: Any) -> Any:
        if manual_axes() and reach_now() is None:
            with whole(self.call.name):
                return self.call.body.init(params)
        return self.call.body.init(params)


class Update(_Half):
    """`update(updates, state, params=None, **extra_args) -> (updates, state)`."""

    __slots__ = ()

    def __call__(self, updates: Any, state: Any, params: Any = None, **extra_args: Any) -> tuple[Any, Any]:
        if manual_axes() and reach_now() is None:
            with whole(self.call.name):
                return self(updates, state, params, **extra_args)
        try:
            return self.call.body.update(updates, state, params, extra_args)
        except MissingParamsError as error:
            who = "" if params is not None else "/".join(_way_to_reader(self.call) or ())
            if not who or str(error).startswith((f"{who} ", f"{who}: ")):
                raise
            raise MissingParamsError(f"{who}: {error}") from None  # say which optimizer, too


def _way_to_reader(call: Call) -> list[str] | None:
    """The names of the calls around the first rule that reads the parameters, outermost first; None without one."""
    if "params" in getattr(getattr(call.body, "wiring", None), "inputs", ()):
        return []
    for child in call.body.children.values():
        way = None if (inner := call_of(child)) is None else _way_to_reader(inner)
        if way is not None:
            return way if call.name in ("chain", "named_chain") else [call.name, *way]
    return None


def _half(kind: type, tx: Any) -> Any:
    return tx.init if kind is Init else tx.update


class Transformation(GradientTransformationExtraArgs):
    """A gradient transformation that knows the call which made it.

    It is a pair `init, update = tx`. Two are equal where the same function was called with equal arguments.
    """

    __slots__ = ()

    @classmethod
    def of(cls, call: Any) -> Any:
        """The transformation of a call."""
        return tuple.__new__(at_home_in_optax(cls), (Init(call), Update(call)))

    @property
    def call(self) -> Call | None:
        """The call that made it; None where a half was replaced by another function."""
        init, update = self
        call = getattr(init, "call", None)
        other = getattr(update, "call", None)
        return call if call is not None and (call is other or call == other) else None

    @property
    def name(self) -> str:
        """The name of the function that was called."""
        call = self.call
        return type(self).__name__ if call is None else call.name

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the call by name, defaults included."""
        call = self.call
        return {} if call is None else dict(call.arguments)

    @property
    def children(self) -> dict[str, Any]:
        """The transformations that it is made of, by name."""
        call = self.call
        return {} if call is None else dict(call.body.children)

    def replace(self, **arguments: Any) -> Any:
        """The same call with other arguments, checked as any call is.

        Args:
          **arguments: by name; numbers may be traced.

        Raises:
          ArgumentError: the function has no such argument; or what the function itself raises.

        Example:
          >>> from nablax.optimizers import adam
          >>> adam(1e-3, b1=0.8).replace(learning_rate=0.1)
          adam(0.1, b1=0.8)
        """
        call = self.call
        if call is None:
            raise ArgumentError("replace: this transformation does not know the call that made it.")
        strange = {k: v for k, v in arguments.items() if k not in call.arguments}
        if strange:
            raise unbound(f"{call.name}.replace", inspect.signature(call.function), (), strange)
        args, kwargs = as_passed(call.function, {**call.arguments, **arguments})
        return call.function(*args, **kwargs)

    @classmethod
    def _make(cls, iterable: Any) -> Any:  # type: ignore[override]
        return cls(*iterable)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, tuple) and tuple.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return tuple.__hash__(self)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: Any) -> Any:
        return self

    def __reduce__(self) -> Any:
        call = self.call
        if call is None:
            return Transformation, tuple(self)
        return _call_again, (call.function, *as_passed(call.function, call.arguments))

    def __repr__(self) -> str:
        call = self.call
        return f"{type(self).__name__}(init={self[0]!r}, update={self[1]!r})" if call is None else repr(call)


def _call_again(function: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    return function(*args, **kwargs)


def call_of(tx: Any) -> Call | None:
    """The call that made a transformation; None for those of other libraries."""
    return tx.call if isinstance(tx, Transformation) else None


def body_of(tx: Any) -> Body | None:
    """What a transformation does; None for those of other libraries."""
    call = call_of(tx)
    return None if call is None else call.body
