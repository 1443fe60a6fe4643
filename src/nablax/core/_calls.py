"""`@checked`: a function whose arguments are checked before it runs, in its own name.

    @checked(momentum=number(0, 1), nesterov=FLAG)
    def sgd(learning_rate, momentum=None, nesterov=False): ...

An optimizer hands most of its arguments on to parts, which would speak of themselves and of what they call the
argument; the decorator speaks first. Only what differs from its default is checked, so that constructing stays cheap.
Where the function makes a transformation, this one knows the call: see `_value`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from nablax.core._arguments import MISSING, TOO_MANY, default_arguments, parameters
from nablax.core._base import ArrayTree, GradientTransformation, with_extra_args_support
from nablax.core._checks import Check
from nablax.core._errors import ArgumentError
from nablax.core._spelling import are_parameters, unbound
from nablax.core._value import Call, Transformation, body_of

Function = TypeVar("Function", bound=Callable[..., Any])


def checked(
    common: Mapping[str, Check] | None = None, who: str | None = None, /, **own: Any
) -> Callable[[Function], Function]:
    """Checks the arguments of the decorated function when it is called, and gives what it makes its name.

    Args:
      common: checks by name of argument; those that the function does not have are left out.
      who: the name that speaks in errors and paths; None is the function's.
      **own: checks of this function's arguments, in place of the common ones.

    Returns:
      A decorator. The decorated function has the signature, the code's names and the documentation of the original.
      A transformation that it returns is a `Transformation`: it compares, pickles and prints as the call. Arguments
      with the check of a number are its hyperparameters.

    Raises:
      ArgumentError: the function has no such argument; or, from the decorated function, one of the wrong kind.
      HyperparameterError: from the decorated function, a number out of its range.

    Example:
      >>> from nablax.core._checks import number
      >>> @checked(steps=number(1, integer=True))
      ... def train(steps):
      ...     return steps
      >>> train(2.5)
      Traceback (most recent call last):
      nablax.core._errors.ArgumentError: train: steps must be an integer, got float: 2.5.
    """

    def decorate(function: Function) -> Function:
        positional, keyword, star = parameters(function)
        names = (*positional, *keyword)
        unknown = [name for name in own if name not in names]
        if unknown:
            raise ArgumentError(f"checked: {function.__name__} has no argument {', '.join(unknown)}.")
        defaults = default_arguments(function)
        hints = function.__annotations__
        speaker = function.__name__ if who is None else who
        checks = {}
        for name, check in {**(common or {}), **own}.items():
            if name in names:
                optional = defaults.get(name, 0) is None or "None" in str(hints.get(name, ""))
                check = check if isinstance(check, Check) else Check(check)
                checks[name] = (check, defaults.get(name, _NO_DEFAULT), optional)
        rows = tuple((name, *row) for name, row in checks.items())
        required = tuple(name for name in names if name not in defaults)

        def call(arguments: dict[str, Any], more: tuple[Any, ...], strange: dict[str, Any]) -> Any:
            lacking = False
            for name in required:
                lacking = lacking or arguments[name] is MISSING
            if lacking or more or strange:
                raise _unbound(public, speaker, arguments, more, strange)
            for name, check, default, optional in rows:
                value = arguments[name]
                if value is not default and not (optional and value is None):
                    check.run(speaker, name, value, optional)
            args = [arguments[name] for name in positional]
            if star is not None:
                args += arguments[star]
            made = function(*args, **{name: arguments[name] for name in keyword})
            if not isinstance(made, GradientTransformation):
                return made
            return known_as(made, public, arguments)

        public = _with_signature_of(function, call)
        public.label = speaker
        public.checks = {name: check for name, (check, _, _) in checks.items()}
        return cast(Function, public)

    return decorate


_NO_DEFAULT = object()


def _with_signature_of(function: Callable[..., Any], call: Callable[..., Any]) -> Any:
    """A function with the very parameters of another, so that tools which look at its code find them.

    What is misspelt, missing or too much is taken, for Python would answer it; so `call` does.
    """
    positional, keyword, star = parameters(function)
    defaults = default_arguments(function)

    def listed(names: Iterable[str]) -> list[str]:
        return [f"{name}=None" for name in names]

    stars = [f"*{TOO_MANY if star is None else star}"]
    signature = ", ".join([*listed(positional), *stars, *listed(keyword), "**_strange"])
    names = [*positional, *([star] if star is not None else []), *keyword]
    given = "{" + ", ".join(f"{name!r}: {name}" for name in names) + "}"
    space: dict[str, Any] = {"_call": call, "ArrayTree": ArrayTree}  # which annotations name
    more = TOO_MANY if star is None else "()"
    code = f"def {function.__name__}({signature}):\n    return _call({given}, {more}, _strange)"
    exec(compile(code, f"<call of {function.__qualname__}>", "exec"), space)  # names and nothing else
    public = space[function.__name__]
    functools.update_wrapper(public, function)
    del public.__wrapped__  # the signature is its own
    public.__defaults__ = tuple(defaults.get(name, MISSING) for name in positional)
    public.__kwdefaults__ = {name: defaults.get(name, MISSING) for name in keyword}
    public.__annotations__ = _types(function)
    public.__signature__ = _signature(function, public.__annotations__)
    return public


def _signature(function: Callable[..., Any], types: Mapping[str, Any]) -> inspect.Signature:
    found = inspect.signature(function)
    typed = [p.replace(annotation=types.get(name, p.annotation)) for name, p in found.parameters.items()]
    return found.replace(parameters=typed, return_annotation=types.get("return", found.return_annotation))


def _unbound(
    public: Any, who: str, arguments: dict[str, Any], more: tuple[Any, ...], strange: dict[str, Any]
) -> ArgumentError:
    given = {name: value for name, value in arguments.items() if value is not MISSING}
    positional, keyword, star = parameters(public)
    args: Any
    if more:
        args = [*(arguments[name] for name in positional), *more]
        named = {name: given[name] for name in keyword if name in given}
    else:
        args, named = given.pop(star, ()) if star is not None else (), given
    right = (
        "Parameters go to nablax.Optimizer(tx, params)." if any(map(are_parameters, given.values())) else ""
    )
    return unbound(who, inspect.signature(public), args, {**named, **strange}, right)


def _types(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations as types: tools ask whether an argument is a `ScalarOrSchedule`."""
    found = dict(function.__annotations__)
    for name, hint in found.items():
        if isinstance(hint, str):
            with contextlib.suppress(NameError, TypeError):  # of type checkers only
                found[name] = eval(hint, function.__globals__)
    return found


def checks_of(function: Any) -> Mapping[str, Check]:
    """The checks of a decorated function's arguments, by name."""
    return getattr(function, "checks", {})


class _Pair:
    """The body of a transformation that is only two functions."""

    def __init__(self, tx: Any):
        self.children: dict[str, Any] = {}
        self._tx = with_extra_args_support(tx)

    def init(self, params: Any) -> Any:
        return self._tx.init(params)

    def update(self, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
        return self._tx.update(updates, state, params, **extra)

    def states(self, state: Any) -> dict[str, Any]:
        return {}


def known_as(made: Any, function: Any, arguments: Mapping[str, Any]) -> Any:
    """A transformation under the name of the function that was called."""
    body: Any = body_of(made)
    body = _Pair(made) if body is None else body
    named = getattr(body, "named", None)
    kind: Any = type(made) if isinstance(made, Transformation) else Transformation
    return kind.of(Call(function, arguments, body if named is None else named(function.label)))
