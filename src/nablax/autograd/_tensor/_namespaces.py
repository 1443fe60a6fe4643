"""JAX's functions by their names, lifted: autograd.numpy.sin, autograd.nn.softmax, autograd.lax.scan, ...

A namespace mirrors a module of JAX. Functions are lifted when first asked for; modules inside become namespaces;
constants and dtypes are passed on. Two small tables hold what is not an operation on values: questions about shapes and
dtypes, and functions whose result's shape depends on values, which therefore run at once.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._ground._errors import NoGradientError
from .._operation._kernel import on_host, plain
from .._path._recorded import Recorded, as_tensor, is_recorded, value_of
from . import _kinks, _norms
from ._grad_mode import no_grad
from ._lift import Lifted, lifted, lifted_now
from ._make import make
from ._replacing import replace
from ._spelled import spelled

ABOUT_SHAPES = {
    "shape", "ndim", "size", "result_type", "promote_types", "can_cast", "issubdtype", "isdtype", "iscomplexobj",
    "isrealobj", "isscalar", "finfo", "iinfo", "dtype", "broadcast_shapes", "get_printoptions", "set_printoptions",
    "printoptions", "einsum_path",
}  # fmt: skip
ABOUT_VALUES = {
    "array_repr", "array_str", "save", "savez", "nonzero", "argwhere", "flatnonzero", "unique", "unique_all",
    "unique_counts", "unique_inverse", "unique_values", "extract", "compress", "union1d", "intersect1d", "setdiff1d",
    "setxor1d", "array_equal", "array_equiv", "trim_zeros", "iterable",
}  # fmt: skip
INTEGER_RESULTS = {
    "nonzero",
    "argwhere",
    "flatnonzero",
    "array_equal",
    "array_equiv",
    "array_repr",
    "array_str",
}
MAKERS = {"array", "asarray"}
LIKE = {"zeros_like": 0, "ones_like": 1}
_NAMED = _kinks.NAMED | _norms.NAMED


class Namespace(types.ModuleType):
    """A module of JAX with its functions lifted."""

    def __init__(self, name: str, module: Any) -> None:
        super().__init__(f"nablax.autograd.{name}", f"The functions of {module.__name__}, on tensors.")
        self._module = module
        self._path = name
        sys.modules.setdefault(self.__name__, self)  # so that `import nablax.autograd.numpy` finds it

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        try:
            found = getattr(self._module, name)
        except AttributeError:
            raise AttributeError(
                f"autograd.{self._path} has no '{name}', nor has {self._module.__name__}"
            ) from None
        lifted = self._lift(name, found)
        setattr(self, name, lifted)
        return lifted

    def __dir__(self) -> list[str]:
        return sorted({*dir(self._module), *super().__dir__()})

    def _lift(self, name: str, found: Any) -> Any:
        if isinstance(found, types.ModuleType):
            return Namespace(f"{self._path}.{name}", found)
        if not callable(found) or isinstance(found, type) or type(found).__name__ == "_ScalarMeta":
            return found
        found = spelled(_NAMED.get((self._path, name), found))
        if self._path == "numpy":
            if name in ABOUT_SHAPES:
                return _about_shapes(found)
            if name in ABOUT_VALUES:
                return _at_once(name, found)
            if name in MAKERS:
                return _maker(lifted(found, name, ("numpy", name)))
            if name in LIKE:
                return _like(name, lifted(found, name, ("numpy", name)))
        numbers = self._path == "numpy" and isinstance(getattr(np, name, None), np.ufunc)
        return lifted(found, name, (self._path, name), numbers)


def _about_shapes(fn: Callable[..., Any]) -> Callable[..., Any]:
    def asked(*args: Any, **kwargs: Any) -> Any:
        def struct(x: Any) -> Any:
            return x._aval.struct if isinstance(x, Recorded) else x

        return fn(*jax.tree.map(struct, args), **jax.tree.map(struct, kwargs))

    return asked


def _at_once(name: str, fn: Callable[..., Any]) -> Callable[..., Any]:
    def computed(*args: Any, **kwargs: Any) -> Any:
        leaves = [x for x in jax.tree.leaves((args, kwargs)) if isinstance(x, Recorded)]
        if name not in INTEGER_RESULTS and any(x.requires_grad for x in leaves):
            raise NoGradientError(
                f"{name}: the shape of the result depends on values, so no gradient can be recorded. Detach the "
                f"argument: "
                f"autograd.numpy.{name}(x.detach())."
            )

        def value(x: Any) -> Any:
            return x.value if isinstance(x, Recorded) else x

        result = fn(*jax.tree.map(value, args), **jax.tree.map(value, kwargs))
        return jax.tree.map(lambda x: as_tensor(x) if isinstance(x, jax.Array) else x, result)

    computed.__name__ = name
    return computed


def _maker(lifted: Lifted) -> Callable[..., Any]:
    def made(value: Any, dtype: Any = None, **options: Any) -> Any:
        if isinstance(value, Recorded) and dtype is None and not options:
            return value
        if any(isinstance(x, Recorded | jax.core.Tracer) for x in jax.tree.leaves(value)):
            return lifted(value, dtype=dtype, **options)
        return make(value, dtype)

    return made


def _like(name: str, lifted: Lifted) -> Callable[..., Any]:
    """An array like another one, which carries no gradient: made at once on CPU, where nothing is gained by recording
    what depends on no value. Else the recording would be that of the first step of a loop, and the loop's own new again
    in the second."""

    def made(*args: Any, **options: Any) -> Any:
        if len(args) == 1 and isinstance(args[0], Recorded) and not options and on_host():
            (other,) = args
            aval = other._aval
            if (
                isinstance(aval.dtype, np.dtype)
                and not aval.weak
                and (is_recorded(other) or plain(value_of(other)))
            ):
                return as_tensor(np.full(aval.shape, LIKE[name], aval.dtype))
        with no_grad():
            return lifted(*args, **options)

    made.__name__ = made.__qualname__ = name
    made.__doc__ = lifted.__doc__
    return made


def lift(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Any JAX function as an operation on tensors.

    Pytrees go in and out; tensors and arrays are the operation's arguments, everything else is static. Functions
    that close over the same values from the same line of code are one operation, so a lambda in a loop is compiled
    once.

    >>> from nablax import autograd
    >>> import jax.numpy as jnp
    >>> softly = autograd.lift(lambda p, x: jnp.tanh(p["w"] @ x))
    >>> w = autograd.tensor([[1., 2.]], requires_grad=True)
    >>> softly({"w": w}, autograd.tensor([0., 0.])).sum().backward()
    >>> w.grad.tolist()
    [[0.0, 0.0]]
    """
    if isinstance(fn, Lifted):
        return fn
    if not callable(fn):
        raise TypeError(f"lift: a callable is needed, got {type(fn).__name__}.")
    return lifted_now(fn, getattr(fn, "__name__", type(fn).__name__))


numpy = Namespace("numpy", jnp)
nn = Namespace("nn", jax.nn)
lax = Namespace("lax", jax.lax)
random = Namespace("random", jax.random)
linalg = Namespace("numpy.linalg", jnp.linalg)
fft = Namespace("numpy.fft", jnp.fft)


def __getattr__(name: str) -> Any:
    if name == "scipy":
        import jax.scipy  # takes a while, so only on demand

        globals()["scipy"] = found = Namespace("scipy", jax.scipy)
        return found
    raise AttributeError(name)


# -- NumPy's protocols ------------------------------------------------------------------------------------------------


def ufunc(ufunc: Any, method: str, inputs: tuple, kwargs: dict) -> Any:
    """np.sin(tensor) and its like, recorded."""
    out = kwargs.pop("out", None)
    fn = getattr(numpy, ufunc.__name__, None) if hasattr(jnp, ufunc.__name__) else None
    if fn is None or method not in ("__call__", "reduce", "accumulate", "outer"):
        return NotImplemented
    if method != "__call__":
        fn = lifted(
            getattr(getattr(jnp, ufunc.__name__), method),
            ufunc.__name__,
            ("ufunc", ufunc.__name__, method),
        )
    kwargs.pop("casting", None)
    where = kwargs.pop("where", True) if method == "__call__" else True
    result = fn(*inputs, **kwargs)
    if out is None:
        if where is not True:
            raise TypeError(
                f"np.{ufunc.__name__}: where= needs out=, which has the elements that are left out."
            )
        return result
    (target,) = out
    if not isinstance(target, Recorded):
        raise NoGradientError(f"np.{ufunc.__name__}: out= must be a tensor where an argument is one.")
    if where is not True:
        result = numpy.where(where, result, target)
    return replace(target, result, f"np.{ufunc.__name__}(out=)")


def function(function: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
    """np.concatenate([tensor, ...]) and its like, recorded."""
    space: Any = numpy
    for part in function.__module__.split(".")[1:]:
        space = getattr(space, part, None)
    name = function.__name__
    if space is None or not hasattr(space._module, name):
        return NotImplemented
    return getattr(space, name)(*args, **kwargs)
