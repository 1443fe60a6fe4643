"""Functions with a derivative of their own, as one equation: what they compute is inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jax.extend.core import Primitive, Var, jaxpr_as_fun
from jax.interpreters import mlir

from ._writer import Atom, Writer, closed_of

# `call_jaxpr` is what it computes. `pull` writes the cotangent of its one argument, or `jvp` is a function of arguments
# and their tangents. Named as JAX's, and run like it, by what it calls.
CUSTOM = Primitive("custom_jvp_call")
CUSTOM.multiple_results = True


def _called(*args: Any, call_jaxpr: Any, jvp: Any, pull: Any) -> Any:
    return jaxpr_as_fun(call_jaxpr)(*args)


CUSTOM.def_impl(_called)
CUSTOM.def_abstract_eval(lambda *args, call_jaxpr, jvp, pull: call_jaxpr.out_avals)
mlir.register_lowering(CUSTOM, mlir.lower_fun(_called, multiple_results=True))


def whole(
    w: Writer,
    x: Atom,
    forward: Callable[[Writer, Atom], Atom],
    pull: Callable[[Writer, Atom, Atom, Atom], Atom],
) -> Atom:
    """Write a function of one array.

    forward: writes it.  pull: writes the cotangent of x, from the cotangent of the result, x, and the result.
    """
    inside, arg = Writer(), Var(x.aval)
    out = forward(inside, arg)
    return w.emit(
        CUSTOM, (x,), out.aval.shape, out.aval.dtype,
        call_jaxpr=closed_of([arg], [out], inside.eqns), jvp=None, pull=pull,
    )  # fmt: skip
