"""Files of a user's problem that the workbench tests run."""

QUADRATIC = '''
"""Least squares on a line."""
import jax
import jax.numpy as jnp

METRIC = "distance"

def init(key):
    return {"w": jax.random.normal(key, (3,))}

def loss(params, batch):
    return jnp.mean((params["w"] - batch) ** 2)

def batches(key):
    return 1.0 + 0.1 * jax.random.normal(key, (3,))

def evaluate(params):
    return jnp.linalg.norm(params["w"] - 1.0)
'''

STREAM = """
import jax
import jax.numpy as jnp
import numpy as np

def init(key):
    return jnp.zeros(2)

def loss(params, batch):
    return jnp.sum((params - batch) ** 2)

def batches(key):
    noise = np.random.default_rng(int(jax.random.bits(key)))
    for _ in range(7):
        yield (2.0 + 0.1 * noise.standard_normal(2)).astype(np.float32)
"""

SLOW = """
import jax.numpy as jnp
from jax import lax

def init(key):
    return jnp.ones(64)

def loss(params, batch):
    turn = lambda i, a: jnp.tanh(a @ a) / 8.0
    return jnp.sum(params**2) + 0.0 * jnp.sum(lax.stop_gradient(lax.fori_loop(0, 150, turn, jnp.outer(params, params))))

def batches(key):
    return ()
"""
