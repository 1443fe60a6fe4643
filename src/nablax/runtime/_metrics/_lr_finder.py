"""`lr_finder`: a learning rate from one short run in which the rate grows until the loss explodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import (
    FUNCTION,
    ITERABLE,
    ArgumentError,
    advance,
    check_number,
    hyperparams,
    with_extra_args_support,
    with_hyperparams,
)
from nablax.runtime._modules import check_arrays


class Found(NamedTuple):
    """What `lr_finder` found.

    Attributes:
      rates: the learning rate of each step.
      losses: the loss at it.
      smooth: the losses, smoothed over their neighbours, up to where they exploded; NaN after that.
      suggestion: the rate at which the smoothed loss falls fastest by the logarithm of the rate.
    """

    rates: np.ndarray
    losses: np.ndarray
    smooth: np.ndarray
    suggestion: float

    def plot(self, path: Any = None) -> Any:
        """The curve as a matplotlib figure, also written to `path` if that is given."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 3.6), layout="constrained")
        axes = figure.subplots()
        kept = np.isfinite(self.smooth)
        axes.semilogx(self.rates, self.losses, color="#9aa5b1", linewidth=1, label="loss")
        axes.semilogx(self.rates[kept], self.smooth[kept], color="#2458a6", linewidth=2, label="smoothed")
        axes.axvline(
            self.suggestion, color="#c4572a", linestyle="--", label=f"suggestion {self.suggestion:.2g}"
        )
        low, high = np.min(self.smooth[kept]), np.max(self.smooth[kept])
        axes.set_ylim(low - 0.1 * (high - low), high + 0.4 * (high - low))
        axes.set(xlabel="learning rate", ylabel="loss")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        if path is not None:
            figure.savefig(path, dpi=150)
        return figure

    def __repr__(self) -> str:
        first, last = self.rates[0], self.rates[-1]
        return (
            f"Found(suggestion={self.suggestion:.3g}, {len(self.rates)} rates from {first:.3g} to {last:.3g})"
        )


def lr_finder(
    loss_fn: Callable[..., Any],
    params: Any,
    batches: Iterable[Any],
    *,
    tx: Any,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    explodes: float = 4.0,
) -> Found:
    """Trains with a learning rate that grows from step to step, in one program, and looks where the loss falls.

    Args:
      loss_fn: `loss_fn(params, *batch)` returns a scalar.
      params: where the run begins; they stay as they are.
      batches: batches of one shape, each a tuple or a single array or tree; they are taken in turns, at most `steps`.
      tx: the optimizer whose rate is sought. All of its learning rates follow the ramp.
      low, high: the first and the last rate, 0 < low < high; in between the rate grows by one factor each step.
      steps: an integer >= 10.
      explodes: the run is cut where the smoothed loss is above its start by this many times the largest fall so far.

    Returns:
      A `Found`: rates, losses and a suggestion, which is a place to begin from, not a measurement.

    Raises:
      ArgumentError: no batch, or a transformation without a learning rate.
      StructureError: params hold something else than arrays; the message says what to write.
      HyperparameterError: a number out of its range.

    Defaults: all are ours: a range that holds the good rates of the usual optimizers.

    Source: Smith 2017, arXiv:1506.01186, section 3.3. The rule for the suggestion is that of the steepest descent.

    Example:
      >>> import jax.numpy as jnp
      >>> from nablax import sgd
      >>> found = lr_finder(lambda w, x: jnp.mean((x @ w) ** 2), jnp.ones(3), [jnp.eye(3)], tx=sgd(0.1))
      >>> 0.01 < found.suggestion < 3
      True
    """
    check_number("lr_finder", "low", low, 0, open_low=True)
    check_number("lr_finder", "high", high, low, open_low=True)
    check_number("lr_finder", "steps", steps, 10, integer=True)
    FUNCTION("lr_finder", "loss_fn", loss_fn)
    ITERABLE("lr_finder", "batches", batches)
    tx = with_extra_args_support(tx)
    paths = [path for path in hyperparams(tx) if path.rpartition("/")[2] == "learning_rate"]
    if not paths:
        raise ArgumentError(f"lr_finder: {tx!r} has no learning_rate.")
    taken = [b if isinstance(b, tuple) else (b,) for _, b in zip(range(int(steps)), batches, strict=False)]
    if not taken:
        raise ArgumentError("lr_finder: batches holds no batch.")
    stacked = jax.tree.map(lambda *xs: jnp.stack([jnp.asarray(x) for x in xs]), *taken)
    rates = np.geomspace(low, high, int(steps))

    def body(carry: Any, now: Any) -> Any:
        p, s = carry
        rate, k = now
        batch = jax.tree.map(lambda x: x[k % len(taken)], stacked)
        value, grads = jax.value_and_grad(loss_fn)(p, *batch)
        chosen = with_hyperparams(tx, dict.fromkeys(paths, rate))
        extra = {"value": value, "grad": grads, "value_fn": lambda q: loss_fn(q, *batch)}
        return advance(chosen, grads, s, p, extra)[:2], value

    @jax.jit
    def run(p: Any) -> Any:
        inputs = jnp.asarray(rates, jnp.float32), jnp.arange(int(steps))
        return jax.lax.scan(body, (p, tx.init(p)), inputs)[1]

    try:
        losses = np.asarray(run(jax.tree.map(jnp.asarray, params)), np.float64)
    except (TypeError, ArgumentError):
        check_arrays("lr_finder", params)
        raise
    smooth = _smoothed(losses, explodes)
    return Found(rates, losses, smooth, _steepest(rates, smooth))


def _smoothed(losses: np.ndarray, explodes: float) -> np.ndarray:
    """A running median of 3, then a mean over a twentieth of the run to both sides; NaN from the explosion on."""
    finite = np.isfinite(losses)
    end = len(losses) if finite.all() else int(np.argmin(finite))
    if end < 3:
        return np.where(np.arange(len(losses)) < end, losses, np.nan)
    x = losses[:end]
    middle = np.median(np.stack([np.append(x[1:], x[-1]), x, np.append(x[0], x[:-1])]), 0)
    width = max(1, len(losses) // 20)
    mean = np.array([middle[max(0, i - width) : i + width + 1].mean() for i in range(end)])
    fall = mean[0] - np.minimum.accumulate(mean)
    over = np.flatnonzero(mean - mean[0] > explodes * fall + 1e-12 * abs(mean[0]))
    over = over[over > np.argmin(mean)]
    out = np.full(len(losses), np.nan)
    cut = int(over[0]) if len(over) else end
    out[:cut] = mean[:cut]
    return out


def _steepest(rates: np.ndarray, smooth: np.ndarray) -> float:
    kept = np.flatnonzero(np.isfinite(smooth))
    kept = kept[: int(np.argmin(smooth[kept])) + 1]
    if len(kept) < 2:
        return float(rates[0])
    slope = np.gradient(smooth[kept], np.log(rates[kept]))
    return float(rates[kept][int(np.argmin(slope))])
