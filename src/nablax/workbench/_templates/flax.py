"""A noisy wave: a small network of Flax NNX."""

# The first line above describes the problem in the report.

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

METRIC = "validation MSE"  # what evaluate() returns, as the report calls it
HIGHER_IS_BETTER = False
STEPS = 300  # of one run, unless --budget says otherwise
TARGET = {METRIC: 0.02}  # for "steps to"; a bare number is a training loss


class Model(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(1, 16, rngs=rngs)
        self.output = nnx.Linear(16, 1, rngs=rngs)

    def __call__(self, x):
        return self.output(jnp.tanh(self.hidden(x)))


STRUCTURE = nnx.split(Model(nnx.Rngs(0)))[0]  # all that is no array, the same for every seed


def wave(count, seed):
    """Places and values, each (count, 1). Your data comes here."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2.0, 2.0, (count, 1))
    return x.astype(np.float32), (np.sin(2.0 * x) + 0.1 * rng.normal(size=(count, 1))).astype(np.float32)


X, Y = wave(512, seed=0)
X_VALID, Y_VALID = wave(256, seed=1)


def init(key):
    """The parameters: the module's state. Each seed of the comparison brings another key."""
    return nnx.split(Model(nnx.Rngs(key)))[1]


def loss(params, batch):
    """A scalar, which JAX differentiates."""
    x, y = batch
    return jnp.mean((nnx.merge(STRUCTURE, params)(x) - y) ** 2)


def batches(key):
    """One pass over the data, in an order that follows from the key; it is called again when the pass has ended."""
    order = np.random.default_rng(int(jax.random.bits(key))).permutation(len(Y))
    for rows in order.reshape(-1, 64):
        yield X[rows], Y[rows]


def evaluate(params):
    """The metric, a scalar. It may leave JAX, for scikit-learn's metrics. Without it, the training loss ranks."""
    return loss(params, (X_VALID, Y_VALID))
