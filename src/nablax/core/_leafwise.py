"""`leafwise`: an algorithm written once, for one array, made a transformation of trees.

    def lion(g, mu, *, b1, b2):                              # arrays in, arrays out: only mathematics
        return sign(lerp(mu, g, b1)), lerp(mu, g, b2)        # the update, then the next mu

    def scale_by_lion(b1=0.9, b2=0.99):
        def init(params):
            return ScaleByLionState(count=zero_count(), mu=moment_like(params))

        return leafwise(lion, init, hyperparams={"b1": b1, "b2": b2})

A rule is called by name. Its positional arguments after the first are fields of the state, or `params`; it returns the
update and then the new values of those fields. Its keyword-only arguments are hyperparameters, options, and what
`scalars` and `measure` computed. Fields called `count` count the updates; a hyperparameter may be a schedule of it.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nablax.core._base import (
    GradientTransformationExtraArgs,
    MaskedState,
    init_empty_state,
)
from nablax.core._errors import ArgumentError
from nablax.core._masks import Mask, PerLeaf
from nablax.core._pass import run


def _names(fn: Callable[..., Any], *kinds: Any) -> tuple[str, ...]:
    return tuple(p.name for p in inspect.signature(fn).parameters.values() if p.kind in kinds)


def _with_default(fn: Callable[..., Any]) -> set[str]:
    return {p.name for p in inspect.signature(fn).parameters.values() if p.default is not p.empty}


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a leafwise transformation consists of; see `leafwise` for the fields."""

    name: str
    rule: Callable[..., Any]
    init: Callable[[Any], Any]
    hyperparams: Mapping[str, Any]
    options: Mapping[str, Any]
    scalars: Callable[..., dict[str, Any]] | None
    measure: Callable[..., dict[str, Any]] | None
    mask: Mask | None
    flags: Mapping[str, PerLeaf] = dataclasses.field(default_factory=dict)
    stack: bool = False

    def __post_init__(self) -> None:
        positional = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
        keyword = (inspect.Parameter.KEYWORD_ONLY,)
        names = _names(self.rule, *positional)
        if not names:
            raise ArgumentError(f"{self.name}: a rule takes the update as its first argument.")
        put = object.__setattr__
        put(self, "inputs", names[1:])
        put(self, "fields", tuple(n for n in names[1:] if n != "params"))
        put(self, "wants", tuple(n for n in _names(self.rule, *keyword) if n not in self.flags))
        put(self, "scalars_wants", _names(self.scalars, *positional, *keyword) if self.scalars else ())
        fns = [f for f in (self.rule, self.scalars, self.measure) if f is not None]
        put(self, "optional", frozenset().union(*map(_with_default, fns)))
        put(self, "measure_wants", _names(self.measure, *keyword) if self.measure else ())

    inputs: tuple[str, ...] = dataclasses.field(init=False)
    fields: tuple[str, ...] = dataclasses.field(init=False)
    wants: tuple[str, ...] = dataclasses.field(init=False)
    scalars_wants: tuple[str, ...] = dataclasses.field(init=False)
    measure_wants: tuple[str, ...] = dataclasses.field(init=False)
    optional: frozenset[str] = dataclasses.field(init=False)


class Leafwise(GradientTransformationExtraArgs):
    """A transformation whose whole work is one rule, so that `chain` can join it with its neighbours."""

    spec: Spec

    def __new__(cls, spec: Spec) -> Leafwise:
        def init(params: Any) -> Any:
            for flag in spec.flags.values():
                flag.values(params, remember=True)
            if spec.mask is None:
                return spec.init(params)
            return MaskedState(spec.init(spec.mask.apply(params, remember=True)))

        def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
            updates, (state,) = run((spec,), [state], updates, params, extra)
            return updates, state

        self = super().__new__(cls, init, update)
        self.spec = spec
        return self

    @property
    def hyperparams(self) -> Mapping[str, Any]:
        """The numbers and schedules by name."""
        return self.spec.hyperparams

    def replace(self, **changes: Any) -> Leafwise:
        """The same transformation with other fields of its `Spec`."""
        return Leafwise(dataclasses.replace(self.spec, **changes))


def leafwise(
    rule: Callable[..., Any],
    init: Callable[[Any], Any] = init_empty_state,
    *,
    name: str | None = None,
    hyperparams: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    scalars: Callable[..., dict[str, Any]] | None = None,
    measure: Callable[..., dict[str, Any]] | None = None,
    mask: Any = None,
    flags: Mapping[str, Any] | None = None,
    stack: bool = False,
) -> Leafwise:
    """Makes a gradient transformation of a rule for one array.

    The rule computes in at least float32 whatever the dtype of the leaf; the update is cast back to the gradient's
    dtype and each field to the dtype it had, so a state never changes from step to step. Leaves that are None, or
    that a mask leaves out, pass by. Leaves of one shape and dtype share one trace.

    Args:
      rule: `rule(g, *fields, *, ...) -> u` or `(u, *fields)`, for one array; see the head of this file. It should be
        a module-level function: equal rules share compiled programs.
      init: `init(params) -> state`, a NamedTuple.
      name: who speaks in errors and profiles; default: the name of the function that called `leafwise`.
      hyperparams: numbers, traced numbers, or schedules (functions of the count of updates so far, from 0; the state
        then needs a field `count`). These the runtime can change without recompiling.
      options: booleans, strings, ints and callables that shape the computation.
      scalars: function of hyperparams, options, fields of the state that the rule does not take and extra arguments,
        by name, run once an update. `count` is the number of this update, from 1. What it returns under the name of a
        field becomes the field's new value; the rest is handed to the rule.
      measure: `measure(updates, params, *, ...) -> dict`, for what needs all leaves at once, such as a global norm.
        It may also ask for hyperparameters, options and any field of the state, by name.
      mask: leaves to work on: a tree of bools (or a prefix of one), or a function of params that returns one. The
        state is then a `MaskedState`.
      flags: masks by the name of a boolean keyword argument of the rule, which is True on the leaves that the mask
        selects; None selects all. Or a `PerLeaf`, whose values the argument then has; they need a telling repr.
      stack: for rules of very many operations: under a trace, leaves of one shape and dtype go through the rule
        one after the other in a compiled loop (`jax.lax.map`), so that the program is compiled once for all.

    Returns:
      A transformation that `chain` joins with its neighbours into one pass over the leaves.

    Example:
      >>> import jax.numpy as jnp
      >>> def halve(g, *, factor):
      ...     return factor * g
      >>> tx = leafwise(halve, hyperparams={"factor": 0.5}, name="halve")
      >>> updates, state = tx.update({"w": jnp.ones(2)}, tx.init(None))
      >>> updates["w"]
      Array([0.5, 0.5], dtype=float32)
    """
    if name is None:
        caller = inspect.currentframe()
        name = caller.f_back.f_code.co_name if caller and caller.f_back else rule.__name__
    numbers = {k: v.item() if isinstance(v, np.generic) else v for k, v in (hyperparams or {}).items()}
    return Leafwise(
        Spec(
            name=name,
            rule=rule,
            init=init,
            hyperparams=numbers,
            options={k: True for k, v in (flags or {}).items() if v is None} | dict(options or {}),
            scalars=scalars,
            measure=measure,
            mask=None if mask is None else Mask(mask, name),
            flags={
                k: v if isinstance(v, PerLeaf) else Mask(v, name)
                for k, v in (flags or {}).items()
                if v is not None
            },
            stack=stack,
        )
    )
