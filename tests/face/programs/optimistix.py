"""OptaxMinimiser, compiled and differentiated."""

import jax
import jax.numpy as jnp
import optax
import optimistix


def loss(y, args):
    return jnp.sum((y - 2) ** 2)


for optimizer in (
    optax.adam(0.1),
    optax.sgd(0.1, momentum=0.5),
    optax.lbfgs(),
    optax.chain(optax.clip(1.0), optax.adamw(0.1, weight_decay=0.0)),
):
    solver = optimistix.OptaxMinimiser(optimizer, rtol=1e-6, atol=1e-6)

    @jax.jit
    def run(y, solver=solver):
        return optimistix.minimise(loss, solver, y, max_steps=2000, throw=False).value

    assert jnp.allclose(run(jnp.zeros(3)), 2, atol=0.1), run(jnp.zeros(3))
    jax.grad(lambda y, run=run: run(y).sum())(jnp.zeros(3))
