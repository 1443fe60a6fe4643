"""`leafwise`: an algorithm written once, for one array, made a transformation of trees.

    def lion(g, mu, *, b1, b2):                              # arrays in, arrays out: only mathematics
        return sign(lerp(mu, g, b1)), lerp(mu, g, b2)        # the update, then the next mu

    @checked(b1=DECAY, b2=DECAY)
    def scale_by_lion(b1=0.9, b2=0.99):
        state = fields(ScaleByLionState, count=count(), mu=first_moment())
        return leafwise(lion, state, hyperparams={"b1": b1, "b2": b2})

A rule is wired by name. Its positional arguments after the first are fields of the state, or `params`; it returns the
update and then the new values of those fields. Its keyword-only arguments are hyperparameters, options, and what
`scalars` and `measure` computed. Fields called `count` count the updates; a hyperparameter may be a schedule of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nablax.core._base import MaskedState, init_empty_state
from nablax.core._errors import ArgumentError
from nablax.core._fields import Field, Fields
from nablax.core._number import Number
from nablax.core._pass import run
from nablax.core._plan import Mask, PerLeaf
from nablax.core._value import Call, Transformation
from nablax.core._wiring import wiring_of


class Rule:
    """The body of a leafwise transformation; see `leafwise` for what the attributes hold."""

    children: Mapping[str, Any] = {}

    def __init__(
        self,
        name: str,
        rule: Callable[..., Any],
        init: Callable[[Any], Any],
        hyperparams: Mapping[str, Any],
        options: Mapping[str, Any],
        scalars: Callable[..., dict[str, Any]] | None,
        measure: Callable[..., dict[str, Any]] | None,
        flags: Mapping[str, PerLeaf],
        extra: tuple[str, ...],
        stack: bool,
    ):
        self.name = name
        self.rule = rule
        self.first_state = init
        self.hyperparams = hyperparams
        self.options = options
        self.scalars = scalars
        self.measure = measure
        self.flags = flags
        self.extra = extra
        self.stack = stack
        self.mask: Mask | None = None
        self.keeps_name = False
        self.wiring = wiring_of(rule, scalars, measure, tuple(flags))
        roles = init.roles if isinstance(init, Fields) else {}
        # Whether the fields are declared, or none, or what a function makes.
        self.roles = tuple(roles) if roles or init is init_empty_state else None

    # Found when they are first needed, so that constructing stays cheap.

    @functools.cached_property
    def _taken(self) -> list[tuple[str, Field]]:
        """The declared fields that the rule takes."""
        roles = self.first_state.roles if isinstance(self.first_state, Fields) else {}
        return [(n, roles[n]) for n in self.wiring.fields if n in roles]

    @functools.cached_property
    def follows(self) -> tuple[str, ...]:
        """The fields in the leaf's own dtype."""
        return tuple([n for n, field in self._taken if field.follows])

    @functools.cached_property
    def shaped(self) -> tuple[str, ...]:
        """The fields of the leaf's shape."""
        return tuple([n for n, field in self._taken if field.like_params])

    @property
    def keeps(self) -> bool:
        """Whether the rule takes any of them."""
        return bool(self._taken)

    def check_wiring(self) -> None:
        """Refuses a rule that asks for something which nothing provides."""
        provided = {
            "count",
            *self.hyperparams,
            *self.options,
            *self.flags,
            *self.extra,
            *self.wiring.optional,
        }
        for asked, fn in ((self.wiring.scalars, self.scalars), (self.wiring.wants, self.rule)):
            # What `scalars` and `measure` return is known when they run.
            computed = self.measure is not None or (fn is self.rule and self.scalars is not None)
            missing = [n for n in asked if n not in provided and n not in (self.roles or ())]
            if missing and not computed and self.roles is not None:
                raise ArgumentError(self.unknown(missing[0], fn, provided | set(self.roles)))
        for name in self.wiring.fields:
            if self.roles is not None and name not in self.roles:
                raise ArgumentError(
                    f"{self.name}: {self.rule.__name__} takes {name}, which is no field of the state"
                    f" ({', '.join(self.roles) or 'it is empty'})."
                )

    def unknown(self, name: str, fn: Any, provided: Any) -> str:
        """The message for an argument that nothing provides."""
        return (
            f"{self.name}: {fn.__name__} takes {name}, which is no hyperparameter, option, field of the state or "
            f"declared extra argument, and was not computed; there are {', '.join(sorted(provided))}."
        )

    def named(self, name: str) -> Rule:
        """The same rule under another name, which speaks in errors and profiles."""
        if self.keeps_name:
            return self
        other = object.__new__(Rule)
        other.__dict__ = {**self.__dict__, "name": name}
        return other

    def masked(self, mask: Mask, keeps_name: bool = False) -> Rule:
        """The same rule on the leaves of a mask only; its state is a `MaskedState`."""
        other = object.__new__(Rule)
        other.__dict__ = {**self.__dict__, "mask": mask, "keeps_name": keeps_name}
        return other

    def init(self, params: Any) -> Any:
        if self.mask is None:
            return self.first_state(params)
        return MaskedState(self.first_state(self.mask.hide(params, self.mask.tree(params))))

    def update(self, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
        updates, (state,), _ = run((self,), [state], updates, params, extra)
        return updates, state

    def update_wide(self, updates: Any, state: Any, params: Any, extra: dict[str, Any]) -> tuple[Any, Any]:
        """`update`, its result as wide as it was computed."""
        updates, (state,), _ = run((self,), [state], updates, params, extra, wide=True)
        return updates, state

    def states(self, state: Any) -> Mapping[str, Any]:
        return {}


_CHECKED: set[Any] = set()  # wirings that were found to be in order


def _decided(options: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.decided() if isinstance(v, Number) else v for k, v in options.items()}


def _as_numbers(hyperparams: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in hyperparams.items()}


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
    extra: tuple[str, ...] = (),
    stack: bool = False,
) -> Transformation:
    """Makes a gradient transformation of a rule for one array.

    The rule computes in at least float32 whatever the dtype of the leaf; each field is cast back to the dtype it had,
    so a state never changes from step to step. The update comes in the gradient's dtype, or in the wider one of a
    first moment or of the parameters that it was made from. Leaves that are None, or that a mask leaves out, pass by.
    Leaves of one shape and dtype share one trace.

    Args:
      rule: `rule(g, *fields, *, ...) -> u` or `(u, *fields)`, for one array; see the head of this file. It should be
        a module-level function: equal rules share compiled programs.
      init: the declared state (`fields(...)`), or any function `init(params) -> state` that returns a NamedTuple.
      name: who speaks in errors and profiles; default: the decorated function that returns the transformation, or
        the rule.
      hyperparams: numbers, traced numbers, or schedules (functions of the count of updates so far, from 0; the state
        then needs a field `count`). These the runtime can change without recompiling.
      options: booleans, strings, ints, arrays and callables that shape the computation; keyed by value.
      scalars: function of hyperparams, options, fields of the state that the rule does not take and extra arguments,
        by name, run once an update. `count` is the number of this update, from 1. What it returns under the name of a
        field becomes the field's new value; the rest is handed to the rule.
      measure: `measure(updates, params, *, ...) -> dict`, for what needs all leaves at once, such as a global norm.
        It may also ask for hyperparameters, options and any field of the state, by name.
      mask: leaves to work on: a tree of bools (or a prefix of one), or a function of params that returns one. The
        state is then a `MaskedState`.
      flags: masks by the name of a boolean keyword argument of the rule, which is True on the leaves that the mask
        selects; None selects all. Or a `PerLeaf`, whose values the argument then has.
      extra: extra arguments of `update` that the rule, `scalars` or `measure` ask for.
      stack: for rules of very many operations: under a trace, leaves of one shape and dtype go through the rule
        one after the other in a compiled loop (`jax.lax.map`), so that the program is compiled once for all.

    Returns:
      A transformation that `chain` joins with its neighbours into one pass over the leaves.

    Raises:
      ArgumentError: the rule asks for something that nothing provides.

    Example:
      >>> import jax.numpy as jnp
      >>> def halve(g, *, factor):
      ...     return factor * g
      >>> tx = leafwise(halve, hyperparams={"factor": 0.5})
      >>> updates, state = tx.update({"w": jnp.ones(2)}, tx.init(None))
      >>> updates["w"]
      Array([0.5, 0.5], dtype=float32)
    """
    who = rule.__name__.strip("_") if name is None else name
    masks: dict[str, PerLeaf] = {}
    chosen = _decided(options) if options else {}
    for flag, value in (flags or {}).items():
        if value is None:
            chosen[flag] = True
        else:
            masks[flag] = value if isinstance(value, PerLeaf) else Mask(value, who)
    numbers = _as_numbers(hyperparams) if hyperparams else {}
    body = Rule(who, rule, init, numbers, chosen, scalars, measure, masks, tuple(extra), stack)
    known = (rule, scalars, measure, body.roles, body.extra, (*numbers,), (*chosen,), (*masks,))
    if known not in _CHECKED:
        body.check_wiring()
        if len(_CHECKED) >= 4096:
            _CHECKED.clear()
        _CHECKED.add(known)
    if mask is not None:
        body = body.masked(Mask(mask, who))
    arguments = {
        "rule": rule, "init": init, "name": name, "hyperparams": numbers, "options": options,
        "scalars": scalars, "measure": measure, "mask": mask, "flags": flags, "extra": extra, "stack": stack,
    }  # fmt: skip
    return Transformation.of(Call(leafwise, arguments, body))
