"""Lifting: any JAX function as an operation on tensors.

A call of a lifted function is flattened as a pytree. Tensors and arrays become arguments of the operation; everything
else (axes, shapes, dtypes, flags, functions, Python numbers with JAX's weak types) is static and belongs to its key.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import jaxpr_as_fun

from .._ground._aval import Aval, aval_of, config
from .._ground._errors import NoGradientError, user_line
from .._ground._settings import now
from .._ground._sites import varies
from .._path._record import record, results
from .._path._recorded import Recorded, as_tensor
from .._path._trace import WIDE, apart, local
from .._path._trie import State
from .._segment._flush import realize
from ._reading import Same, bindings, is_fixed, key_of

_HOLE = "·"  # stands for an array among the static leaves
_ARRAYS = (jax.Array, np.ndarray, np.generic)


_LIFTED: dict[Hashable, Lifted] = {}


def lifted(fn: Callable[..., Any], name: str, key: Hashable) -> Lifted:
    """The one Lifted of a key, so that a function lifted in a loop is the same operation each time."""
    found = _LIFTED.get(key)
    if found is None:
        found = _LIFTED[key] = Lifted(fn, name)
    return found


def lifted_now(fn: Callable[..., Any], name: str) -> Lifted:
    """A function of the user's, lifted; those with the same code share what they recorded."""
    inner = getattr(fn, "__func__", fn)
    key = Same(getattr(inner, "__code__", inner))
    frozen = _FROZEN.get(key)
    if frozen is None:
        if len(_FROZEN) >= MOST_LIFTED:
            _FROZEN.clear()
        frozen = _FROZEN[key] = _Frozen()
    return Lifted(fn, name, frozen)


def clear_lifted() -> None:
    """Forget the functions that were lifted, and with them the arrays that they close over."""
    _LIFTED.clear()
    for frozen in _FROZEN.values():  # those in use keep theirs, empty
        frozen.code = None
        frozen.keys.clear()
        frozen.specs.clear()
    _FROZEN.clear()


class _Key:
    """Stands for a function in the keys of a recording: equal by identity, so quick to hash."""


class Lifted:
    """A JAX function that also takes tensors. `autograd.lift` makes one.

    Called with tensors, or with plain arrays, it records and returns tensors. Called with tracers only (inside a
    jitted function, say) it is the plain function.
    """

    def __init__(self, fn: Callable[..., Any], name: str, frozen: _Frozen | None = None) -> None:
        self.fn = _apart(fn)
        self._plain = fn
        self._frozen = frozen
        self._name = name
        self._key = _Key()
        self._fixed: set[tuple] = set() if frozen is None else frozen.fixed
        functools.update_wrapper(self, fn, updated=())

    def __repr__(self) -> str:
        return f"<lifted {self._name}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        key: Any = self._key
        reads: Hashable = None
        if self._frozen is not None:
            reads, key = self._frozen.token(self._plain)
        if not kwargs and key is not None:  # only tensors, seen before: the fast path, as for operators
            trace = local.trace
            trace.meet()
            try:
                state = trace.state.edges[(key, *[a._s for a in args])]
            except (KeyError, AttributeError):
                pass
            else:
                trace.state = state
                return results(trace, state)
        leaves, tree = jax.tree.flatten((args, kwargs))
        arrays: list[Any] = []
        static: list[Any] = []
        keys: list[Hashable] = [self._key, tree]
        frozen = self._frozen
        if frozen is None and not kwargs and all(isinstance(a, Recorded) for a in args):

            def build_plain() -> tuple[str, Callable[..., Any]]:
                return self._name, self.fn

            try:
                return results(local.trace, record(self._key, build_plain, args))
            except jax.errors.ConcretizationTypeError:
                return self._at_once(leaves, tree)
        tensors = False
        entered: list[tuple] = []  # numbers that vary, and so become inputs
        for place, leaf in enumerate(leaves):
            if isinstance(leaf, Recorded):
                tensors = True
            elif (leaf.__class__ is float or leaf.__class__ is int) and self._varies(tree, place, leaf):
                entered.append((tree, place))
            elif not isinstance(leaf, _ARRAYS):
                static.append(leaf)
                if frozen is None and not is_fixed(leaf):
                    frozen = _FROZEN.setdefault(self._key, _Frozen())
                    reads = self._key
                keys.append(key_of(leaf) if frozen is not None else static_key(leaf))
                continue
            arrays.append(leaf)
            static.append(_HOLE)
            keys.append(_HOLE)
        if not tensors and any(isinstance(a, jax.core.Tracer) for a in arrays):
            return self.fn(*args, **kwargs)

        def build() -> tuple[str, Callable[..., Any]]:
            return self._name, filled(self.fn, tree, static)

        try:
            if frozen is None:
                return results(local.trace, record(tuple(keys), build, arrays))
            state = frozen.record(self, reads, keys[1:], tree, static, arrays)
            if (
                key is not None
                and frozen is self._frozen
                and not kwargs
                and all(isinstance(a, Recorded) for a in args)
            ):
                parent: Any = state.parent
                parent.edges[(key, *[a._s for a in args])] = state  # where the fast path looks
            return results(local.trace, state)
        except Exception as error:
            if entered:
                self._fixed.update(entered)
                return self(*args, **kwargs)
            if isinstance(error, jax.errors.ConcretizationTypeError):
                return self._at_once(leaves, tree)
            raise

    def _varies(self, tree: Any, place: int, value: float) -> bool:
        return (tree, place) not in self._fixed and varies((tree, place), repr(value))

    def _at_once(self, leaves: list[Any], tree: Any) -> Any:
        """A function that reads its arguments' values cannot be recorded: it runs now, without gradient."""
        if any(isinstance(leaf, Recorded) and leaf.requires_grad for leaf in leaves):
            raise NoGradientError(
                f"{self._name} reads the values of its arguments, so no gradient can be recorded through it; detach "
                f"them, "
                f"or see whether it has a static argument (as size= or length=) that says what it wants to know. At "
                f"{user_line()}."
            )
        args, kwargs = jax.tree.unflatten(
            tree, [realize(x) if isinstance(x, Recorded) else x for x in leaves]
        )
        found = self.fn(*args, **kwargs)
        return jax.tree.map(lambda x: as_tensor(x) if isinstance(x, jax.Array) else x, found)


def _apart(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with apart():
            return fn(*args, **kwargs)

    return inside


def filled(fn: Callable[..., Any], tree: Any, static: list[Any]) -> Callable[..., Any]:
    """`fn` as a function of the arrays that go into the holes among its static leaves."""

    def of_arrays(*arrays: Any) -> Any:
        entering = iter(arrays)
        args, kwargs = jax.tree.unflatten(
            tree, [next(entering) if leaf is _HOLE else leaf for leaf in static]
        )
        return fn(*args, **kwargs)

    return of_arrays


class _Frozen:
    """Calls of functions that read what can change, by what they read.

    The function is traced when it is called, and that jaxpr is the operation: whatever changes later, it is what the
    function was at its line. Equal jaxprs are one operation.
    """

    def __init__(self) -> None:
        self.code: Any = (
            None  # of the plain function asked for last, whose names still have the meanings in `bound`
        )
        self.scope: Any = None
        self.bound: list[tuple[dict, str, Any]] = []
        self.last: tuple[Hashable, _Key | None] = (None, None)
        self.keys: dict[Hashable, _Key] = {}  # what was read -> for the edges of a recording
        self.specs: dict[Hashable, tuple] = {}  # what was read, arguments -> operation
        self.fixed: set[tuple] = set()  # numbers that the function must know when it is traced

    def token(self, fn: Any) -> tuple[Hashable | None, _Key | None]:
        """What `fn` reads now, and its key; None where that cannot be told."""
        plain = getattr(fn, "__code__", None) is self.code is not None and fn.__globals__ is self.scope
        if plain and not (fn.__closure__ or fn.__defaults__ or fn.__kwdefaults__):
            for scope, name, value in self.bound:
                if scope.get(name) is not value:
                    break
            else:
                return self.last
        reads = key_of(fn)
        if reads is None:
            return None, None
        found = self.keys.get(reads)
        if found is None:
            if len(self.keys) >= MOST_KEYS:
                self.keys.clear()
                self.specs.clear()
            found = self.keys[reads] = _Key()
        bound = bindings(fn)
        if bound is not None:
            self.code, self.scope, self.bound, self.last = fn.__code__, fn.__globals__, bound, (reads, found)
        return reads, found

    def record(
        self,
        lifted: Lifted,
        reads: Hashable | None,
        keys: list,
        tree: Any,
        static: list[Any],
        arrays: list[Any],
    ) -> State:
        """Record a call."""
        avals = tuple([a._aval if isinstance(a, Recorded) else aval_of(a) for a in arrays])
        known: Any = None
        if reads is not None and all(k is not None for k in keys):
            known = (reads, *keys, avals, config.jax_enable_x64, now())
            try:
                spec = self.specs.get(known)
            except TypeError:  # not hashable
                known = spec = None
        else:
            spec = None
        if spec is None:
            x64 = config.jax_enable_x64 or any(aval.dtype in WIDE for aval in avals)
            with jax.enable_x64(x64):
                spec = _traced(lifted, tree, static, avals)
            if len(self.specs) >= 4 * MOST_KEYS:
                self.specs.clear()
            if known is not None:
                self.specs[known] = spec
        return record(spec[0], spec[1], arrays)


MOST_KEYS = 256  # variants of a function that are remembered
MOST_LIFTED = 4096  # functions
_FROZEN: dict[Hashable, _Frozen] = {}


def _traced(lifted: Lifted, tree: Any, static: list[Any], avals: Sequence[Aval]) -> tuple:
    """A function as it is now: the key of its jaxpr, and what builds the operation."""
    # New functions, for JAX keeps what it traced by their identity.
    fn = filled(_apart(lifted._plain), tree, [_fresh(leaf) for leaf in static])
    try:
        jaxpr, shapes = jax.make_jaxpr(fn, return_shape=True)(*[a.struct for a in avals])
    except (TypeError, ValueError) as error:
        if isinstance(error, jax.errors.JAXTypeError):
            raise
        return (_Key(), lambda: (lifted._name, fn))  # raises again, with the user's line
    out = jax.tree.structure(shapes)

    def build() -> tuple[str, Callable[..., Any]]:
        run = jaxpr_as_fun(jaxpr)
        return lifted._name, lambda *arrays: jax.tree.unflatten(out, run(*arrays))

    return ("jaxpr", lifted._name, str(jaxpr), out, *_constants(jaxpr.jaxpr, jaxpr.consts)), build


def _constants(jaxpr: Any, consts: Sequence[Any]) -> list[Hashable]:
    """Keys of what a jaxpr holds and does not show."""
    found: list[Hashable] = [key_of(c) or Same(c) for c in consts]
    for equation in jaxpr.eqns:
        found += [key_of(v.val) or Same(v.val) for v in equation.invars if hasattr(v, "val")]
        for name, value in equation.params.items():
            for each in value if isinstance(value, tuple | list) else (value,):
                if hasattr(each, "jaxpr") and hasattr(each, "consts"):
                    found += _constants(each.jaxpr, each.consts)
                elif hasattr(each, "eqns"):
                    found += _constants(each, ())
                elif callable(each):
                    found.append((name, Same(each)))
    return found


def _fresh(leaf: Any) -> Any:
    """A function of the user's as a new object."""
    if isinstance(leaf, types.MethodType):
        return types.MethodType(_fresh(leaf.__func__), leaf.__self__)
    if isinstance(leaf, functools.partial):
        return functools.partial(_fresh(leaf.func), *leaf.args, **leaf.keywords)
    if type(leaf) is not types.FunctionType or is_fixed(leaf):
        return leaf
    made = types.FunctionType(
        leaf.__code__, leaf.__globals__, leaf.__name__, leaf.__defaults__, leaf.__closure__
    )
    made.__kwdefaults__ = leaf.__kwdefaults__
    return made


def static_key(value: Any) -> Hashable:
    """A key that is equal exactly for values that make the same program; for what cannot be seen into, the object."""
    found = key_of(value)
    return Same(value) if found is None else found
