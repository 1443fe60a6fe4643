"""detect_anomaly: find the operation, and the line, that first made a NaN."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._ground._errors import AnomalyError, user_line
from .._path._recorded import Recorded
from .._path._trace import Trace, local
from .._path._trie import State
from .._segment._flush import flush, realize


class detect_anomaly:
    """Run every operation at once and check its result, and every step of a backward; slow, for finding NaNs.

    Args:
      inf: refuse infinities, too.
    Raises:
      AnomalyError: inside the context, naming the operation and the line that first made a NaN.

    >>> from nablax import autograd
    >>> with autograd.detect_anomaly():
    ...     autograd.tensor(-1.0).log()
    Traceback (most recent call last):
    nablax.autograd.AnomalyError: log made a NaN at ...
    """

    def __init__(self, inf: bool = False) -> None:
        self._inf = inf
        self._before: list[Any] = []

    def __enter__(self) -> detect_anomaly:
        flush(local.trace)
        self._before.append(local.trace.probe)
        self._watch(self._forward)
        return self

    def __exit__(self, *error: object) -> None:
        self._watch(self._before.pop())

    def _watch(self, probe: Any) -> None:
        trace = local.trace
        trace.probe = probe
        trace.closed.full = probe is not None  # so that no operation takes the fast path, which does not look

    def _forward(self, state: State, made: Any) -> None:
        trace: Trace = local.trace
        entered = [v for v in trace.values if _is_bad(v, self._inf)]
        name = state.label
        flush(trace)
        for leaf in jax.tree.leaves(made):
            bad = self._bad(leaf) if isinstance(leaf, Recorded) else None
            if bad:
                already = " (one of its arguments held one already)" if entered else ""
                raise AnomalyError(f"{name} made {bad} at {user_line()}{already}.")

    def backward(self, node: Any, cotangents: dict[int, Any], gradients: list[Any]) -> None:
        """Check the gradients that came out of a node, given cotangents of some of its slots."""
        if not any(self._bad(gradient) for gradient in gradients):
            return
        program = node.program
        given = {slot: realize(ct) if isinstance(ct, Recorded) else ct for slot, ct in cotangents.items()}

        def look(op: Any, grads: list[Any]) -> None:
            bad = next(filter(None, map(self._bad, grads)), None)
            if bad:
                raise AnomalyError(
                    f"the backward of {op.typed.call.name}, recorded at {node.line(op.outs[0])}, made {bad}."
                )

        with jax.enable_x64(program.x64):  # once more, operation by operation
            env = program.interpreted(node.values)
            program.sweep(tuple(given), program.targets)(env, list(given.values()), look)

    def _bad(self, value: Any) -> str | None:
        return _is_bad(realize(value) if isinstance(value, Recorded) else value, self._inf)


def _is_bad(value: Any, inf: bool) -> str | None:
    if isinstance(value, jax.core.Tracer) or not jnp.issubdtype(value.dtype, jnp.inexact):
        return None
    if bool(jnp.isnan(value).any()):
        return "a NaN"
    return "an infinity" if inf and bool(jnp.isinf(value).any()) else None
