"""Every optimizer reaches the minimum of a quadratic, of Rosenbrock's valley and of a complex-valued problem.

One compiled scan an optimizer runs all three problems, each with a state of its own. What is asserted is the share of
the first loss that remains: methods with steps of a fixed size, and those that begin with tiny ones, get less far.
"""

import jax
import jax.numpy as jnp
import pytest

from catalogue import OPTIMIZERS, extras

STEPS = 1500
TARGET = 1 + 2j


def quadratic(x):
    return jnp.sum(jnp.array([1.0, 4.0]) * (x - jnp.array([1.0, -1.0])) ** 2)


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 10 * (x[1] - x[0] ** 2) ** 2


def complex_valued(z):
    return jnp.sum(jnp.abs(z - jnp.array([TARGET, -TARGET])) ** 2)


PROBLEMS = {
    "quadratic": (quadratic, jnp.array([-1.0, 1.5]), 1e-2),
    "rosenbrock": (rosenbrock, jnp.array([-1.0, 1.5]), 0.5),
    "complex": (complex_valued, jnp.array([0.5 - 1j, 0.3j], jnp.complex64), 1e-2),
}


def descend(name, loss, start):
    tx = OPTIMIZERS[name](0.02)
    start = start[None] if name in ("muon", "galore") else start  # these two are about matrices

    def value(x):
        return loss(x.reshape(2))

    def step(carry, _):
        x, state = carry
        f, g = jax.value_and_grad(value)(x)
        g = jnp.conj(g)
        g = jnp.stack([g, g]) if name == "dpsgd" else g
        updates, state = tx.update(g, state, x, **extras(name, f, value))
        return (x + updates, state), None

    (x, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=STEPS)
    return value(x) / value(start)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_converges(name):
    left = jax.jit(lambda starts: {k: descend(name, PROBLEMS[k][0], starts[k]) for k in starts})(
        {k: start for k, (_, start, _) in PROBLEMS.items()}
    )
    for problem, (_, _, bound) in PROBLEMS.items():
        assert float(left[problem]) < bound, (problem, float(left[problem]))
