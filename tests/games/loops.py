"""Training loops that the tests of transformations share, and the ways to give each player its own."""

import jax
import jax.numpy as jnp
import optax

import nablax.transforms
from nablax.core import apply_updates

SPLITTERS = {"optax.multi_transform": optax.multi_transform}
for _name in ("partition", "multi_transform"):
    if hasattr(nablax.transforms, _name):
        SPLITTERS[f"nablax.{_name}"] = getattr(nablax.transforms, _name)


def bilinear(z):
    """Raw gradients of f = x y: both players see those of f itself."""
    return {"x": z["y"], "y": z["x"]}


def play(tx, gradient, z, updates):
    """The points after each update, in a Python loop."""
    state, path = tx.init(z), []
    for _ in range(updates):
        u, state = tx.update(gradient(z), state, z)
        z = apply_updates(z, u)
        path.append(z)
    return path, state


def scan(tx, gradient, z, updates):
    """The same in one compiled scan, leaves stacked."""

    @jax.jit
    def run(z):
        def body(carry, _):
            z, state = carry
            u, state = tx.update(gradient(z), state, z)
            z = apply_updates(z, u)
            return (z, state), z

        (_, state), path = jax.lax.scan(body, (z, tx.init(z)), None, length=updates)
        return path, state

    return run(z)


def stack(path):
    return jax.tree.map(lambda *xs: jnp.stack(xs), *path)
