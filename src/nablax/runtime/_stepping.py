"""How an `Optimizer` steps: which program it calls, and how what comes back takes the place of what was consumed."""

from __future__ import annotations

import itertools
from itertools import starmap
from typing import Any, Never, NoReturn

import jax.numpy as jnp
from jax.core import Tracer

from nablax.core import StructureError, Unfilled, under_trace
from nablax.runtime import _tensors as tensors_of
from nablax.runtime._buffers import check_alive
from nablax.runtime._held import Arrangement, Held
from nablax.runtime._owner import Owner
from nablax.runtime._packing._flat import FlatParams
from nablax.runtime._program import Programs, Stepper, jitted, shared_programs
from nablax.runtime._step import NORMS, learning_rates, norms, step
from nablax.runtime._wrong import OWNED_STEP, check_gradients, several

_PROGRAMS = 16  # kept, for other functions among the arguments of a step


class Stepping(Owner):
    """The middle of `Optimizer`: steps of what `Owner` holds.

    Where JAX calls the program without running Python, a step is one instruction; otherwise a shield stands around it.
    """

    _always: bool  # each step computes norms
    _sometimes: bool  # some steps do
    _measured: tuple[Any, Any]
    _reports: tuple[str, ...]
    _callbacks: tuple[Any, ...]
    _every: int
    _plain: bool  # parameters are shown as they are held
    _lock: Any
    _kind: Any
    _steppers: dict[Any, Stepper]
    _step: Stepper
    _beside: Any
    metrics: Any

    def _stepper(self, functions: tuple[Any, ...], measures: bool) -> Stepper:
        """What calls the program of a step, with norms or without, and these functions among its extra arguments."""
        reports = (*self._reports, *(NORMS if measures else ()))
        key = self._place[0][2][1], functions, reports
        stepper = self._steppers.get(key)
        if stepper is None:
            # Tensors take their values in Python, and where some steps measure, each may need another program.
            watch = self._tensors is None and not self._sometimes
            stepper = Stepper(shared_programs((*self._kind, *key), lambda: self._programs(*key)), watch)
            if len(self._steppers) >= _PROGRAMS:
                self._steppers.pop(next(iter(self._steppers)))
            self._steppers[key] = stepper
        return stepper

    def _programs(
        self, arrangement: Arrangement, functions: tuple[Any, ...], reports: tuple[str, ...]
    ) -> Programs:
        _, skip_nonfinite, donate, layout, of_tensors = self._kind

        def body(tx: Any, leaves: list[Any], params: Any, grads: Any, extra: Any) -> Any:
            owned = Held(arrangement, leaves)
            state, skipped = owned[0], owned[1]
            if isinstance(params, FlatParams) and not isinstance(grads, FlatParams):
                grads = params.like(grads)
            before = learning_rates(tx, state) if "learning_rates" in reports else {}
            extra = {"grad": grads, **extra, **dict(functions)}
            done = step(tx, grads, state, params, extra, skip_nonfinite=skip_nonfinite, layout=layout)
            if skip_nonfinite:
                skipped = skipped + 1 - done.finite.astype(jnp.int32)
            told = list(before.values())
            if NORMS[0] in reports:
                found, done = norms(grads, done)
                told += found.values()
            wide = jnp.stack([jnp.asarray(x, jnp.result_type(float)) for x in told]) if told else None
            held = Held.of(done.state, skipped)
            return (held.leaves if held.arrangement is arrangement else held), done.params, wide

        donated = () if not donate else (0,) if of_tensors else (0, 1)
        if of_tensors:
            return Programs(self._numbers, body, donated, tensors_of.tiered, tensors_of.placed)
        return Programs(self._numbers, body, donated, jitted)

    def step(self, grads: Any = None, *more: Never, **extra: Any) -> Any:
        """One update of parameters and state.

        Args:
          grads: tree of gradients, structure and shapes of params; None leaves keep their parameter. With tensors for
            parameters it may be left out: their `.grad` is taken.
          **extra: what the transformation asks for beyond gradients: arrays, tensors, and functions of them. L-BFGS
            and other line searches take `value=loss, value_fn=f` (`grad` is filled in), and hand on to `f` what else
            it names: `opt.step(g, value=v, value_fn=loss, batch=batch)`. Give the same function each time: another
            one is another program.

        Returns:
          The new parameters (also `opt.params`).

        Raises:
          StructureError: grads do not fit the parameters, or are missing; or an array among the arguments was
            consumed by an earlier step. Nothing is lost.
          TypeError: within jit, scan, grad or vmap, where nothing can be owned.
        """
        values = self._live.values_now
        of, source, version, compiled, vector, direct = self._step.ready
        try:
            try:
                if direct and of is values and source.version == version and not (extra or more):
                    place = self._place
                    with self._lock:
                        before = place[0]
                        leaves, params, _ = before[0]
                        if not leaves and under_trace():
                            self._refuse_trace()
                        args = leaves, params, grads, extra, vector
                        place[:] = zip(starmap(compiled, (args,)), self._counter, self._beside)  # noqa: B905
                        leaves, params, _ = place[0][0]
                        if leaves and isinstance(leaves[0], Tracer):  # nothing was done
                            place[:] = [before]
                            self._counter = itertools.count(before[1] + 1)
                            self._refuse_trace()
                    if self._plain and not self._callbacks:
                        return params
                elif more:
                    raise several((grads, *more))
                else:
                    self._step_shielded(grads, extra)
            except Unfilled:  # shapes that are new
                self._step_shielded(grads, extra)
        except (RuntimeError, ValueError, TypeError) as e:
            self._explain(e, (grads, extra))
            raise
        if self._callbacks and self._steps % self._every == 0:
            steps, told = self._steps, self.metrics
            for callback in self._callbacks:
                callback(steps, told)
        return self.params

    def _step_shielded(self, grads: Any, extra: dict[str, Any]) -> None:
        """A step in which Python code may run after the old arrays were consumed."""
        if under_trace():
            self._refuse_trace()
        if self._tensors is not None:
            own = grads is None
            if own:
                grads = tensors_of.gradients(self._tensors)
            if extra or not own:
                grads, extra = tensors_of.values((grads, extra), numpy=True)
        elif grads is None:
            raise StructureError(
                f"Optimizer.step needs the gradients. {OWNED_STEP} Only tensors carry their own."
            )
        call = self._step
        now = self._sometimes and (self._steps + 1) % self._every == 0
        measures = self._always or now
        if extra or now:
            call = self._stepper(tuple((k, v) for k, v in sorted(extra.items()) if callable(v)), measures)
            extra = {k: v for k, v in extra.items() if not callable(v)}
        with self._shield:
            (leaves, params, _), steps, (_, arrangement) = self._place[0]
            if self._tensors is not None:
                params = tensors_of.arrays(self._tensors, numpy=True)
            values = self._live.values_now
            out, params, report = call.run(values, (leaves, params, grads, extra))
            drifted = not isinstance(out, list)
            if drifted:  # the state changed its structure
                out, arrangement = out.leaves, out.arrangement
            mine = params if self._tensors is None else None
            beside = values, arrangement
            self._place[:] = [((out, mine, report), next(self._counter), beside)]
            self._beside = itertools.repeat(beside)
            if now:
                self._measured = steps + 1, report
            if drifted:
                self._step = self._stepper((), self._always)
            if self._tensors is not None:
                tensors_of.assign(self._tensors, params, take=True)

    def _refuse_trace(self) -> NoReturn:
        raise TypeError(
            "Optimizer.step owns its arrays, and does nothing within jit, scan, grad or vmap. There, use the "
            "functional loop: updates, state = tx.update(grads, state, params); params = "
            "nablax.apply_updates(params, updates)."
        )

    def _explain(self, error: Exception, given: Any) -> None:
        """Says so where an argument of a step was consumed before, or is no gradient."""
        if under_trace():
            return
        check_alive(given, error)
        check_gradients(error, given[0], self._arrays())
