"""Wrapped optimizers, and their states to JSON and back."""

import invrs_opt
import jax
import jax.numpy as jnp
import optax
from totypes import json_utils, types

params = {
    "density": types.Density2DArray(0.5 * jnp.ones((8, 8)), lower_bound=0.0, upper_bound=1.0),
    "x": types.BoundedArray(jnp.ones(3), -1.0, 3.0),
}


def loss(params):
    return jnp.sum((params["density"].array - 0.2) ** 2) + jnp.sum((params["x"].array - 2) ** 2)


for inner in (
    optax.adam(0.05),
    optax.sgd(0.05, momentum=0.9),
    optax.chain(optax.clip(1.0), optax.adamw(optax.cosine_decay_schedule(0.05, 50))),
):
    for optimizer in (invrs_opt.wrapped_optax(inner), invrs_opt.density_wrapped_optax(inner, beta=2.0)):
        state = optimizer.init(params)
        losses = []
        for _ in range(10):
            now = optimizer.params(state)
            value, grad = jax.value_and_grad(loss)(now)
            losses.append(float(value))
            state = optimizer.update(grad=grad, value=value, params=now, state=state)
        assert losses[-1] < losses[0], losses
        again = json_utils.pytree_from_json(json_utils.json_from_pytree(state))
        assert len(jax.tree.leaves(again)) == len(jax.tree.leaves(state))
        optimizer.update(grad=grad, value=value, params=optimizer.params(again), state=again)
