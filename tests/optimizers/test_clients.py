"""Training loops that nobody here wrote: flax nnx, flax's TrainState, equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from flax.training.train_state import TrainState

from nablax import optimizers as o

X = jnp.linspace(-1, 1, 12).reshape(6, 2)
Y = X @ jnp.array([[1.0], [-2.0]]) + 0.5


@pytest.mark.parametrize(
    "make", [lambda: o.adamw(0.1), lambda: o.muon(0.1), lambda: o.schedule_free_sgd(0.3)]
)
def test_flax_nnx_optimizer(make):
    model = nnx.Linear(2, 1, rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, make(), wrt=nnx.Param)

    def loss(model):
        return jnp.mean((model(X) - Y) ** 2)

    @nnx.jit
    def train(model, optimizer):
        value, grads = nnx.value_and_grad(loss)(model)
        optimizer.update(model, grads)
        return value

    first = float(train(model, optimizer))
    for _ in range(60):
        train(model, optimizer)
    assert float(loss(model)) < 0.1 * first


def test_flax_train_state():
    params = {"kernel": jnp.zeros((2, 1)), "bias": jnp.zeros(1)}

    def apply(params, x):
        return x @ params["kernel"] + params["bias"]

    state = TrainState.create(apply_fn=apply, params=params, tx=o.lamb(0.1))

    @jax.jit
    def train(state):
        value, grads = jax.value_and_grad(lambda p: jnp.mean((state.apply_fn(p, X) - Y) ** 2))(state.params)
        return state.apply_gradients(grads=grads), value

    state, first = train(state)
    for _ in range(80):
        state, value = train(state)
    assert float(value) < 0.1 * float(first)
    assert int(state.step) == 81


def test_equinox_loop_with_leaves_that_are_none():
    model = eqx.nn.MLP(2, "scalar", 4, 1, key=jax.random.key(0))
    tx = o.prodigy(estim_lr0=1e-2)
    state = tx.init(eqx.filter(model, eqx.is_inexact_array))

    @eqx.filter_jit
    def train(model, state):
        def loss(model):
            return jnp.mean((jax.vmap(model)(X) - Y[:, 0]) ** 2)

        value, grads = eqx.filter_value_and_grad(loss)(model)
        updates, state = tx.update(grads, state, eqx.filter(model, eqx.is_inexact_array))
        return eqx.apply_updates(model, updates), state, value

    model, state, first = train(model, state)
    for _ in range(100):
        model, state, value = train(model, state)
    assert float(value) < 0.2 * float(first)
