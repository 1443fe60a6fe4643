"""The compiled programs of a step whose hyperparameters stay open.

One program serves all numbers, unless a number changed what Python decides while the step is built: then another
program is built beside it. Optimizers of one structure share their programs.
"""

from __future__ import annotations

import collections
import functools
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from nablax.core import Source, Unfilled, overwriting, step_compile_options
from nablax.runtime._live import Numbers
from nablax.runtime._shield import watched

_SLOTS_EACH = 4  # of the vector, for each number: itself, its complement, and what else is computed from it
_WATCHES = 4  # calls after a program was built in which JAX may still be preparing the fast one


def jitted(function: Callable[..., Any], donate_argnums: tuple[int, ...]) -> Any:
    """`jax.jit`, compiled as a step where it has donated arguments."""
    options = step_compile_options() if donate_argnums else None
    return jax.jit(function, donate_argnums=donate_argnums, compiler_options=options)


class Variant:
    """One program: its source of numbers, and the compiled function of (*args, vector)."""

    def __init__(
        self, numbers: Numbers, body: Callable[..., Any], donate: tuple[int, ...], jit: Any, place: Any
    ):
        self.source = Source(max(64, _SLOTS_EACH * len(numbers.first)))
        self.lock = threading.RLock()
        self.place = place
        self.traces = 0

        def step(*args: Any) -> Any:
            self.traces += 1
            *given, vector = args
            with self.source.reading(vector), overwriting(bool(donate)):
                return body(numbers.opened(self.source), *given)

        self.compiled = jit(step, donate_argnums=donate)


class Programs:
    """The variants of one step.

    Args:
      numbers: those of the transformation.
      body: `body(tx, *args)`, traced with `tx` open.
      donate: positions of donated arguments.
      jit: what compiles; called as `jitted` is.
      place: makes of the vector of numbers, which is NumPy's, what the programs are called with.
    """

    def __init__(
        self,
        numbers: Numbers,
        body: Callable[..., Any],
        donate: tuple[int, ...] = (),
        jit: Any = jitted,
        place: Callable[[np.ndarray], Any] = jax.device_put,
    ):
        self._make = functools.partial(Variant, numbers, body, donate, jit, place)
        self._variants: list[Variant] = []
        self._lock = threading.Lock()

    def variant(self, values: Mapping[str, Any]) -> Variant:
        """The program that these numbers need; a new one where none is there."""
        with self._lock:
            for variant in self._variants:
                if variant.source.fits(values):
                    return variant
            self._variants.append(self._make())
            return self._variants[-1]


class Ready(NamedTuple):
    """A program that was built, and what it is called with.

    Attributes:
      values, source, version: it serves these numbers while its source has this version.
      compiled, vector: the program, and its last argument.
      direct: whether JAX was seen to call it without running any Python.
    """

    values: Mapping[str, Any] | None
    source: Source
    version: int
    compiled: Any
    vector: Any
    direct: bool = False


class Stepper:
    """Calls the program that the numbers of the moment need, with these numbers.

    Threads may share one: what a call needs is read once, and exchanged at once.

    Args:
      programs: what it calls.
      watch: find out whether JAX calls them without running any Python.

    Attributes:
      ready: what the last call left.
      compilations: programs that were built for its calls.
    """

    def __init__(self, programs: Programs, watch: bool = False):
        self._programs = programs
        self.ready = Ready(None, Source(0), 0, None, None)
        self.compilations = 0
        self._watch = watch
        self._watches = 0

    def run(self, values: Mapping[str, Any], args: tuple[Any, ...]) -> Any:
        of, source, version, compiled, vector, _ = self.ready
        if of is values and source.version == version:
            try:
                if not self._watches:
                    return compiled(*args, vector)
                # After the first calls of a program JAX runs no Python for most.
                self._watches -= 1
                out, python = watched(compiled, (*args, vector))
                self.ready = Ready(of, source, version, compiled, vector, not python)
                return out
            except Unfilled:  # shapes that are new
                # A call that failed, JAX takes through Python ever after, in milliseconds; so it has to forget it. What
                # it traced and compiled stays; the public `clear_cache` would drop that, too. Tensors lack it.
                getattr(compiled, "_clear_cache", lambda: None)()
        return self._cold(values, args)

    def lowered(self, values: Mapping[str, Any], *args: Any) -> Any:
        """The lowered program for these arguments."""
        variant = self._programs.variant(values)
        buffer = variant.source.vector(values)
        with variant.source.building(values, buffer):
            return variant.compiled.lower(*args, buffer)

    def _cold(self, values: Mapping[str, Any], args: tuple[Any, ...]) -> Any:
        """A call in which the program may be built: it fills the vector while it is traced, before it runs."""
        variant = self._programs.variant(values)
        with variant.lock:
            buffer = variant.source.vector(values)
            traced = variant.traces
            with variant.source.building(values, buffer):
                out = variant.compiled(*args, buffer)
            self.compilations += variant.traces - traced
            version = variant.source.version
            # Where they do not fit any more, another thread's numbers decided otherwise in between.
            fits = variant.source.fits(values)
        self._watches = _WATCHES if self._watch else 0
        vector = variant.place(np.array(buffer))
        self.ready = Ready(values if fits else None, variant.source, version, variant.compiled, vector)
        return out


_SHARED: collections.OrderedDict[Any, Programs] = collections.OrderedDict()
_KEPT = 64


def shared_programs(key: Any, make: Callable[[], Programs]) -> Programs:
    """The programs of a key, made where there are none; the ones that were not used for longest are let go."""
    found = _SHARED.pop(key, None)
    _SHARED[key] = make() if found is None else found
    while len(_SHARED) > _KEPT:
        _SHARED.popitem(last=False)
    return _SHARED[key]


def clear_programs() -> None:
    """Lets go of the programs that optimizers share."""
    _SHARED.clear()
