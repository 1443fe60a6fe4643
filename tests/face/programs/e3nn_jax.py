"""An equivariant layer trained in flax."""

import e3nn_jax as e3nn
import jax
import jax.numpy as jnp
import optax

x = e3nn.normal("4x0e + 2x1o", jax.random.key(0), (16,))
model = e3nn.flax.Linear("1x0e + 1x1o")
params, tx = (
    model.init(jax.random.key(1), x),
    optax.adamw(optax.warmup_cosine_decay_schedule(0.0, 0.05, 5, 50)),
)
state = tx.init(params)


def loss(params):
    return jnp.mean((model.apply(params, x).array - 1) ** 2)


first = loss(params)
for _ in range(30):
    updates, state = tx.update(jax.grad(loss)(params), state, params)
    params = optax.apply_updates(params, updates)
assert loss(params) < first
