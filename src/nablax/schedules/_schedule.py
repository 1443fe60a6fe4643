"""What every schedule here is: a formula of the count and its numbers, compiled once for all of its kind.

    value(t) = formula(t, *numbers),   t = 0 for the first update

The numbers are operands of the compiled program, not constants in it. So a hundred linear schedules share one
program, a traced number needs no special case, and calling a schedule eagerly is one compiled call. Under an
outer trace the formula is inlined.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core._checks import check_number
from nablax.core._errors import HyperparameterError


@partial(jax.tree_util.register_dataclass, data_fields=["numbers"], meta_fields=["function"])
@dataclass(frozen=True)
class Formula:
    """A function of the count, and the numbers it also takes: a pytree of these numbers.

    Attributes:
      function: `function(count, *numbers)`, defined at the top of a module: one object, one program.
      numbers: pytrees of numbers, arrays and other formulas.
    """

    function: Callable[..., jax.Array]
    numbers: tuple[Any, ...] = field(default=())

    def __call__(self, count: Any) -> jax.Array:
        return self.function(count, *self.numbers)


@partial(jax.jit, inline=True)
def _evaluate(formula: Formula, count: Any) -> jax.Array:
    count = jnp.asarray(count)
    if jnp.issubdtype(count.dtype, jnp.unsignedinteger):  # or t - begin would wrap round below 0
        count = count.astype(jnp.result_type(int))
    return formula(jnp.maximum(count, 0))


class FormulaSchedule:
    """A schedule: call it with a count (integer scalar, or an array of counts) to get the value there.

    It is opaque to JAX's tree functions, as a plain function is, and it can be pickled.
    """

    def __init__(self, name: str, function: Callable[..., jax.Array], *numbers: Any):
        self.__name__ = name
        self.formula = Formula(function, numbers)

    def __call__(self, count: Any) -> jax.Array:
        return _evaluate(self.formula, count)

    def __repr__(self) -> str:
        names = list(inspect.signature(self.formula.function).parameters)[1:]
        shown = ", ".join(f"{n}={v!r}" for n, v in zip(names, self.formula.numbers, strict=True))
        return f"{self.__name__}({shown})"


def as_float(x: Any) -> jax.Array:
    """x as an array of at least the default float: float32, or float64 under x64; complex stays complex."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.result_type(float)))


def elapsed_and_remaining(count: jax.Array, begin: Any, steps: Any) -> tuple[jax.Array, jax.Array]:
    """The shares of a transition over [begin, begin + steps] done at count, and left; both in [0, 1].

    Both are exact at the ends. A transition of no steps is done from begin on.
    """
    after = count - begin
    done = after >= steps
    safe = as_float(jnp.where(jnp.asarray(steps) > 0, steps, 1))
    inside = jnp.clip(after, 0, jnp.maximum(steps, 0))
    elapsed = jnp.where(done, 1.0, as_float(inside) / safe)
    # From the integers: 1 - elapsed loses the digits that matter near the end.
    remaining = jnp.where(done, 0.0, as_float(steps - inside) / safe)
    return elapsed, remaining


def between(start: Any, end: Any, elapsed: jax.Array, remaining: jax.Array) -> jax.Array:
    """The point at fraction `elapsed` of the way from start to end; exactly start at 0 and end at 1."""
    return as_float(start) * remaining + as_float(end) * elapsed


def half_cosine(remaining: jax.Array) -> jax.Array:
    """(1 + cos(pi x)) / 2 at x = 1 - remaining, as sin(pi remaining / 2)^2: no digits cancel near the end."""
    return jnp.square(jnp.sin(0.5 * jnp.pi * remaining))


def check_values(who: str, **values: Any) -> None:
    """Refuses values of a schedule that are no real numbers, or NaN; arrays of numbers are allowed.

    Raises:
      ArgumentError: not a number, nor an array of numbers.
      HyperparameterError: NaN.
    """
    for name, value in values.items():
        if (
            isinstance(value, np.ndarray | jax.Array)
            and value.ndim
            and not isinstance(value, jax.core.Tracer)
        ):
            if np.any(np.isnan(np.asarray(value, np.float64))):
                raise HyperparameterError(f"{who}: {name} must not hold NaN, got {value!r}.")
        else:
            check_number(who, name, value)
