"""`train_step`: loss, gradient, update and application in one program."""

import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import core
from nablax.core import HyperparameterError, StructureError
from nablax.optimizers import adam, sgd
from nablax.runtime import Optimizer, train_step

KEYS = jax.random.split(jax.random.key(0), 3)
PARAMS = {"w": jax.random.normal(KEYS[0], (4, 2)), "b": jnp.zeros(2)}
X, Y = jax.random.normal(KEYS[1], (8, 4)), jax.random.normal(KEYS[2], (8, 2))


def loss(params, x, y):
    return jnp.mean((x @ params["w"] + params["b"] - y) ** 2)


def fresh():
    return jax.tree.map(jnp.copy, PARAMS)


def by_hand(tx, n):
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(n):
        grads = jax.grad(loss)(params, X, Y)
        updates, state = tx.update(grads, state, params)
        params = core.apply_updates(params, updates)
    return params


def assert_close(a, b, rtol=1e-5):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-6), a, b)


@pytest.mark.parametrize("kw", [{}, {"microbatches": 4}, {"loss_scale": 1024.0}, {"skip_nonfinite": True}])
def test_it_trains_like_the_loop_by_hand(kw):
    tx = adam(0.05)
    step = train_step(loss, tx, **kw)
    params, state = fresh(), tx.init(PARAMS)
    for _ in range(4):
        params, state, metrics = step(params, state, X, Y)
    assert_close(params, by_hand(tx, 4))
    assert step.cache_size() == 1
    assert int(metrics["skipped"]) == 0


def test_metrics():
    tx = sgd(lambda count: 0.1 * (count + 1))
    step = train_step(loss, tx)
    params, state = fresh(), tx.init(PARAMS)
    grads = jax.grad(loss)(PARAMS, X, Y)
    norm = np.sqrt(sum(np.sum(np.square(g)) for g in jax.tree.leaves(grads)))
    params, state, metrics = step(params, state, X, Y)
    np.testing.assert_allclose(metrics["loss"], loss(PARAMS, X, Y), rtol=1e-6)
    np.testing.assert_allclose(metrics["gradient_norm"], norm, rtol=1e-5)
    np.testing.assert_allclose(metrics["update_norm"], 0.1 * norm, rtol=1e-5)
    np.testing.assert_allclose(metrics["learning_rate"], 0.1, rtol=1e-6)
    *_, metrics = step(params, state, X, Y)
    np.testing.assert_allclose(metrics["learning_rate"], 0.2, rtol=1e-6)


def test_hyperparameters_for_a_step_do_not_recompile():
    tx = adam(0.1)
    step = train_step(loss, tx, donate=False)
    state = tx.init(PARAMS)
    outs = [step(PARAMS, state, X, Y, hyperparams={"learning_rate": lr})[0]["b"] for lr in (0.1, 0.2, 0.4)]
    np.testing.assert_allclose(outs[1], 2 * outs[0], rtol=1e-5)
    np.testing.assert_allclose(outs[2], 4 * outs[0], rtol=1e-5)
    assert step.cache_size() == 1


def test_aux_comes_back_stacked_over_microbatches():
    def with_aux(params, x, y):
        return loss(params, x, y), {"mean": x.mean(), "n": x.shape[0]}

    tx = sgd(0.1)
    step = train_step(with_aux, tx, has_aux=True, microbatches=2, donate=False)
    *_, metrics = step(PARAMS, tx.init(PARAMS), X, Y)
    np.testing.assert_allclose(metrics["aux"]["mean"], [X[0::2].mean(), X[1::2].mean()], rtol=1e-6)
    np.testing.assert_array_equal(metrics["aux"]["n"], [4, 4])


def test_microbatches_add_up_in_float32():
    # 1 + 256 small parts: in bfloat16 the sum would stay at 1.
    w = jnp.zeros((), jnp.bfloat16)
    x = jnp.concatenate([jnp.array([512.0]), jnp.ones(511)]).astype(jnp.bfloat16)
    step = train_step(lambda w, x: (w * x).mean(), tx := sgd(1.0), microbatches=512, donate=False)
    out, *_ = step(w, tx.init(w), x)
    np.testing.assert_allclose(float(out), -1023 / 512, rtol=2**-8)


def test_a_loss_scale_saves_small_half_precision_gradients():
    w = jnp.ones((), jnp.float16)

    def tiny(w):
        return w.astype(jnp.float32) * 1e-9  # its float16 gradient is zero

    tx = sgd(1e6)
    lost, *_ = train_step(tiny, tx, donate=False)(w, tx.init(w))
    assert float(lost) == 1.0
    for parts in (1, 2):
        kept = train_step(lambda w, *x: tiny(w), tx, donate=False, loss_scale=2.0**16, microbatches=parts)
        out, _, metrics = kept(w, tx.init(w), jnp.ones(2))
        np.testing.assert_allclose(metrics["gradient_norm"], 1e-9, rtol=1e-2)
        np.testing.assert_allclose(float(out), 1.0 - 1e-3, rtol=2**-11)
        assert out.dtype == jnp.float16


def test_a_nan_skips_the_step():
    tx = adam(0.1)
    step = train_step(loss, tx, skip_nonfinite=True, donate=False)
    state = tx.init(PARAMS)
    params, after, metrics = step(PARAMS, state, X.at[0, 0].set(jnp.nan), Y)
    jax.tree.map(np.testing.assert_array_equal, (params, after), (PARAMS, state))
    assert int(metrics["skipped"]) == 1


def test_value_and_gradient_reach_the_transformation():
    import optax

    tx = optax.lbfgs()
    step = train_step(loss, tx, donate=False)
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(12):
        params, state, metrics = step(params, state, X, Y)
    a = jnp.concatenate([X, jnp.ones((8, 1))], axis=1)
    best = jnp.linalg.lstsq(a, Y)[0]
    np.testing.assert_allclose(metrics["loss"], jnp.mean((a @ best - Y) ** 2), rtol=1e-3)


def test_the_program_is_donated_and_its_outputs_line_up():
    tx = adam(0.1)
    text = train_step(loss, tx).lower(fresh(), tx.init(PARAMS), X, Y).compile().as_text()
    aliases = re.findall(
        r"\{(\d+)\}: \((\d+), \{\}", re.search(r"input_output_alias=\{(.*?)\}, entry", text).group(1)
    )
    assert aliases == [(str(i), str(i)) for i in range(2 + 1 + 4)]


def test_bad_arguments():
    with pytest.raises(HyperparameterError, match="microbatches must be at least 1, got 0"):
        train_step(loss, sgd(0.1), microbatches=0)
    with pytest.raises(HyperparameterError, match="loss_scale must be positive, got 0"):
        train_step(loss, sgd(0.1), loss_scale=0.0)
    tx = sgd(0.1)
    with pytest.raises(StructureError, match=r"microbatches=3 divides, got shape \(8, 4\)"):
        train_step(loss, tx, microbatches=3)(fresh(), tx.init(PARAMS), X, Y)


def test_new_shapes_leave_steps_as_fast():
    """A call of JAX that failed once ran in Python ever after."""

    def loss(w, x):
        return jnp.sum((w * x) ** 2)

    tx = adam(0.1)
    step, w = train_step(loss, tx), jnp.full(3, 1.0)  # weakly typed, as the second step's parameters are not
    state = tx.init(w)
    for x in (jnp.ones(3), jnp.ones((2, 3)), jnp.ones(3), jnp.ones((2, 3))):
        for _ in range(4):
            w, state, _ = step(w, state, x)
    assert step.cache_size() == 3
    calls = []
    sys.setprofile(
        lambda frame, event, _: calls.append(frame.f_code.co_filename) if event == "call" else None
    )
    try:
        for x in (jnp.ones(3), jnp.ones((2, 3))):
            del calls[:]
            w, state, _ = step(w, state, x)
            assert calls
            assert not [name for name in calls if "pjit" in name]
    finally:
        sys.setprofile(None)

    opt = Optimizer(tx, jnp.ones(3))
    for dtype in (jnp.float32, jnp.float16):
        for _ in range(8):
            opt.step(jnp.ones(3, dtype))
        assert opt._step.ready.direct


@pytest.mark.parametrize("around", [lambda f: f, jax.jit, jax.grad], ids=["nothing", "jit", "grad"])
def test_an_error_of_the_loss_is_its_own(around):
    def failing(w, x):
        raise ValueError("of my own")

    step, w = train_step(failing, tx := sgd(0.1), donate=False), jnp.ones(2)
    with pytest.raises(ValueError, match="of my own"):
        around(lambda w: step(w, tx.init(w), w)[2]["loss"])(w)
