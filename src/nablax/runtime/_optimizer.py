"""`Optimizer`: parameters and state in one hand, a step as one compiled and donated program."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import StructureError, apply_updates, current_values, with_extra_args_support
from nablax.runtime._live import Hyperparams
from nablax.runtime._metrics import all_finite, keep_if, learning_rates, norms

_VERSION = 1


class Optimizer:
    """Owns parameters and the state of a transformation, and steps both in one compiled program.

    The program overwrites its inputs (donation): parameters and state come back in the order in which they went in,
    so that XLA updates them in place and inserts no copy. Arrays read from `opt.params` therefore live until the next
    step; copy what you want to keep.

    Args:
      tx: a gradient transformation.
      params: tree of arrays; they are copied once, the caller's stay valid. Or a tree of `autograd` tensors, leaves
        of the graph: then `step()` reads their `.grad` and gives them new values, and `zero_grad()` clears it.
        Their buffers are not donated: graphs that were recorded before may still need them.
      metrics: also compute the norms of gradients, updates and parameters in each step.
      skip_nonfinite: leave parameters and state as they are where a gradient is infinite or NaN.
      donate: False keeps old parameters valid, at the price of a second copy in memory.

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
        skip_nonfinite: bool = False,
        donate: bool = True,
    ):
        self.tx = with_extra_args_support(tx)
        if isinstance(params, Iterator):  # as a module's parameters() gives them
            params = list(params)
        self._tensors = params if _holds_tensors(params) else None
        if self._tensors is not None:
            _check_leaves(params)
            params = _arrays(params)
        # Distinct buffers: two leaves that are one array could not both be donated.
        self._params = jax.tree.map(lambda p: jnp.array(p, copy=True), params)
        self._state = jax.tree.map(lambda x: jnp.array(x, copy=True), self.tx.init(self._params))
        self._counters = jnp.zeros(2, jnp.int32)
        self._report: dict[str, jax.Array] = {}
        self._with_norms, self._skip = metrics, skip_nonfinite
        self._live = Hyperparams(self.tx, self._current)
        self._lock = threading.Lock()
        kept = 2 if self._tensors is not None else 3
        self._compiled: Any = jax.jit(self._program, donate_argnums=tuple(range(kept)) if donate else ())

    def _program(self, state: Any, counters: Any, params: Any, live: Any, grads: Any, extra: Any) -> Any:
        tx = self._live.bind(self.tx, live)
        report = learning_rates(tx, state)
        updates, new_state = tx.update(grads, state, params, **extra)
        new_params = apply_updates(params, updates)
        skipped = jnp.asarray(0, jnp.int32)
        if self._skip:
            finite = all_finite(grads)
            new_params, new_state = keep_if(finite, (new_params, new_state), (params, state))
            skipped = 1 - finite.astype(jnp.int32)
        if self._with_norms:
            report |= norms(grads, updates, new_params)
        return new_state, counters + jnp.stack([1, skipped]), new_params, report

    def step(self, grads: Any = None, **extra: Any) -> Any:
        """One update of parameters and state.

        Args:
          grads: tree of gradients, structure and shapes of params; None leaves keep their parameter. With tensors for
            parameters it may be left out: their `.grad` is taken.
          **extra: what the transformation asks for beyond gradients, such as `value=loss`: arrays, or tensors.

        Returns:
          The new parameters (also `opt.params`).

        Raises:
          StructureError: grads do not fit the parameters, or are missing. Nothing is lost.
        """
        if grads is None:
            if self._tensors is None:
                raise StructureError(
                    "Optimizer.step needs the gradients: step(grads). Only tensors carry their own."
                )
            grads = autograd().grads(self._tensors)
        if self._tensors is not None:
            grads, extra = autograd().values((grads, extra))
        with self._lock:
            self._read_tensors()
            out = self._compiled(self._state, self._counters, self._params, self._live.vector, grads, extra)
            self._state, self._counters, self._params, self._report = out
            if self._tensors is not None:
                autograd().assign(self._tensors, self._params)
        return self.params

    def zero_grad(self) -> None:
        """Clears `.grad` of the tensors."""
        if self._tensors is not None:
            autograd().zero_grad(jax.tree.leaves(self._tensors))

    @property
    def params(self) -> Any:
        """The parameters: arrays, valid until the next step, or the tensors."""
        return self._params if self._tensors is None else self._tensors

    @property
    def state(self) -> Any:
        """The transformation's state; valid until the next step."""
        return self._state

    @property
    def hyperparameters(self) -> Hyperparams:
        """Every numeric hyperparameter, by path or unique short name; set one and the next step uses it."""
        return self._live

    @property
    def metrics(self) -> dict[str, Any]:
        """Of the last step: steps, skipped_steps, learning_rate, and, with `metrics=True`, the norms."""
        steps, skipped = np.asarray(self._counters).tolist()
        return {"steps": steps, "skipped_steps": skipped, **{k: float(v) for k, v in self._report.items()}}

    @property
    def compilations(self) -> int:
        """How many programs were compiled for `step`: one, unless shapes, dtypes or structures changed."""
        return self._compiled._cache_size()

    def state_dict(self) -> dict[str, Any]:
        """A copy of everything a restart needs: NumPy arrays, and the hyperparameters that were set by hand."""
        with self._lock:
            self._read_tensors()
            arrays = {"params": self._params, "state": self._state, "counters": self._counters}
            live = dict(zip(self._live, self._live._values.tolist(), strict=True))
            return {"version": _VERSION, **jax.tree.map(np.array, arrays), "hyperparams": live}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continues from a `state_dict` of an optimizer with the same transformation and parameters.

        Raises:
          StructureError: another version, structure, shape or dtype; this optimizer stays as it was.
        """
        if saved.get("version") != _VERSION:
            raise StructureError(
                f"load_state_dict: expected version {_VERSION}, got {saved.get('version')!r}."
            )
        mine = {"params": self._params, "state": self._state, "counters": self._counters}
        theirs = {k: saved[k] for k in mine}
        try:
            jax.tree.map(_check_same, mine, theirs)
        except ValueError as e:
            raise StructureError(f"load_state_dict: the saved trees do not fit this optimizer. {e}") from e
        live = {k: v for k, v in saved["hyperparams"].items() if k in self._live}
        with self._lock:
            new = jax.tree.map(jnp.array, theirs)
            self._params, self._state, self._counters = new["params"], new["state"], new["counters"]
            if self._tensors is not None:
                autograd().assign(self._tensors, self._params)
            for path, value in live.items():
                self._live[path] = None if np.isnan(value) else value

    def _read_tensors(self) -> None:
        if self._tensors is not None:
            self._params = _arrays(self._tensors)

    def _current(self) -> dict[str, Any]:
        return current_values(self.tx, self._state)

    def __repr__(self) -> str:
        size = sum(np.size(p) for p in jax.tree.leaves(self._params))
        return f"Optimizer({size} parameters, {self._live!r})"


def autograd() -> Any:
    """The autograd wing, which nothing loads before tensors are there."""
    return sys.modules["nablax.autograd"]


def _holds_tensors(params: Any) -> bool:
    wing = sys.modules.get("nablax.autograd")
    return wing is not None and any(isinstance(x, wing.Tensor) for x in jax.tree.leaves(params))


def _check_leaves(tensors: Any) -> None:
    for path, x in jax.tree_util.tree_leaves_with_path(tensors):
        if isinstance(x, autograd().Tensor) and not x.is_leaf:
            raise StructureError(
                f"Optimizer: params{jax.tree_util.keystr(path)} was computed from other tensors; give the optimizer "
                "those, or x.detach().requires_grad_()."
            )


def _arrays(tensors: Any) -> Any:
    """Values in the place of tensors, None in that of what is no array (a module's functions)."""
    values = autograd().values(tensors)
    return jax.tree.map(lambda x: x if isinstance(x, jax.Array | np.ndarray | float | int) else None, values)


def _check_same(mine: Any, theirs: Any) -> None:
    if mine.shape != np.shape(theirs) or mine.dtype != np.asarray(theirs).dtype:
        raise ValueError(f"{np.shape(theirs)} {np.asarray(theirs).dtype} against {mine.shape} {mine.dtype}")
