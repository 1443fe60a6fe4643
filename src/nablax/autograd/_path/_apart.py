"""Code that JAX traces records by itself."""

from __future__ import annotations

from ._trace import Trace, local


class apart:
    """A context for code that JAX traces: it records in a trace of its own, which ends with it.

    So it neither disturbs the recording during which it runs, nor leaves tracers there.
    """

    def __enter__(self) -> None:
        self._outer = local.trace
        local.trace = Trace()

    def __exit__(self, *error: object) -> None:
        local.trace.discard()
        local.trace = self._outer
