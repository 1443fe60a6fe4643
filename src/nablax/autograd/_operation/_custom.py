"""Functions with a derivative of their own, as one equation: what they compute is inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jax.extend.core import Primitive, Var, jaxpr_as_fun
from jax.interpreters import mlir

from ._writer import Atom, Writer, closed_of

# `call_jaxpr` is what it computes, and `host`, if there is one, the same of NumPy's arrays. `pull` writes the
# cotangents of arguments, by number, from writer, equation and the cotangent of the one result; or `jvp` is a function
# of arguments and their tangents. Named as JAX's, and run like it, by what it calls.
CUSTOM = Primitive("custom_jvp_call")
CUSTOM.multiple_results = True


def _called(*args: Any, call_jaxpr: Any, **rest: Any) -> Any:
    return jaxpr_as_fun(call_jaxpr)(*args)


CUSTOM.def_impl(_called)
CUSTOM.def_abstract_eval(lambda *args, call_jaxpr, **rest: call_jaxpr.out_avals)
mlir.register_lowering(CUSTOM, mlir.lower_fun(_called, multiple_results=True))


def custom(
    w: Writer,
    xs: Sequence[Atom],
    forward: Callable[..., Atom],
    pull: Callable[[Writer, Any, Atom], dict[int, Atom]],
    host: Callable[..., Any] | None = None,
) -> Atom:
    """Write a function of some arrays with one result.

    forward: writes it.  pull, host: see above.
    """
    inside, args = Writer(), [Var(x.aval) for x in xs]
    out = forward(inside, *args)
    return w.emit(
        CUSTOM, xs, out.aval.shape, out.aval.dtype,
        call_jaxpr=closed_of(args, [out], inside.eqns), jvp=None, pull=pull, host=host,
    )  # fmt: skip


def whole(
    w: Writer,
    x: Atom,
    forward: Callable[[Writer, Atom], Atom],
    pull: Callable[[Writer, Atom, Atom, Atom], Atom],
) -> Atom:
    """Write a function of one array; `pull` writes the cotangent of x, from that of the result, x, and the result."""
    return custom(w, [x], forward, lambda w, eqn, ct: {0: pull(w, ct, eqn.invars[0], eqn.outvars[0])})
