"""When the program of a segment fails: what can still be computed is computed, the rest says why it cannot.

The recording is run again operation by operation. So the operation that failed is found, and only what was computed
from it is lost.
"""

from __future__ import annotations

from typing import Any

import jax

from .._path._recorded import OVER, Recorded
from .._path._trie import State
from .._program._execute import FAILED, salvage
from .._program._program import Program, program_for
from ._node import Lost
from ._settle import settle


def rescue(error: Exception, program: Program, end: State, outs: list[Any], alive: list[Any], values: list[Any],
           links: dict, tracing: bool, watched: dict, settings: Any) -> None:  # fmt: skip
    """Give the results of a failed segment their values, or the reason why they have none; `error` gets a note."""
    if tracing:  # what was traced is of no use to anybody
        env, failed = [FAILED] * len(program.avals), None
    else:
        with jax.enable_x64(program.x64):
            env, failed = salvage(program.line, values)
    what = OVER
    if failed is not None:
        state = end.path()[failed]
        what = f"{state.label}, recorded at {state.where}, failed"
        error.add_note(f"nablax.autograd: {what}. What was not computed from it has kept its value.")
    whole = [t for t in alive if env[t._s.slot] is not FAILED]
    steps = {state.slot: state.step for state in end.path()}
    for tensor in outs:
        state = tensor._s
        if state is not None and env[state.slot] is FAILED:
            tensor._a, tensor._n, tensor._k, tensor._s = state.aval, Lost(what), 0, None
            kept = _before(steps.get(state.slot), steps, env)
            if kept is not None:
                tensor._v, tensor._n = kept, None
    for leaf in links.values():
        if isinstance(leaf, Recorded) and leaf._g is not None and isinstance(leaf._g._n, Lost):
            leaf._g = None
    some = program_for(end, tuple([t._s.slot for t in whole]))
    residual = ("env", env) if some.targets else None
    settle(some, end, whole, values, links, [env[t._s.slot] for t in whole], residual, watched, settings)


def _before(step: Any, steps: dict[int, Any], env: list[Any]) -> Any:
    """What a `.grad` held to which a gradient was to be added; None for anything else."""
    value = FAILED
    while value is FAILED:
        if step is None or step.donate < 0:
            return None
        slot = step.args[0]
        step, value = steps.get(slot), env[slot]
    return value
