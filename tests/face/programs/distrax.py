"""A flow fitted to samples."""

import distrax
import jax
import jax.numpy as jnp
import optax


def flow(params):
    return distrax.Transformed(
        distrax.Normal(0.0, 1.0), distrax.ScalarAffine(params["shift"], log_scale=params["scale"])
    )


data = 2.0 + 0.5 * jax.random.normal(jax.random.key(0), (256,))
params, tx = {"shift": jnp.zeros(()), "scale": jnp.zeros(())}, optax.adam(0.05)
state = tx.init(params)
step = jax.jit(lambda p, s: tx.update(jax.grad(lambda p: -flow(p).log_prob(data).mean())(p), s, p))
for _ in range(200):
    updates, state = step(params, state)
    params = optax.apply_updates(params, updates)
assert abs(params["shift"] - 2) < 0.1
