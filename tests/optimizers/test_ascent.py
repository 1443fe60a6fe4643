"""A negative learning rate ascends: by number, traced, as a schedule, live, and in the methods of games."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from catalogue import OPTIMIZERS, extras, square_sum
from nablax import games, optimizers
from nablax.core import apply_updates
from nablax.runtime import Optimizer

RATE, STEPS = 0.02, 5
PARAMS = {"w": jnp.array([[1.0, -2.0, 0.5], [0.7, -1.5, 3.0]]), "b": jnp.array([0.3, 1.2])}
MAKERS = {
    **OPTIMIZERS,
    "adafactor": lambda lr: optimizers.adafactor(lr, min_dim_size_to_factor=2),  # its decay knows no rate
    "cocob": lambda lr: optimizers.cocob(50 * lr),
    "dadapt_adamw": lambda lr: optimizers.dadapt_adamw(50 * lr, estim_lr0=1e-2),
    "dog": lambda lr: optimizers.dog(50 * lr, init_step=("distance", 1e-2)),
    "dowg": lambda lr: optimizers.dowg(50 * lr),
    "polyak_sgd": lambda lr: optimizers.polyak_sgd(1.0, scaling=lr),
    "prodigy": lambda lr: optimizers.prodigy(50 * lr, estim_lr0=1e-2),
}
del MAKERS["mechanize"]  # learns the scale of its base's steps, not negative, so that the loss falls
EVEN = {"fromage", "sam"}
"""The first update is not odd in the rate: it also shrinks the norm, or is the adversary's."""
NO_SCHEDULE = {"rprop"}


class Schedule:
    """A constant schedule that can be multiplied by a number, as the catalogue does with rates."""

    def __init__(self, rate):
        self.rate = rate

    def __rmul__(self, factor):
        return Schedule(factor * self.rate)

    def __call__(self, count):
        return self.rate + 0.0 * count


def test_every_optimizer_with_a_learning_rate_is_here():
    takes = {n for n in OPTIMIZERS if "learning_rate" in inspect.signature(getattr(optimizers, n)).parameters}
    assert takes <= {*MAKERS}
    assert {*MAKERS} - takes == {"polyak_sgd", "sam"}


def run(name, tx):
    """The loss after some steps on it, and the first update."""

    def step(carry, _):
        params, state = carry
        loss, g = jax.value_and_grad(square_sum)(params)
        g = jax.tree.map(lambda x: x[None], g) if name == "dpsgd" else g
        updates, state = tx.update(g, state, params, **extras(name, loss, square_sum))
        return (apply_updates(params, updates), state), updates

    (params, _), updates = jax.lax.scan(step, (PARAMS, tx.init(PARAMS)), length=STEPS)
    return square_sum(params), jax.tree.map(lambda u: u[0], updates)


@pytest.mark.parametrize("name", MAKERS)
def test_a_negative_rate_ascends_where_a_positive_one_descends(name):
    make = MAKERS[name]

    @jax.jit
    def runs(rate):
        ways = {"down": RATE, "up": -RATE, "traced": rate}
        if name not in NO_SCHEDULE:
            ways["schedule"] = Schedule(-RATE)
        return {way: run(name, make(rate)) for way, rate in ways.items()}

    found = runs(-RATE)
    before = float(square_sum(PARAMS))
    losses = {way: float(loss) for way, (loss, _) in found.items()}
    assert losses.pop("down") < before
    assert min(losses.values()) > before
    np.testing.assert_allclose([*losses.values()], losses["up"], rtol=1e-5)
    if name not in EVEN:
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
            found["up"][1],
            jax.tree.map(jnp.negative, found["down"][1]),
        )


def test_madgrad_climbs_as_it_descends_the_negated_function():
    up, down = optimizers.madgrad(-0.1), optimizers.madgrad(0.1)
    x, y = jnp.array([1.0, -2.0]), jnp.array([1.0, -2.0])
    state, other = up.init(x), down.init(y)
    for t in range(6):
        g = jnp.cos(t + jnp.arange(2.0))
        u, state = up.update(g, state, x)
        v, other = down.update(-g, other, y)
        np.testing.assert_allclose(u, v, rtol=1e-6)
        x, y = x + u, y + v


@pytest.mark.parametrize("make", [optimizers.sgd, optimizers.adam, optimizers.madgrad, optimizers.tiger])
def test_a_live_rate_may_become_negative(make):
    opt = Optimizer(make(0.1), {"x": jnp.array([1.0, -2.0])})
    losses = [5.0]
    for rate in (0.1, -0.5, 0.5):
        opt.hyperparameters["learning_rate"] = rate
        for _ in range(3):
            opt.step(jax.tree.map(lambda x: 2 * x, opt.params))
        losses.append(float(square_sum(opt.params)))
    assert losses[1] < losses[0]
    assert losses[2] > losses[1]


METHODS = {
    "extragradient": games.extragradient,
    "past_extragradient": games.past_extragradient,
    "anchored": games.anchored,
    "negative_momentum": games.negative_momentum,
    "nupi": games.nupi,
    "optimistic_gradient_descent": optimizers.optimistic_gradient_descent,
    "optimistic_adam": optimizers.optimistic_adam,
    "extragradient of Adam": lambda lr: games.extragradient(base=optimizers.adam(lr)),
    "past extragradient of Adam": lambda lr: games.past_extragradient(base=optimizers.adam(lr)),
}


@pytest.mark.parametrize("way", ["number", "schedule"])
@pytest.mark.parametrize("name", METHODS)
def test_methods_of_games_climb_as_they_descend_the_negated_function(name, way):
    def rate(lr):
        return lr if way == "number" else lambda count: lr / (1.0 + count)

    up, down = METHODS[name](rate(-0.1)), METHODS[name](rate(0.1))
    x = y = jnp.array([1.0, -2.0])
    state, other = up.init(x), down.init(y)
    for _ in range(6):
        u, state = up.update(jnp.sin(x) + x, state, x)
        v, other = down.update(-(jnp.sin(y) + y), other, y)
        x, y = x + u, y + v
        np.testing.assert_allclose(x, y, rtol=1e-6)
    assert float(square_sum(x)) > 5.0
