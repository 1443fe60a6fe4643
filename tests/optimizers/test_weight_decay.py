"""What `weight_decay` and `mask` do, optimizer by optimizer, as the table of docs/optimizers.md says."""

import inspect
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from catalogue import OPTIMIZERS, extras, square_sum
from nablax import optimizers

TABLE = (Path(__file__).parents[2] / "docs" / "optimizers.md").read_text().partition("## Weight decay")[2]
KINDS = {
    name: kind for kind, names in re.findall(r"^\| ([a-z, ]+) \| .* \| ([a-z_ ]+) \|$", TABLE, re.M)
    for name in names.split()
    if kind != "kind"
}  # fmt: skip
LR, DECAY = 0.02, 0.3
PARAMS = {
    "matrix": jnp.array([[1.0, -2.0, 0.5], [0.7, -1.5, 3.0]]),
    "vector": jnp.array([0.3, 1.2]),
    "spared": jnp.array([[2.0, -1.0]]),
}
GRADS = {
    "matrix": jnp.array([[0.4, 0.1, -0.3], [0.2, 0.6, -0.1]]),
    "vector": jnp.array([-0.2, 0.3]),
    "spared": jnp.array([[0.5, 0.25]]),
}
DECAYED = {"matrix": True, "vector": True, "spared": False}
OTHERS = {
    "adafactor": {"multiply_by_parameter_scale": False}, "galore": {"rank": 1}, "prodigy": {"estim_lr0": 0.1},
    "dadapt_adamw": {"estim_lr0": 0.1}, "dog": {"init_step": ("distance", 0.1)}, "dowg": {"init_estim_sq_dist": 0.01},
    "momo": {"lower_bound": -100.0}, "momo_adam": {"lower_bound": -100.0},
}  # fmt: skip
"""Settings with which the first steps are simple, and decay is seen in them."""


def compiled(name):
    """The updates of two steps with the same gradients at the same point: a function of these and of the decay."""

    @jax.jit
    def two_steps(grads, decay):
        others = OTHERS.get(name, {}) | ({"adam_weight_decay": decay} if name == "muon" else {})
        mask = {k: DECAYED[k] for k in grads}
        tx = getattr(optimizers, name)(learning_rate=LR, weight_decay=decay, mask=mask, **others)
        params = {k: PARAMS[k] for k in grads}

        def step(state, _):
            updates, state = tx.update(grads, state, params, **extras(name, 3.0, square_sum))
            return state, updates

        return jax.lax.scan(step, tx.init(params), length=2)[1]

    return two_steps


def test_every_optimizer_that_decays_is_in_the_table():
    def takes(argument):
        return {n for n in OPTIMIZERS if argument in inspect.signature(getattr(optimizers, n)).parameters}

    assert takes("weight_decay") == {*KINDS, "mechanize"}
    assert takes("mask") == {*KINDS}


def expected(kind, t, u, p, g):
    """The update of step t from that without decay."""
    match kind:
        case "gradient":  # u is that of the gradients with decay
            return u
        case "decoupled" | "decoupled, base":
            return u - LR * DECAY * p
        case "decoupled, absolute":
            return u - DECAY * p
        case "decoupled, found":
            return u - LR * 0.1 * (1 - 0.999**t) ** 0.5 / (1 - 0.9**t) * DECAY * p
        case "momentum":
            return u - LR * DECAY * (1 if t == 1 else 1 + 0.9) * p
        case "quotient":
            return (p + u) / (1 + LR * DECAY) - p
        case "direction":  # Adam's, for gradients that never change, is their sign
            d = jnp.sign(g) + DECAY * p
            return -LR * jnp.linalg.norm(p) / jnp.linalg.norm(d) * d
    raise AssertionError(f"unknown kind {kind}")


@pytest.mark.parametrize("name", KINDS)
def test_decay_does_what_the_table_says(name):
    kind, two_steps = KINDS[name], compiled(name)
    grads = {
        k: g for k, g in GRADS.items() if k != "vector" or name == "muon"
    }  # which leaves vectors to Adam
    with_decay = two_steps(grads, DECAY)
    if kind == "gradient":
        grads = {k: g + DECAY * PARAMS[k] if DECAYED[k] else g for k, g in grads.items()}
    for k, u in two_steps(grads, 0.0).items():
        for t in (1,) if kind == "decoupled, base" else (1, 2):
            want = expected(kind, t, u[t - 1], PARAMS[k], GRADS[k]) if DECAYED[k] else u[t - 1]
            np.testing.assert_allclose(with_decay[k][t - 1], want, rtol=1e-4, atol=1e-6, err_msg=k)
