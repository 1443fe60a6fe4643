"""What is drawn: paths in a narrow valley, and learning curves on digits, each at the best of a sweep of rates.

valley   f(x, y) = (1 - x)^2 + 20 (y - x^2)^2, from (-1.2, 1.2); the point is one matrix of shape (1, 2)
digits   1,437 images of 8 x 8 pixels, 360 held out; a network of 64, 32 and 10 units; batches of 64
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import apply_updates, with_extra_args_support
from nablax.losses import softmax_cross_entropy_with_integer_labels
from nablax.optimizers import schedule_free_eval_params

from .entries import Entry

VALLEY_STEPS, DIGITS_STEPS, EVERY, BATCH, SEEDS = 300, 400, 8, 64, 3
STEEPNESS, START = 20.0, (-1.2, 1.2)


def _rates(low: int, high: int, a_decade: int) -> list[float]:
    return [float(f"{10 ** (k / a_decade):.2g}") for k in range(low * a_decade, high * a_decade + 1)]


VALLEY_RATES, DIGITS_RATES = _rates(-4, 1, 4), _rates(-4, 1, 2)
ARRIVED = 0.01  # the mean of the last 30 losses in the valley; 0.1 from the minimum along it


@dataclass(frozen=True)
class Run:
    """What one optimizer did.

    Attributes:
      valley_rate, digits_rate: the rates of the sweeps that did best; NaN where there is none to sweep.
      path: points in the valley, (steps + 1, 2).
      curve: mean training loss over all training images and seeds, after 0, EVERY, 2 EVERY, ... gradients.
      accuracy: on held-out images at the end, mean over seeds.
    """

    valley_rate: float
    path: np.ndarray
    digits_rate: float
    curve: np.ndarray
    accuracy: float


def run(entry: Entry, folder: Path) -> Run:
    """Both problems; what was run before is read from the folder, where the call is the same."""
    file = folder / f"{entry.name}.npz"
    if file.exists():
        kept = np.load(file)
        if str(kept["call"]) == entry.call:
            return Run(*(kept[f.name][()] for f in fields(Run)))
    done = Run(*valley(entry), *digits(entry))
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(file, call=entry.call, **vars(done))
    return done


def height(point: Any) -> Any:
    """The valley's loss at a matrix of shape (..., 2)."""
    x, y = point[..., 0], point[..., 1]
    return (1 - x) ** 2 + STEEPNESS * (y - x**2) ** 2


def valley(entry: Entry) -> tuple[float, np.ndarray]:
    """The lowest rate that arrives, or else the one that comes lowest, and the path."""

    def loss(z: Any, batch: Any) -> Any:
        return height(z)[0]

    def one(rate: Any) -> Any:
        step = _step(entry, entry.make(rate), loss, one_example=lambda z, batch: loss(z, batch))
        z = jnp.array([START])
        state = with_extra_args_support(entry.make(rate)).init(z)

        def body(carry: Any, _: Any) -> Any:
            carry = step(*carry, jnp.zeros((1,)))
            return carry, _shown(*carry)[0]

        _, path = jax.lax.scan(body, (z, state), None, VALLEY_STEPS)
        return jnp.concatenate([z, path])

    rates = VALLEY_RATES if entry.swept else [math.nan]
    paths = np.stack([np.asarray(p) for p in _each(one, rates)])
    final = np.mean([height(p[-30:]) for p in paths], axis=1)
    final = np.where(np.isfinite(final), final, np.inf)
    best = int(np.argmax(final < ARRIVED) if np.any(final < ARRIVED) else np.argmin(final))
    return rates[best], paths[best]


def digits(entry: Entry) -> tuple[float, np.ndarray, float]:
    """The best rate, by the last losses on all training images, its curve and its accuracy."""
    x, y, held_x, held_y = _images()

    def logits(p: Any, x: Any) -> Any:
        return jax.nn.relu(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]

    def loss(p: Any, batch: Any) -> Any:
        return jnp.mean(softmax_cross_entropy_with_integer_labels(logits(p, x[batch]), y[batch]))

    def one(rate: Any, params: Any, batches: Any) -> Any:
        tx = entry.make(rate)
        step = _step(entry, tx, loss, one_example=loss)
        everything = jnp.arange(len(y))

        def body(carry: Any, batch: Any) -> Any:
            return step(*carry, everything if entry.whole_batch else batch), None

        def stretch(carry: Any, batches: Any) -> Any:
            carry, _ = jax.lax.scan(body, carry, batches)
            return carry, loss(_shown(*carry), everything)

        carry = (params, with_extra_args_support(tx).init(params))
        carry, losses = jax.lax.scan(stretch, carry, batches)
        right = jnp.mean(jnp.argmax(logits(_shown(*carry), held_x), -1) == held_y)
        return jnp.concatenate([loss(params, everything)[None], losses]), right

    rates = DIGITS_RATES if entry.swept else [math.nan]
    found = list(_each(jax.vmap(one, (None, 0, 0)), rates, *_starts(len(y))))
    curves = np.stack([np.mean(c, axis=0) for c, _ in found])
    final = np.mean(curves[:, -5:], axis=1)
    best = int(np.argmin(np.where(np.isfinite(final), final, np.inf)))
    return rates[best], curves[best], float(np.mean(found[best][1]))


def state_bytes(entry: Entry) -> float:
    """Bytes of state a parameter, for a layer of 1024 x 1024 weights and 1024 biases in float32."""
    layer = {
        "w": jax.ShapeDtypeStruct((1024, 1024), jnp.float32),
        "b": jax.ShapeDtypeStruct((1024,), jnp.float32),
    }
    state = jax.eval_shape(lambda p: entry.make(1e-3).init(p), layer)
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
    return size / sum(leaf.size for leaf in jax.tree.leaves(layer))


def _step(entry: Entry, tx: Any, loss: Callable[..., Any], one_example: Callable[..., Any]) -> Any:
    """One update: (parameters, state, batch) -> (parameters, state)."""
    tx = with_extra_args_support(tx)

    def step(params: Any, state: Any, batch: Any) -> Any:
        value, gradient = jax.value_and_grad(loss)(params, batch)
        extra: dict[str, Any] = {"value": value, "grad": gradient, "value_fn": lambda p: loss(p, batch)}
        if entry.name == "sophia":
            extra = {"obj_fn": extra["value_fn"]}
        if entry.name == "dpsgd":  # takes the gradient of each example
            gradient = jax.vmap(jax.grad(one_example), (None, 0))(params, batch[:, None])
        updates, state = tx.update(gradient, state, params, **extra)
        return apply_updates(params, updates), state

    return step


def _shown(params: Any, state: Any) -> Any:
    """The point at which to evaluate: the average where the optimizer keeps one."""
    averages = [s for s in jax.tree.leaves(state, is_leaf=_averages) if _averages(s)]
    return schedule_free_eval_params(averages[0], params) if averages else params


def _averages(x: Any) -> bool:
    return type(x).__name__ == "ScheduleFreeState"


def _each(f: Any, rates: list[Any], *rest: Any) -> Any:
    """f at each rate, in one program."""
    program = jax.jit(f)
    for rate in rates:
        yield program(jnp.float32(rate), *rest)


def _starts(examples: int) -> tuple[Any, Any]:
    """For each seed the same parameters and batches, whatever the optimizer."""
    rng = np.random.default_rng(0)
    params = {
        "w1": rng.normal(size=(SEEDS, 64, 32)) / 8.0, "b1": np.zeros((SEEDS, 32)),
        "w2": rng.normal(size=(SEEDS, 32, 10)) / 32**0.5, "b2": np.zeros((SEEDS, 10)),
    }  # fmt: skip
    batches = rng.integers(examples, size=(SEEDS, DIGITS_STEPS // EVERY, EVERY, BATCH))
    return {name: p.astype(np.float32) for name, p in params.items()}, batches.astype(np.int32)


@cache
def _images() -> tuple[Any, Any, Any, Any]:
    """Training and held-out images, standardised by the training ones, and labels."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    train, held = order[: len(y) * 4 // 5], order[len(y) * 4 // 5 :]
    mean, scale = x[train].mean(0), x[train].std(0)
    x = ((x - mean) / np.where(scale > 0, scale, 1.0)).astype(np.float32)
    return tuple(map(jnp.asarray, (x[train], y[train].astype(np.int32), x[held], y[held].astype(np.int32))))
