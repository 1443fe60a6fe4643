"""What every schedule here is: a formula of the count and its numbers, compiled once for all of its kind.

    value(t) = formula(t, *numbers),   t = 0 for the first update

The numbers are operands of the compiled program, not constants in it. So a hundred linear schedules share one
program, a traced number needs no special case, and calling a schedule eagerly is one compiled call. Under an
outer trace the formula is inlined.

Formulas compute in at least float32 and leave weak types weak: Python's numbers give a value that takes the dtype of
what it multiplies, so a bfloat16 tree stays one.
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

from nablax.core import HyperparameterError, check_number


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
    if jnp.issubdtype(count.dtype, jnp.integer):
        # Without a sign or in 8 bits, t - begin would wrap round.
        count = count.astype(jnp.promote_types(count.dtype, jnp.int32)) if _is_narrow(count.dtype) else count
    return formula(jnp.maximum(count, 0))


class FormulaSchedule:
    """A schedule: call it with a count (integer scalar, or an array of counts) to get the value there.

    It is opaque to JAX's tree functions, as a plain function is, and it can be pickled.
    """

    def __init__(self, name: str, function: Callable[..., jax.Array], *numbers: Any):
        self.__name__ = name
        self.formula = Formula(function, jax.tree.map(_operand, numbers))

    def __call__(self, count: Any) -> Any:
        return _evaluate(self.formula, _operand(count))

    def __repr__(self) -> str:
        names = list(inspect.signature(self.formula.function).parameters)[1:]
        shown = ", ".join(f"{n}={v!r}" for n, v in zip(names, self.formula.numbers, strict=True))
        return f"{self.__name__}({shown})"


def _operand(x: Any) -> Any:
    """x as an operand of a compiled program, into which whole numbers of more than 32 bits go as floats."""
    return float(x) if isinstance(x, int) and abs(x) >= 2**31 else x


def _is_narrow(dtype: Any) -> bool:
    return jnp.issubdtype(dtype, jnp.unsignedinteger) or jnp.iinfo(dtype).bits < 32


def is_known(x: Any) -> bool:
    """Whether x is a number now, not one that is traced or an array of them."""
    return not isinstance(x, jax.core.Tracer) and np.ndim(x) == 0


def wide(x: Any) -> jax.Array:
    """x as floats of at least 32 bits. Python's numbers and whole ones become weakly typed floats."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        return x * 1.0
    return x.astype(jnp.float32) if jnp.finfo(x.dtype).bits < 32 else x


def elapsed_and_remaining(
    count: jax.Array, begin: Any, steps: Any, weak: bool = False
) -> tuple[jax.Array, jax.Array]:
    """The shares of a transition over [begin, begin + steps] done at count, and left; both in [0, 1].

    Both are exact at the ends. A transition of no steps is done from begin on. `weak` makes them weakly typed whatever
    integers count them; otherwise they are as JAX's division has them.
    """
    unit = 1.0 if weak else 1
    after = count - begin
    done = after >= steps
    safe = jnp.where(jnp.asarray(steps) > 0, steps, 1)
    inside = jnp.clip(after, 0, jnp.maximum(steps, 0))
    elapsed = jnp.where(done, 1.0, wide(inside * unit / safe))
    # From the integers: 1 - elapsed loses the digits that matter near the end.
    remaining = jnp.where(done, 0.0, wide((steps - inside) * unit / safe))
    return elapsed, remaining


def between(start: Any, end: Any, elapsed: jax.Array, remaining: jax.Array) -> jax.Array:
    """The point at fraction `elapsed` of the way from start to end; exactly start at 0 and end at 1."""
    return wide(start) * remaining + wide(end) * elapsed


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
