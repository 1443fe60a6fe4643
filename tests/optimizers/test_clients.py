"""Training loops that nobody here wrote learn real digits: flax nnx's Optimizer, flax's TrainState, equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from flax.training.train_state import TrainState
from sklearn.datasets import load_digits

from nablax import optimizers as o
from nablax.losses import softmax_cross_entropy_with_integer_labels

STEPS = 30
OPTIMIZERS = {
    "adafactor": lambda: o.adafactor(0.3),
    "adamw": lambda: o.adamw(0.02),
    "lion": lambda: o.lion(0.01),
    "momentum": lambda: o.sgd(0.2, momentum=0.9),
    "muon": lambda: o.muon(0.1),
    "schedule_free": lambda: o.schedule_free_adamw(0.05),
}


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return jnp.asarray(data.data[:256] / 16.0, jnp.float32), jnp.asarray(data.target[:256])


def mean_loss(logits, labels):
    return jnp.mean(softmax_cross_entropy_with_integer_labels(logits, labels))


def nnx_optimizer(tx, x, y):
    model = nnx.Linear(64, 10, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)

    @nnx.jit
    def train(model, optimizer):
        value, grads = nnx.value_and_grad(lambda model: mean_loss(model(x), y))(model)
        optimizer.update(model, grads)
        return value

    return [float(train(model, optimizer)) for _ in range(STEPS)]


def flax_train_state(tx, x, y):
    params = {"kernel": 0.1 * jax.random.normal(jax.random.key(0), (64, 10)), "bias": jnp.zeros(10)}
    state = TrainState.create(apply_fn=lambda p, x: x @ p["kernel"] + p["bias"], params=params, tx=tx)

    @jax.jit
    def train(state):
        value, grads = jax.value_and_grad(lambda p: mean_loss(state.apply_fn(p, x), y))(state.params)
        return state.apply_gradients(grads=grads), value

    losses = []
    for _ in range(STEPS):
        state, value = train(state)
        losses.append(float(value))
    assert int(state.step) == STEPS
    return losses


def equinox_loop(tx, x, y):
    """The activations of the model are leaves, None in the gradients."""
    model = eqx.nn.MLP(64, 10, 0, depth=0, key=jax.random.key(0))
    state = tx.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def train(model, state):
        value, grads = eqx.filter_value_and_grad(lambda model: mean_loss(jax.vmap(model)(x), y))(model)
        updates, state = tx.update(grads, state, eqx.filter(model, eqx.is_inexact_array))
        return eqx.apply_updates(model, updates), state, value

    losses = []
    for _ in range(STEPS):
        model, state, value = train(model, state)
        losses.append(float(value))
    return losses


@pytest.mark.parametrize("client", [nnx_optimizer, flax_train_state, equinox_loop], ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_loss_falls(client, name, digits):
    losses = client(OPTIMIZERS[name](), *digits)
    assert 2.0 < losses[0] < 3.5  # about log 10: nothing is known yet
    assert losses[-1] < 0.35 * losses[0]
