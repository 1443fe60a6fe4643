"""Functions as they are when they are called: traced then, whatever they read may change later."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from .._ground._aval import X64, Aval, aval_of
from .._ground._bounded import Bounded
from .._ground._quiet import quietly
from .._ground._settings import now
from .._operation._call import FIXED
from .._operation._written import by, rule_of
from .._path._apart import apart
from .._path._record import record
from .._path._recorded import Recorded, is_wide
from .._path._trie import State
from ._codes import bindings, is_fixed
from ._held import constants_of, own, owned
from ._reading import Same, key_of

MOST_KEYS = 256  # variants of a function that are remembered
LARGE = 1 << 16  # bytes of arrays; of the variants that hold more only the latest is remembered
HOLE = "·"  # stands for an array among the static leaves


class Key:
    """Stands for a function in the keys of a recording: equal by identity, so quick to hash."""


class Plain(NamedTuple):
    """The function without closure or defaults that was asked for last.

    code, home: it, and its globals.  bound: its names, with what they meant.  last: what it read then, and its key.
    """

    code: Any = None
    home: Any = None
    bound: Sequence[tuple[dict, str, Any]] = ()
    last: tuple[Hashable, Key | None] = (None, None)


class Frozen:
    """Calls of functions that read what can change, by what they read.

    The function is traced when it is called, and that jaxpr is the operation: whatever changes later, it is what the
    function was at its line. Equal jaxprs are one operation. An array that the function reads is a constant of it; when
    a second one comes in its place, it is an input from then on.
    """

    def __init__(self) -> None:
        # Threads may share one, so what belongs together is read and exchanged at once.
        self.plain = Plain()
        # what was read -> for the edges of a recording
        self.keys: Bounded = Bounded(MOST_KEYS)
        # what was read, arguments -> Spec; and of one with large arrays
        self.specs: Bounded = Bounded(4 * MOST_KEYS)
        self.latest: tuple[Hashable, Spec | None] = (None, None)
        # operation -> keys of its constants; None where they vary
        self.constants: Bounded = Bounded(MOST_KEYS)
        # numbers that the function must know when it is traced
        self.fixed: set[tuple] = set()

    def clear(self) -> None:
        """Forget the variants, and the arrays in them."""
        self.plain = Plain()
        self.latest = (None, None)
        self.keys.clear()
        self.specs.clear()

    def token(self, fn: Any) -> tuple[Hashable | None, Key | None]:
        """What `fn` reads now, and its key; None where that cannot be told."""
        code, home, bound, last = self.plain
        plain = getattr(fn, "__code__", None) is code is not None and fn.__globals__ is home
        if plain and not (fn.__closure__ or fn.__defaults__ or fn.__kwdefaults__):
            for scope, name, value in bound:
                if scope.get(name) is not value:
                    break
            else:
                return last
        reads = key_of(fn)
        if reads is None:
            return None, None
        found = self.keys.get(reads)
        if found is None:
            found = self.keys[reads] = Key()
        names = bindings(fn)
        if names is not None:
            self.plain = Plain(fn.__code__, fn.__globals__, names, (reads, found))
        return reads, found

    def record(
        self, lifted: Any, reads: Hashable | None, keys: list, tree: Any, static: list, arrays: list
    ) -> State:
        """Record a call."""
        x64 = X64.value or any(map(is_wide, arrays))
        avals = tuple([a._aval if isinstance(a, Recorded) else aval_of(a, x64) for a in arrays])
        known: Any = None
        spec: Spec | None = None
        if reads is not None and all(k is not None for k in keys):
            known = (reads, *keys, avals, X64.value, now())
            try:
                of, latest = self.latest
                spec = latest if of == known else self.specs.get(known)
            except TypeError:  # not hashable
                known = None
        if spec is None:
            with jax.enable_x64(x64):
                spec = self._varying(quietly(_traced, lifted, tree, static, avals))
            if sum(c.nbytes for c in spec.constants) > LARGE:
                self.latest = (known, spec)
            elif known is not None:
                self.specs[known] = spec
        return record(spec.key, spec.build, [*arrays, *spec.constants])

    def _varying(self, spec: Spec) -> Spec:
        """The operation, its constants as arguments if they are not what they were."""
        if not spec.constants:
            return spec
        keys = tuple([static_key(c) for c in spec.constants])
        if not any(isinstance(c, jax.core.Tracer) for c in spec.constants):
            if self.constants.get(spec.key, keys) != keys:
                self.constants[spec.key] = None
                return spec
            self.constants[spec.key] = keys
        return spec.baked(keys)


class Spec(NamedTuple):
    """A function as it was: the key of its jaxpr, what builds the operation, and the arrays that this takes after the
    arguments."""

    key: tuple
    build: Callable[[], tuple]
    constants: Sequence[Any] = ()

    def baked(self, keys: tuple) -> Spec:
        """The operation of the arguments alone."""

        def build() -> tuple[str, Callable[..., Any], int]:
            name, fn, shapes = self.build()
            return name, lambda *arrays: fn(*arrays, *self.constants), shapes

        return Spec((*self.key, keys), build)


def _traced(lifted: Any, tree: Any, static: list[Any], avals: Sequence[Aval]) -> Spec:
    """A function as it is now."""
    # New functions, for JAX keeps what it traced by their identity.
    fn = filled(isolated(lifted._plain), tree, [_fresh(leaf) for leaf in static])
    try:
        jaxpr, shapes = jax.make_jaxpr(fn, return_shape=True)(*[a.struct for a in avals])
    except (TypeError, ValueError) as error:
        if isinstance(error, jax.errors.JAXTypeError):
            raise
        return Spec((Key(),), lambda: (lifted._name, fn, FIXED))  # raises again, with the user's line
    out, n, plain = jax.tree.structure(shapes), len(avals), owned(jaxpr.jaxpr)

    def build() -> tuple[str, Callable[..., Any], int]:
        def run(*arrays: Any) -> Any:
            closed = ClosedJaxpr(plain, arrays[n:])
            return jax.tree.unflatten(out, jaxpr_as_fun(closed)(*arrays[:n]))

        return lifted._name, run, FIXED

    return Spec(
        ("jaxpr", lifted._name, str(jaxpr), out, *constants_of(plain)), build, tuple(map(own, jaxpr.consts))
    )


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


def isolated(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function that records in a trace of its own (JAX traces it)."""

    @functools.wraps(fn)
    def inside(*args: Any, **kwargs: Any) -> Any:
        with apart():
            return fn(*args, **kwargs)

    rule = rule_of(fn)
    return inside if rule is None else by(rule, inside)


def filled(fn: Callable[..., Any], tree: Any, static: list[Any]) -> Callable[..., Any]:
    """`fn` as a function of the arrays that go into the holes among its static leaves."""

    def given(arrays: Sequence[Any]) -> Any:
        entering = iter(arrays)
        return jax.tree.unflatten(tree, [next(entering) if leaf is HOLE else leaf for leaf in static])

    def of_arrays(*arrays: Any) -> Any:
        args, kwargs = given(arrays)
        return fn(*args, **kwargs)

    rule = rule_of(fn)
    if rule is None:
        return of_arrays

    def written(w: Any, *arrays: Any) -> Any:
        args, kwargs = given(arrays)
        return rule(w, *args, **kwargs)

    return by(written, of_arrays)
