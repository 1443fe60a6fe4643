"""`Optimizer`: parameters and state in one hand, a step as one compiled and donated program."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from itertools import starmap
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import (
    ArgumentError,
    StructureError,
    Unfilled,
    check_number,
    copied,
    current_values,
    under_trace,
    with_extra_args_support,
)
from nablax.runtime import _tensors as tensors_of
from nablax.runtime._buffers import apart, check_alive
from nablax.runtime._held import Arrangement, Held
from nablax.runtime._live import Hyperparams, Numbers, check_state_fits
from nablax.runtime._metrics import find_metrics, ratio
from nablax.runtime._modules import first_other, parted
from nablax.runtime._owner import Owner
from nablax.runtime._packing._flat import FlatParams
from nablax.runtime._packing._packed import check_packable, packed_params
from nablax.runtime._precision import find_loss_scale
from nablax.runtime._program import Programs, Stepper, shared_programs
from nablax.runtime._sharding import Layout, place, specs_of
from nablax.runtime._shield import Shield
from nablax.runtime._step import NORMS, by_group, injected_rates, learning_rates, norms, rate_paths, step

_FUNCTIONS = 16  # programs kept for other functions among the arguments of a step


class Optimizer(Owner):
    """Owns parameters and the state of a transformation, and steps both in one compiled program.

    The program overwrites its inputs (donation): parameters and state come back in the order in which they went in,
    so that XLA updates them in place and inserts no copy. Arrays read from `opt.params` therefore live until the next
    step; `opt.copy_params()` keeps them. Ctrl-C waits for the end of a step. Optimizers that differ in numbers alone
    share their program.

    Args:
      tx: a gradient transformation.
      params: tree of arrays; they are copied once, the caller's stay valid. Functions and other leaves of a module (of
        equinox, say) are carried along: `opt.params` is the module. Or a tree of `autograd` tensors, leaves
        of the graph: then `step()` reads their `.grad` and gives them new values, and `zero_grad()` clears it.
        Their buffers are not donated: graphs that were recorded before may still need them.
      metrics: also compute the norms of gradients, updates and parameters in each step.
      callbacks: functions `callback(step, metrics)`, called after a step with its number, from 1, and `metrics`;
        loggers are such functions. What one raises comes out of `step`, which has done its work by then.
      every: call them after every so many steps only; the others then wait for nothing.
      skip_nonfinite: leave parameters and state as they are where a gradient is infinite or NaN.
      donate: False keeps old parameters valid, at the price of a second copy in memory.
      take: take the arrays themselves instead of a copy; the first step consumes them.
      packed: hold small leaves of one dtype together, which makes steps of models with hundreds of small arrays several
        times faster; `opt.params` and gradients keep their structure. For transformations that treat every entry alike
        (see `packed`). With `flat_params(params)` for parameters all leaves lie together, and so do gradients.
      mesh: devices to spread the state over, as `shard_state` does; parameters stay laid out as they come, or go to
        every device.
      axis: the mesh's axis to spread over, or several.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from nablax.optimizers import adam
      >>> opt = Optimizer(adam(0.1), {"w": jnp.array([1.0, -1.0])})
      >>> for _ in range(3):
      ...     params = opt.step(jax.grad(lambda p: jnp.sum(p["w"] ** 2))(opt.params))
      >>> opt.hyperparameters["learning_rate"] = 0.01
      >>> sorted(opt.metrics)
      ['learning_rate', 'skipped_steps', 'steps']
    """

    def __init__(
        self,
        tx: Any,
        params: Any,
        *,
        metrics: bool = False,
        callbacks: Sequence[Callable[[int, dict[str, Any]], Any]] = (),
        every: int = 1,
        skip_nonfinite: bool = False,
        donate: bool = True,
        take: bool = False,
        packed: bool = False,
        mesh: Any = None,
        axis: str | tuple[str, ...] = "data",
    ):
        self.tx = with_extra_args_support(tx)
        given = params
        if isinstance(params, Iterator):  # as a module's parameters() gives them
            params = list(params)
        self._tensors = params if tensors_of.holds_tensors(params) else None
        if self._tensors is not None:
            tensors_of.check_leaves(params)
            params = tensors_of.arrays(params)
        params, self._rest = parted(params)
        if self._rest is not None and not jax.tree.leaves(params):
            raise ArgumentError(
                f"Optimizer: params must hold arrays or tensors, got {type(given).__name__} without any. "
                "Of an autograd module give module.parameters()."
            )
        check_number("Optimizer", "every", every, 1, integer=True)
        if not isinstance(callbacks, tuple | list) or not all(map(callable, callbacks)):
            raise ArgumentError(f"Optimizer: callbacks must be a list of functions, got {callbacks!r}."[:300])
        self._callbacks, self._every = tuple(callbacks), int(every)
        params = jax.tree.map(jnp.asarray if take else copied, params)
        self._packed = packed
        if packed:
            if self._tensors is not None or mesh is not None or isinstance(params, FlatParams):
                raise ArgumentError("Optimizer: packed=True takes a tree of arrays for params, and no mesh.")
            params = packed_params(params)
        if isinstance(params, FlatParams):
            check_packable("Optimizer", self.tx, params.layout.dtypes)
        self._layout: Layout | None = None
        if mesh is None:
            state = self.tx.init(params)
        else:
            self._layout = Layout(self.tx, mesh, axis, specs_of(params, mesh), "Optimizer")
            params = place(params, self._layout.plan(params).params)
            state = self._layout.init(params)
        if donate:  # one buffer cannot be given away twice
            params, state = apart((params, state))
        self._numbers = Numbers(self.tx)
        self._live = Hyperparams(self._numbers, self._current, self._check_fits)
        self._place = []
        self._hold(params, state, self._count(0) if skip_nonfinite else None, 0, None, self._live.values_now)
        self._rates = {path: self._numbers.known[path].value for path in rate_paths(self.tx)}
        follows = any(map(callable, self._rates.values()))
        self._reports = (*(["learning_rates"] if follows else []), *(NORMS if metrics else []))
        self._shown: tuple[Any, Any] = (None, None)
        self._plain = self._tensors is None and not packed and self._rest is None
        self._shield = Shield()
        self._lock = self._shield.lock
        self._kind = (
            self._numbers.structure,
            skip_nonfinite,
            self._reports,
            donate,
            self._layout,
            self._tensors is not None,
        )
        self._steppers: dict[Any, Stepper] = {}
        self._step = self._stepper(())

    def _stepper(self, functions: tuple[Any, ...]) -> Stepper:
        """What calls the program of a step with these functions among its extra arguments."""
        key = self._place[0][2][1], functions
        stepper = self._steppers.get(key)
        if stepper is None:
            stepper = Stepper(shared_programs((*self._kind, *key), lambda: self._programs(*key)))
            if len(self._steppers) >= _FUNCTIONS:
                self._steppers.pop(next(iter(self._steppers)))
            self._steppers[key] = stepper
        return stepper

    def _programs(self, arrangement: Arrangement, functions: tuple[Any, ...]) -> Programs:
        _, skip_nonfinite, reports, donate, layout, of_tensors = self._kind

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
            told = list(before.values()) + (list(norms(grads, done).values()) if NORMS[0] in reports else [])
            wide = jnp.stack([jnp.asarray(x, jnp.result_type(float)) for x in told]) if told else None
            held = Held.of(done.state, skipped)
            return (held.leaves if held.arrangement is arrangement else held), done.params, wide

        donated = () if not donate else (0,) if of_tensors else (0, 1)
        return Programs(self._numbers, body, donated, tensors_of.tiered if of_tensors else jax.jit)

    def step(self, grads: Any = None, **extra: Any) -> Any:
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
        call, values = self._step, self._live.values_now
        try:
            if call.direct and values is call.values and call.version == call.source.version and not extra:
                self._step_direct(call, grads, extra)
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
        return self._place[0][0][1] if self._plain else self.params

    def _step_direct(self, call: Stepper, grads: Any, extra: dict[str, Any]) -> None:
        """A step as one instruction, where JAX runs no Python to do it."""
        place = self._place
        with self._lock:
            before = place[0]
            leaves, params, _ = before[0]
            if not leaves and under_trace():
                self._refuse_trace()
            args = leaves, params, grads, extra, call.vector
            place[:] = zip(starmap(call.compiled, (args,)), self._counter, self._beside, strict=False)
            if leaves and isinstance(place[0][0][0][0], jax.core.Tracer):  # nothing was done
                place[:] = [before]
                self._counter = itertools.count(before[1] + 1)
                self._refuse_trace()

    def _step_shielded(self, grads: Any, extra: dict[str, Any]) -> None:
        """A step in which Python code may run after the old arrays were consumed."""
        if under_trace():
            self._refuse_trace()
        if self._tensors is not None:
            grads = tensors_of.gradients(self._tensors) if grads is None else grads
            grads, extra = tensors_of.values((grads, extra), numpy=True)
        elif grads is None:
            raise StructureError(
                "Optimizer.step needs the gradients: step(grads). Only tensors carry their own."
            )
        call = self._step
        if extra:
            call = self._stepper(tuple((k, v) for k, v in sorted(extra.items()) if callable(v)))
            extra = {k: v for k, v in extra.items() if not callable(v)}
        with self._shield:
            (leaves, params, _), _, (_, arrangement) = self._place[0]
            if self._tensors is not None:
                params = tensors_of.arrays(self._tensors, numpy=True)
            values = self._live.values_now
            out, params, report = call.watching(values, leaves, params, grads, extra)
            drifted = not isinstance(out, list)
            if drifted:  # the state changed its structure
                out, arrangement = out.leaves, out.arrangement
            mine = params if self._tensors is None else None
            beside = values, arrangement
            self._place[:] = [((out, mine, report), next(self._counter), beside)]
            self._beside = itertools.repeat(beside)
            if drifted:
                self._step = self._stepper(())
            if self._tensors is not None:
                call.direct = False  # they take their values in Python
                tensors_of.assign(self._tensors, params)

    def _refuse_trace(self) -> NoReturn:
        raise TypeError(
            "Optimizer.step owns its arrays, and does nothing within jit, scan, grad or vmap. There, use the "
            "functional loop: updates, state = tx.update(grads, state, params); params = "
            "nablax.apply_updates(params, updates)."
        )

    def _explain(self, error: Exception, given: Any) -> None:
        """Says so where an argument of a step was consumed before, or is no array."""
        if under_trace():
            return
        check_alive(given, error)
        other = first_other(given[0])
        if other is not None:
            path, x = other
            raise StructureError(
                f"Optimizer.step: grads{path} must be an array, got {type(x).__name__}: {x!r}."[:300]
            ) from error

    def zero_grad(self) -> None:
        """Clears `.grad` of the tensors."""
        if self._tensors is not None:
            tensors_of.clear_gradients(self._tensors)

    @property
    def hyperparameters(self) -> Hyperparams:
        """Every numeric argument, by path or unique short name; set one and the next step uses it."""
        return self._live

    @property
    def metrics(self) -> dict[str, Any]:
        """Of the last step: steps, skipped_steps, learning_rate (a number, or a dict of one a group where there are
        several), with `metrics=True` the norms and the ratio of update to parameters, the loss scale where there is
        one, and what `with_metrics` in the transformation measured.

        The rate of `inject_hyperparams` is read from its state. Transformations of other libraries keep theirs to
        themselves: without any other rate there is no entry.
        """
        (_, _, report), steps, (last, _) = self._place[0]
        told = [] if report is None else np.asarray(report).tolist()
        out: dict[str, Any] = {"steps": steps, "skipped_steps": self._skipped()}
        rates: dict[str, Any] = {path: last.get(path) for path in self._rates}
        if "learning_rates" in self._reports:
            found = current_values(self._numbers.tx, self.state)
            paths = [path for path in self._rates if path in found]
            rates = {**rates, **dict(zip(paths, told, strict=False))} if told else found
            told = told[len(paths) :]
            rates = {path: float(rates[path]) for path in paths}
        rates |= {path: float(rate) for path, rate in injected_rates(self.state).items()}
        if rates:
            out["learning_rate"] = by_group(rates)
        out |= dict(zip(NORMS, told, strict=False))
        if told:
            out["update_ratio"] = float(ratio(out["update_norm"], out["parameter_norm"]))
        scaling, measured = find_loss_scale(self.state), find_metrics(self.state)
        if scaling is not None:
            out["loss_scale"] = float(scaling.loss_scale)
            out["skipped_steps"] += int(scaling.skipped_steps)
        return out if measured is None else {**out, **jax.tree.map(float, measured)}

    @property
    def compilations(self) -> int:
        """How many programs were compiled for `step`: none where an optimizer of the same structure has stepped
        before, one otherwise, more where shapes, dtypes or structures changed."""
        return sum(stepper.compilations for stepper in self._steppers.values())

    def lower(self, grads: Any, **extra: Any) -> Any:
        """The step's program for these gradients, lowered: `opt.lower(grads).compile().as_text()`."""
        leaves = self._place[0][0][0]
        return self._step.lowered(self._live.values_now, leaves, self._arrays(), grads, extra)

    def _current(self) -> dict[str, Any]:
        return current_values(self._numbers.rebuilt(self._live.values_now), self.state)

    def _check_fits(self, tx: Any) -> None:
        check_state_fits(tx, self.state, self._arrays())

    def __repr__(self) -> str:
        size = sum(np.size(p) for p in jax.tree.leaves(self._arrays()))
        return f"Optimizer({size} parameters, {self._live!r})"
