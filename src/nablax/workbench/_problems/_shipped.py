"""The problems that ship: real data of scikit-learn, and one function of two variables.

Each splits its data once, always in the same way, into a training part and a held-out part, and standardises both
with the mean and the deviation of the training part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.losses import (
    sigmoid_binary_cross_entropy,
    softmax_cross_entropy_with_integer_labels,
    squared_error,
)

from .._catalogue import geometric
from ._problem import Problem


@dataclass(frozen=True)
class Split:
    """Features (n, d) and labels (n,) of the training part and of the held-out part."""

    x: np.ndarray
    y: np.ndarray
    x_held: np.ndarray
    y_held: np.ndarray

    def batches(self, size: int) -> Callable[[Any], Iterator[Any]]:
        """One pass over the training part in random order, in batches of one size; rows left over wait for the next."""

        def one_pass(key: Any) -> Iterator[Any]:
            order = np.random.default_rng(np.asarray(jax.random.key_data(key))).permutation(len(self.y))
            for first in range(0, len(order) - size + 1, size):
                rows = order[first : first + size]
                yield self.x[rows], self.y[rows]

        return one_pass


def split(x: Any, y: Any, *, classes: bool) -> Split:
    """A quarter of the rows is held out, the same at every call; features have mean 0 and deviation 1 in training."""
    from sklearn.model_selection import train_test_split

    x, x_held, y, y_held = train_test_split(
        x, y, test_size=0.25, random_state=0, stratify=y if classes else None
    )
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)  # pixels that are always blank
    labels = np.int32 if classes else np.float32
    return Split(
        ((x - mean) / scale).astype(np.float32), y.astype(labels),
        ((x_held - mean) / scale).astype(np.float32), y_held.astype(labels),
    )  # fmt: skip


def _digits() -> Problem:
    from sklearn.datasets import load_digits

    data = split(*load_digits(return_X_y=True), classes=True)
    hidden = 32

    def init(key: Any) -> Any:
        first, second = jax.random.split(key)
        return {
            "hidden": {"w": jax.random.normal(first, (64, hidden)) / 8.0, "b": jnp.zeros(hidden)},
            "output": {"w": jax.random.normal(second, (hidden, 10)) / hidden**0.5, "b": jnp.zeros(10)},
        }

    def logits(params: Any, x: Any) -> jax.Array:
        h = jax.nn.relu(x @ params["hidden"]["w"] + params["hidden"]["b"])
        return h @ params["output"]["w"] + params["output"]["b"]

    def loss(params: Any, batch: Any) -> jax.Array:
        x, y = batch
        return jnp.mean(softmax_cross_entropy_with_integer_labels(logits(params, x), y))

    def evaluate(params: Any) -> jax.Array:
        return jnp.mean(jnp.argmax(logits(params, data.x_held), axis=-1) == data.y_held)

    return Problem(
        "digits", PROBLEMS["digits"].summary, jax.jit(init), loss, data.batches(64), evaluate,
        metric="held-out accuracy", higher_is_better=True,
        steps=400, rates=tuple(geometric(1e-4, 10.0, 11)), target=("loss", 0.1), streams=True,
    )  # fmt: skip


def _linear(key: Any, features: int) -> Any:
    return {"w": 0.1 * jax.random.normal(key, (features,)), "b": jnp.zeros(())}


def _breast_cancer() -> Problem:
    from sklearn.datasets import load_breast_cancer

    data = split(*load_breast_cancer(return_X_y=True), classes=True)

    def mean_loss(params: Any, x: Any, y: Any) -> jax.Array:
        return jnp.mean(sigmoid_binary_cross_entropy(x @ params["w"] + params["b"], y.astype(jnp.float32)))

    return Problem(
        "breast-cancer", PROBLEMS["breast-cancer"].summary,
        init=lambda key: _linear(key, 30),
        loss=lambda params, batch: mean_loss(params, *batch),
        batches=data.batches(32),
        evaluate=lambda params: mean_loss(params, jnp.asarray(data.x_held), jnp.asarray(data.y_held)),
        metric="held-out log loss", steps=400, target=("loss", 0.1), streams=True,
    )  # fmt: skip


def _diabetes() -> Problem:
    from sklearn.datasets import load_diabetes

    data = split(*load_diabetes(return_X_y=True, scaled=False), classes=False)
    mean, scale = data.y.mean(), data.y.std()
    data = Split(data.x, (data.y - mean) / scale, data.x_held, (data.y_held - mean) / scale)
    l2 = 1e-2

    def loss(params: Any, batch: Any) -> jax.Array:
        x, y = batch
        return jnp.mean(squared_error(x @ params["w"] + params["b"], y)) + l2 * jnp.sum(params["w"] ** 2)

    def evaluate(params: Any) -> jax.Array:
        residual = data.x_held @ params["w"] + params["b"] - data.y_held
        return 1 - jnp.mean(residual**2) / np.var(data.y_held)

    return Problem(
        "diabetes", PROBLEMS["diabetes"].summary,
        lambda key: _linear(key, 10), loss, data.batches(64), evaluate,
        metric="held-out R²", higher_is_better=True, steps=400, target=("loss", 0.55), streams=True,
    )  # fmt: skip


def _rosenbrock() -> Problem:
    def loss(params: Any, batch: Any) -> jax.Array:
        x, y = params["x"], params["y"]
        return (1 - x) ** 2 + 100 * (y - x**2) ** 2

    def init(key: Any) -> Any:
        dx, dy = 0.1 * jax.random.normal(key, (2,))
        return {"x": -1.2 + dx, "y": 1.0 + dy}

    return Problem(
        "rosenbrock", PROBLEMS["rosenbrock"].summary, init, loss,
        batches=lambda key: (),
        evaluate=lambda params: jnp.hypot(params["x"] - 1, params["y"] - 1),
        metric="distance to the minimum", steps=2000, target=("loss", 1e-3),
    )  # fmt: skip


@dataclass(frozen=True)
class Shipped:
    """A problem that ships: a line on it, and the function that loads it."""

    summary: str
    load: Callable[[], Problem]


PROBLEMS: dict[str, Shipped] = {
    "digits": Shipped(
        "Handwritten digits, 8 x 8 pixels, 10 classes: a network with one hidden layer of 32", _digits
    ),
    "breast-cancer": Shipped(
        "Tumours, 30 features, benign or malignant: logistic regression", _breast_cancer
    ),
    "diabetes": Shipped(
        "Disease progression from 10 features: linear regression with an L2 penalty", _diabetes
    ),
    "rosenbrock": Shipped("A curved valley in two variables, no data: (1 - x)² + 100 (y - x²)²", _rosenbrock),
}
