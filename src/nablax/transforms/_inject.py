"""Hyperparameters as a part of the state: to read, to change between steps, and to schedule, without recompiling."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import (
    FUNCTION,
    GradientTransformationExtraArgs,
    HyperparameterError,
    Params,
    Transformation,
    Updates,
    checked,
    checks_of,
    of_kind,
    real_dtype,
    safe_increment,
    unbound,
    with_extra_args_support,
    wrapper,
    zero_count,
)
from nablax.schedules import WrappedSchedule

_NAME = of_kind("the names of parameters", lambda value: isinstance(value, str))


class InjectStatefulHyperparamsState(NamedTuple):
    """The state of `inject_hyperparams`.

    Attributes:
      count: updates so far, int32 scalar.
      hyperparams: by name, the values of the last update (at init: of the first). Those that are no schedules may be
        replaced between updates.
      hyperparams_states: by name, the states of the schedules.
      inner_state: of the inner transformation.
    """

    count: Any
    hyperparams: dict[str, Any]
    hyperparams_states: dict[str, Any]
    inner_state: Any


class InjectHyperparamsState(NamedTuple):
    """count, hyperparams and inner_state as in `InjectStatefulHyperparamsState`; kept for states saved long ago."""

    count: Any
    hyperparams: dict[str, Any]
    inner_state: Any


class _Arguments:
    """The arguments of a factory, told apart: schedules, numbers to hold in the state, and everything else."""

    def __init__(self, factory: Callable[..., Any], static: frozenset[str], given: inspect.BoundArguments):
        self.schedules: dict[str, Any] = {}
        self.numbers: dict[str, Any] = {}
        self.fixed: dict[str, Any] = {}
        hints = _hints(factory)
        self._checks = checks_of(factory)
        for name, parameter in given.signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                for key, value in given.arguments.get(name, {}).items():
                    self._put(key, value, parameter.replace(name=key), Any, key in static)
            elif name in given.arguments:
                hint = hints.get(name, parameter.annotation)
                self._put(name, given.arguments[name], parameter, hint, name in static)

    def _put(self, name: str, value: Any, parameter: Any, hint: Any, static: bool) -> None:
        check = self._checks.get(name)  # a function of nablax says what its arguments are
        floats = _takes_floats(parameter, hint) if check is None else check.numeric and not check.integer
        if static:
            self.fixed[name] = value
        elif _is_stateful_schedule(value):
            self.schedules[name] = value
        elif callable(value):
            if _takes_numbers(parameter, hint):
                self.schedules[name] = WrappedSchedule(value)
            else:
                self.fixed[name] = value
        elif _is_real(value) or (_is_integer(value) and floats):
            self.numbers[name] = value
        else:
            self.fixed[name] = value


def _is_stateful_schedule(x: Any) -> bool:
    return all(callable(getattr(x, method, None)) for method in ("init", "update", "__call__"))


def _dtype_of(x: Any) -> Any:
    return (
        jnp.result_type(x)
        if isinstance(x, int | float | complex | np.generic | np.ndarray | jax.Array)
        else None
    )


def _is_real(x: Any) -> bool:
    dtype = _dtype_of(x)
    return dtype is not None and jnp.issubdtype(dtype, jnp.floating)


def _is_integer(x: Any) -> bool:
    dtype = _dtype_of(x)
    return dtype is not None and jnp.issubdtype(dtype, jnp.integer)


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(factory)
    except Exception:  # annotations that name things which exist only for type checkers
        return {}


_FLOATS = (float, complex, jax.Array, np.ndarray, np.number, np.floating)


def _allows_floats(hint: Any) -> bool:
    """Whether a type hint names a floating number at its top level: `float | None`, `ScalarOrSchedule`, `ArrayLike`."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return any(map(_allows_floats, typing.get_args(hint)))
    return any(hint is t for t in _FLOATS)


def _takes_floats(parameter: inspect.Parameter, hint: Any) -> bool:
    """Whether an integer given for a parameter means a real number: not for counts and sizes."""
    if parameter.default is not parameter.empty and parameter.default is not None:
        return _is_real(parameter.default)
    return _allows_floats(hint) or hint is Any or hint is parameter.empty


def _takes_numbers(parameter: inspect.Parameter, hint: Any) -> bool:
    """Whether a function given for a parameter is a schedule: not for a mask, which is a function too."""
    if _is_real(parameter.default) or _is_integer(parameter.default) or _allows_floats(hint):
        return True
    return parameter.default is parameter.empty and (hint is Any or hint is parameter.empty)


def as_hyperparameter(value: Any, dtype: Any = None) -> jax.Array:
    """A hyperparameter as an array of this dtype; None is JAX's default float."""
    return jnp.asarray(value, jnp.result_type(float) if dtype is None else dtype)


@checked(inner_factory=FUNCTION)
def inject_hyperparams(
    inner_factory: Callable[..., Any], static_args: str | Iterable[str] = (), hyperparam_dtype: Any = None
) -> Callable[..., GradientTransformationExtraArgs]:
    """Holds the numbers that a transformation is made with in its state, as arrays.

    There they can be read and replaced between updates, without recompiling, and each may be given as a schedule:

      tx = inject_hyperparams(adamw)(learning_rate=warmup, weight_decay=0.1)
      state.hyperparams["weight_decay"] = 0.01

    Real numbers are injected, in at least float32 whatever the dtype of the parameters. Booleans, and integers
    given for an integer parameter, shape the computation and stay as they are. A function is a schedule where its
    parameter is declared numeric, by its type hint or a number as its default, or is not declared at all; so a
    mask stays a mask.

    Args:
      inner_factory: function that returns a transformation.
      static_args: names of parameters that are never injected.
      hyperparam_dtype: dtype of the injected numbers; None is that of the number, at least float32.

    Returns:
      A function with the parameters of inner_factory, where numbers may be schedules: functions of the number of
      updates so far, or objects with `init()`, `update(state, **extra_args)` and `__call__(state, **extra_args)`.
      It returns a transformation with an `InjectStatefulHyperparamsState`.

    Raises:
      HyperparameterError: static_args names no parameter.
      ArgumentError: arguments do not fit the factory.

    Example:
      >>> from nablax.transforms import scale
      >>> tx = inject_hyperparams(scale)(step_size=-1.0)
      >>> state = tx.init(jnp.ones(()))
      >>> state.hyperparams["step_size"] = -0.5
      >>> updates, state = tx.update(jnp.ones(()), state)
      >>> print(updates)
      -0.5
    """
    names = (
        [static_args]
        if isinstance(static_args, str) or not isinstance(static_args, Iterable)
        else [*static_args]
    )
    for name in names:
        _NAME("inject_hyperparams", "static_args", name)
    static = frozenset(names)
    signature = inspect.signature(inner_factory)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    unknown = static - set(signature.parameters)
    if unknown and not open_ended:
        raise HyperparameterError(
            f"inject_hyperparams: static_args names {', '.join(map(repr, sorted(unknown)))}, but "
            f"{getattr(inner_factory, '__name__', inner_factory)} takes {', '.join(signature.parameters)}."
        )

    @functools.wraps(inner_factory)
    def make(*args: Any, **kwargs: Any) -> GradientTransformationExtraArgs:
        try:
            given = signature.bind(*args, **kwargs)
        except TypeError:
            who = f"inject_hyperparams({getattr(inner_factory, '__name__', '')})"
            raise unbound(who, signature, args, kwargs) from None
        given.apply_defaults()
        return _injected(inner_factory, static, hyperparam_dtype, given.args, given.kwargs)

    return make


def inject_stateful_hyperparams(
    inner_factory: Callable[..., Any], static_args: str | Iterable[str] = (), hyperparam_dtype: Any = None
) -> Callable[..., GradientTransformationExtraArgs]:
    """The same as `inject_hyperparams`, which takes schedules with a state too.

    Args:
      inner_factory, static_args, hyperparam_dtype: as there.
    """
    return inject_hyperparams(inner_factory, static_args, hyperparam_dtype)


class Injected(Transformation):
    """What `inject_hyperparams` makes.

    Its numbers live in its state, not in the call; it is told apart by what it was made with.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        given = self.arguments
        factory = getattr(given["factory"], "__name__", repr(given["factory"]))
        named = [f"{k}={v!r}" for k, v in given["kwargs"].items()]
        return f"inject_hyperparams({factory})({', '.join([*map(repr, given['args']), *named])})"

    def with_count(self, of: Callable[[Any], Any]) -> Injected:
        """The same with its schedules evaluated at `of(count)`."""
        return self.replace(count_of=of)


@checked(None, "inject_hyperparams")
def _injected(
    factory: Callable[..., Any],
    static: frozenset[str],
    dtype: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    count_of: Callable[[Any], Any] | None = None,
) -> Injected:
    given = inspect.signature(factory).bind(*args, **kwargs)
    arguments = _Arguments(factory, static, given)
    if count_of is not None:
        arguments.schedules = {k: _with_count(f, count_of) for k, f in arguments.schedules.items()}

    def build(values: Mapping[str, Any]) -> Any:
        """The inner transformation with these values in place of the numbers and schedules."""
        filled = {**arguments.fixed, **values}
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for name, parameter in given.signature.parameters.items():
            if parameter.kind is parameter.VAR_POSITIONAL:
                positional += given.arguments[name]
            elif parameter.kind is parameter.VAR_KEYWORD:
                named |= {key: filled[key] for key in given.arguments[name]}
            elif parameter.kind is parameter.KEYWORD_ONLY:
                named[name] = filled[name]
            else:
                positional.append(filled[name])
        return with_extra_args_support(factory(*positional, **named))

    def arrays(values: Mapping[str, Any], like: Any) -> dict[str, Any]:
        """Hyperparameters as arrays: in the real dtype of the parameters, or of the updates, at least float32."""
        kind = real_dtype(like) if dtype is None else dtype
        return {name: as_hyperparameter(value, kind) for name, value in values.items()}

    def scheduled(states: Mapping[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        return {k: f(states[k], **extra) for k, f in arguments.schedules.items()}

    def init(params: Params) -> InjectStatefulHyperparamsState:
        states = {k: f.init() for k, f in arguments.schedules.items()}
        values = arrays({**arguments.numbers, **scheduled(states, {})}, params)
        return InjectStatefulHyperparamsState(zero_count(), values, states, build(values).init(params))

    def update(updates: Updates, state: Any, params: Params = None, **extra: Any) -> tuple[Updates, Any]:
        values = {k: state.hyperparams[k] for k in arguments.numbers}
        values |= scheduled(state.hyperparams_states, extra)
        values = arrays(values, updates if params is None else params)
        states = {k: f.update(state.hyperparams_states[k], **extra) for k, f in arguments.schedules.items()}
        new, inner_state = build(values).update(updates, state.inner_state, params, **extra)
        return new, InjectStatefulHyperparamsState(safe_increment(state.count), values, states, inner_state)

    return Injected.of(wrapper(init, update).call)


def _with_count(schedule: Any, of: Callable[[Any], Any]) -> Any:
    if not isinstance(schedule, WrappedSchedule):
        return schedule  # it has a state of its own
    return WrappedSchedule(lambda count: schedule.schedule_fn(of(count)))
