"""`Optimizer`: parameters and state in one hand, a step as one compiled and donated program."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import (
    ArgumentError,
    as_flags,
    calls_explained,
    check_number,
    copied,
    current_values,
)
from nablax.runtime import _tensors as tensors_of
from nablax.runtime._buffers import apart
from nablax.runtime._live import Hyperparams, Numbers, check_state_fits
from nablax.runtime._metrics import find_metrics, ratio
from nablax.runtime._modules import parted
from nablax.runtime._packing._flat import FlatParams
from nablax.runtime._packing._packed import check_packable, packed_params
from nablax.runtime._precision import find_loss_scale
from nablax.runtime._program import Stepper
from nablax.runtime._sharding import Layout, place, specs_of
from nablax.runtime._shield import Shield
from nablax.runtime._step import NORMS, by_group, injected_rates, rate_paths
from nablax.runtime._stepping import Stepping
from nablax.runtime._wrong import OPTIMIZER, check_attribute, transformation


class Optimizer(Stepping):
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
      metrics: also compute the norms of gradients, updates and parameters.
      callbacks: functions `callback(step, metrics)`, called after a step with its number, from 1, and `metrics`;
        loggers are such functions. What one raises comes out of `step`, which has done its work by then.
      every: compute the norms and call the callbacks at every so many steps only. The other steps run a program without
        norms, which has nothing to write down for them, and wait for nothing.
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

    @calls_explained("Optimizer", OPTIMIZER)
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
        self.tx = transformation("Optimizer", tx, OPTIMIZER)
        metrics, skip_nonfinite, donate, take, packed = as_flags(
            "Optimizer",
            metrics=metrics,
            skip_nonfinite=skip_nonfinite,
            donate=donate,
            take=take,
            packed=packed,
        )
        given = params
        if isinstance(params, Iterator):  # as a module's parameters() gives them
            params = list(params)
        if isinstance(params, list | tuple) and any(map(_is_group, params)):
            raise ArgumentError(
                "Optimizer: params must be a tree of arrays or tensors, got torch's groups of parameters. "
                f"{tensors_of.GROUPS}"
            )
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
        self._options = {
            "metrics": metrics, "callbacks": self._callbacks, "every": self._every, "skip_nonfinite": skip_nonfinite,
            "donate": donate, "packed": packed, "mesh": mesh, "axis": axis,
        }  # fmt: skip
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
        self._reports: tuple[str, ...] = ("learning_rates",) if follows else ()
        self._always, self._sometimes = metrics and self._every == 1, metrics and self._every > 1
        self._measured: tuple[Any, Any] = (None, None)  # number and report of the last one of them
        self._shown: tuple[Any, Any] = (None, None)
        self._plain = self._tensors is None and not packed and self._rest is None
        self._shield = Shield()
        self._lock = self._shield.lock
        of_tensors = self._tensors is not None
        self._kind = (self._numbers.structure, skip_nonfinite, donate, self._layout, of_tensors)
        self._steppers: dict[Any, Stepper] = {}
        self._step = self._stepper((), self._always)

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
        several), with `metrics=True` the norms and the ratio of update to parameters (with `every` those of the last
        step that measured, `measured_step`), the loss scale where there is one, and what `with_metrics` in the
        transformation measured.

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
            rates = {path: float(rates[path]) for path in paths}
        rates |= {path: float(rate) for path, rate in injected_rates(self.state).items()}
        if rates:
            out["learning_rate"] = by_group(rates)
        at, report = (steps, report) if self._always else self._measured
        if (self._always or self._sometimes) and report is not None:
            out |= dict(zip(NORMS, np.asarray(report)[-len(NORMS) :].tolist(), strict=True))
            out["update_ratio"] = float(ratio(out["update_norm"], out["parameter_norm"]))
            out |= {"measured_step": at} if self._sometimes else {}
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

    def __reduce__(self) -> Any:
        """For `copy` and `pickle`: made as it was made, from arrays of its own, then what a restart needs is loaded."""
        params = self.copy_params() if self._tensors is None else self._tensors
        return _remade, (type(self), self.tx, params, self._options, self.state_dict())

    if not TYPE_CHECKING:  # which would take any name for an attribute

        def __getattr__(self, name: str) -> Any:
            check_attribute(name)
            return object.__getattribute__(self, name)  # raises what it raised

    def __repr__(self) -> str:
        size = sum(np.size(p) for p in jax.tree.leaves(self._arrays()))
        return f"Optimizer({size} parameters, {self._live!r})"


def _remade(kind: Any, tx: Any, params: Any, options: dict[str, Any], found: dict[str, Any]) -> Any:
    opt = kind(tx, params, **options)
    opt.load_state_dict(found)
    return opt


def _is_group(x: Any) -> bool:
    """Whether it is what torch calls a group: parameters in a row, and numbers beside them."""
    if not (isinstance(x, Mapping) and isinstance(x.get("params"), list | tuple | Iterator)):
        return False
    beside = [value for name, value in x.items() if name != "params"]
    return isinstance(x["params"], Iterator) or any(isinstance(value, numbers.Number) for value in beside)
