"""A noisy wave: a small network of Equinox."""

# The first line above describes the problem in the report.

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

METRIC = "validation MSE"  # what evaluate() returns, as the report calls it
HIGHER_IS_BETTER = False
STEPS = 300  # of one run, unless --budget says otherwise
TARGET = {METRIC: 0.02}  # for "steps to"; a bare number is a training loss


def model(key):
    return eqx.nn.MLP(in_size=1, out_size=1, width_size=16, depth=1, activation=jnp.tanh, key=key)


STRUCTURE = eqx.partition(model(jax.random.key(0)), eqx.is_inexact_array)[1]  # the same for every seed


def wave(count, seed):
    """Places and values, each (count, 1). Your data comes here."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2.0, 2.0, (count, 1))
    return x.astype(np.float32), (np.sin(2.0 * x) + 0.1 * rng.normal(size=(count, 1))).astype(np.float32)


X, Y = wave(512, seed=0)
X_VALID, Y_VALID = wave(256, seed=1)


def init(key):
    """The parameters: the module's arrays. Each seed of the comparison brings another key."""
    return eqx.filter(model(key), eqx.is_inexact_array)


def loss(params, batch):
    """A scalar, which JAX differentiates."""
    x, y = batch
    return jnp.mean((jax.vmap(eqx.combine(params, STRUCTURE))(x) - y) ** 2)


def batches(key):
    """One pass over the data, in an order that follows from the key; it is called again when the pass has ended."""
    order = np.random.default_rng(int(jax.random.bits(key))).permutation(len(Y))
    for rows in order.reshape(-1, 64):
        yield X[rows], Y[rows]


def evaluate(params):
    """The metric, a scalar. It may leave JAX, for scikit-learn's metrics. Without it, the training loss ranks."""
    return loss(params, (X_VALID, Y_VALID))
