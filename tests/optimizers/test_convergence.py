"""Every optimizer reaches the minimum of a quadratic, of Rosenbrock's valley and of a complex-valued problem.

One compiled scan an optimizer runs all three problems, each with a state of its own. What is asserted is the share of
the first loss that remains. The quadratic and the complex problem are solved at one learning rate by all.

Rosenbrock's function has its usual coefficient, 100, and its usual start (-1.2, 1), whose loss is 24.2; at the bottom
of the valley, far from the minimum, 17% of it are left. Each optimizer has 3,000 steps at the best of the rates 0.1,
0.05, 0.02, ..., 0.0005 (or a share of the rate it finds). Its bound is the power of ten above three times the
worst of runs at rates within 3% of that, or from starts within 0.001: what it reaches, with room for another machine's
rounding. `PYTHONPATH=tests python tests/optimizers/test_convergence.py NAME` prints both.
Methods whose step does not shrink with the gradient, or that look for their rate in the valley, get less far.
"""

import math
import sys

import jax
import jax.numpy as jnp
import pytest

from catalogue import OPTIMIZERS, extras
from nablax import optimizers

STEPS, ROSENBROCK_STEPS = 1500, 3000
TARGET = 1 + 2j
LEFT_OF_ROSENBROCK = {
    1e-6: {
        "adabelief": 0.05, "adam": 0.05, "adamax": 0.1, "adamaxw": 0.1, "adamw": 0.05, "adan": 0.002, "ademamix": 0.1,
        "madgrad": 0.005, "momentum": 0.02, "momo": 0.1, "momo_adam": 0.05, "nadam": 0.02, "nadamw": 0.02,
        "nesterov": 0.01, "novograd": 0.0005, "polyak_sgd": None, "rprop": 0.0005, "simplified_ademamix": 0.001,
        "yogi": 0.1,
    },
    1e-5: {"sm3": 0.1},
    1e-4: {"adafactor": 0.01, "prodigy": 0.1, "muon": 0.002, "optimistic_adam": 0.02, "optimistic_adam_v2": 0.02},
    1e-3: {
        "acprop": 0.01, "adagrad": 0.05, "dadapt_adamw": 0.1, "dowg": 0.3, "dpsgd": 0.002, "galore": 0.1,
        "lion": 0.005, "noisy_sgd": 0.002, "rmsprop": 0.005, "schedule_free": 0.005, "schedule_free_sgd": 0.005,
        "sgd": 0.002, "signum": 0.005,
    },
    1e-2: {
        "adadelta": 0.001, "adopt": 0.1, "cocob": None, "lars": 0.01, "sam": 0.002,
        "schedule_free_adamw": 0.05, "sophia": 0.1, "tiger": 0.005,
    },
    1e-1: {
        "amsgrad": 0.1, "dog": None, "fromage": 0.02, "lamb": 0.05, "mechanize": None,
        "optimistic_gradient_descent": 0.0005, "radam": 0.005, "sign_sgd": 0.005,
    },
}  # fmt: skip
"""The bound, and the learning rate of each optimizer; None where it finds its own."""
SLOWER = {
    "dadapt_adamw": lambda rate: optimizers.dadapt_adamw(rate, estim_lr0=1e-2),
    "dowg": optimizers.dowg,
    "prodigy": lambda rate: optimizers.prodigy(rate, estim_lr0=1e-2),
}
"""At the full rate they find, these leap out of the valley, to an end that depends on the last bit of the start."""
ROSENBROCK = {
    name: (rate, left) for left, rates in LEFT_OF_ROSENBROCK.items() for name, rate in rates.items()
}


def quadratic(x):
    return jnp.sum(jnp.array([1.0, 4.0]) * (x - jnp.array([1.0, -1.0])) ** 2)


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def complex_valued(z):
    return jnp.sum(jnp.abs(z - jnp.array([TARGET, -TARGET])) ** 2)


def descend(name, loss, start, steps, tx):
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

    (x, _), _ = jax.lax.scan(step, (start, tx.init(start)), length=steps)
    return value(x) / value(start)


def test_every_optimizer_has_a_bound():
    assert {*ROSENBROCK} == {*OPTIMIZERS}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_converges(name):
    rate, bound = ROSENBROCK[name]
    tx, own = OPTIMIZERS[name](0.02), {**OPTIMIZERS, **SLOWER}[name](rate)

    @jax.jit
    def left():
        return (
            descend(name, quadratic, jnp.array([-1.0, 1.5]), STEPS, tx),
            descend(name, complex_valued, jnp.array([0.5 - 1j, 0.3j], jnp.complex64), STEPS, tx),
            descend(name, rosenbrock, jnp.array([-1.2, 1.0]), ROSENBROCK_STEPS, own),
        )

    for problem, share, most in zip(
        ("quadratic", "complex", "Rosenbrock"), left(), (1e-2, 1e-2, bound), strict=True
    ):
        assert float(share) < most, (problem, float(share))


def bound_of(name):
    """The rate and the bound of an optimizer, as the head of this file says."""
    made = {**OPTIMIZERS, **SLOWER}[name]

    def left(rate, x=-1.2):
        start = jnp.array([x, 1.0])
        share = float(jax.jit(lambda: descend(name, rosenbrock, start, ROSENBROCK_STEPS, made(rate)))())
        return share if share == share else math.inf

    best = min((0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005), key=left)
    near = [left(best * k) for k in (0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.03)]
    worst = max(*near, *(left(best, -1.2 + d) for d in (-1e-3, -5e-4, 5e-4, 1e-3)))
    return best, max(1e-6, 10.0 ** math.ceil(math.log10(3 * worst)))


if __name__ == "__main__":
    print("rate {:g}, bound {:g}".format(*bound_of(sys.argv[1])))
