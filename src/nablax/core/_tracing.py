"""Whether JAX is tracing, and what becomes of what it traces.

A step of a small model asks this each time. The public way is four calls of Python, 2% of such a step, so JAX's own
variable is read where this version of JAX has it.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend.core import find_top_trace


class _Asked:
    """The trace of the moment, by the public way."""

    @property
    def value(self) -> Any:
        return find_top_trace(())


def _variable() -> Any:
    """What has the trace of the moment as its `value`."""
    try:
        from jax._src.core import trace_state_strong_ref as found

        return found if found.value is find_top_trace(()) else _Asked()
    except (ImportError, AttributeError):
        return _Asked()


trace_now = _variable()
"""Its `value` is the trace of the moment, of class `EAGER` where nothing is traced."""


def _eager() -> type:
    """The class of the trace of a thread that traces nothing: this one may be tracing while it imports this module."""
    found: list[type] = []
    thread = threading.Thread(target=lambda: found.append(type(trace_now.value)))
    thread.start()
    thread.join()
    return found[0]


EAGER = _eager()


def is_traced(tree: Any) -> bool:
    """Whether any leaf of a tree is a tracer."""
    return any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(tree))


def under_trace() -> bool:
    """Whether operations are being traced now, also those on concrete arrays: inside jit, scan, grad or vmap."""
    return type(trace_now.value) is not EAGER


def under_jit() -> bool:
    """Whether what is traced now becomes one program: inside jit or scan, not eagerly under grad or vmap."""
    return type(trace_now.value).__name__ == "DynamicJaxprTrace"


_config: Any = jax.config


def jits() -> bool:
    """Whether `jax.jit` does anything (`jax.disable_jit`)."""
    return not _config.jax_disable_jit


_OVERWRITING = contextvars.ContextVar("overwriting", default=False)


@contextlib.contextmanager
def overwriting(donated: bool) -> Iterator[None]:
    """What is traced within is compiled as one program that overwrites its arguments, where they are donated."""
    token = _OVERWRITING.set(donated)
    try:
        yield
    finally:
        _OVERWRITING.reset(token)


def overwriting_now() -> bool:
    """Whether what is traced now may be written where the arguments lie; nobody differentiates such a program."""
    return _OVERWRITING.get()
