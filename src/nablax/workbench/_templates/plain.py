"""Two interleaved half circles: a small network, its parameters in a dictionary."""

# The first line above describes the problem in the report.

import jax
import jax.numpy as jnp
import numpy as np

METRIC = "validation accuracy"  # what evaluate() returns, as the report calls it
HIGHER_IS_BETTER = True
STEPS = 300  # of one run, unless --budget says otherwise
TARGET = 0.1  # training loss for "steps to"; {METRIC: 0.95} names the metric instead

HIDDEN = 16


def half_circles(count, seed):
    """Points (count, 2) and labels (count,), 0 or 1. Your data comes here."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, count)
    angle = rng.uniform(0, np.pi, count) + np.pi * label
    center = np.stack([label, 0.5 * label], axis=1)
    points = np.stack([np.cos(angle), np.sin(angle)], axis=1) + center + 0.15 * rng.normal(size=(count, 2))
    return points.astype(np.float32), label.astype(np.int32)


X, Y = half_circles(1024, seed=0)
X_VALID, Y_VALID = half_circles(512, seed=1)


def init(key):
    """The parameters, any pytree of arrays. Each seed of the comparison brings another key."""
    first, second = jax.random.split(key)
    return {
        "hidden": {"w": jax.random.normal(first, (2, HIDDEN)), "b": jnp.zeros(HIDDEN)},
        "output": {"w": jax.random.normal(second, (HIDDEN, 2)) / HIDDEN**0.5, "b": jnp.zeros(2)},
    }


def logits(params, x):
    hidden = jnp.tanh(x @ params["hidden"]["w"] + params["hidden"]["b"])
    return hidden @ params["output"]["w"] + params["output"]["b"]


def loss(params, batch):
    """A scalar, which JAX differentiates."""
    x, y = batch
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(logits(params, x)), y[:, None], axis=1))


def batches(key):
    """One pass over the data, in an order that follows from the key; it is called again when the pass has ended.

    Instead of this function, `batches` may be a list of batches, a tree of arrays that is taken whole at every step, or
    a loader, as torch.utils.data.DataLoader with drop_last=True. Or a function that makes the batch of one step with
    jax.random and returns it.
    """
    order = np.random.default_rng(int(jax.random.bits(key))).permutation(len(Y))
    for rows in order.reshape(-1, 64):
        yield X[rows], Y[rows]


def evaluate(params):
    """The metric, a scalar. It may leave JAX, for scikit-learn's metrics. Without it, the training loss ranks."""
    return jnp.mean(jnp.argmax(logits(params, X_VALID), axis=1) == Y_VALID)
