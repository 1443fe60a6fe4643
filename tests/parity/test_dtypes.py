"""Dtypes of updates and of applied parameters, weak types included, as Optax's arithmetic gives them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nablax.optax as ours

BF16, F16, F32 = jnp.bfloat16, jnp.float16, jnp.float32
MAKERS = {
    "adam": lambda o: o.adam(0.1),
    "adamw": lambda o: o.adamw(0.1),
    "rmsprop": lambda o: o.rmsprop(0.1),
    "sgd": lambda o: o.sgd(0.1),
    "momentum": lambda o: o.sgd(0.1, momentum=0.9),
    "lion": lambda o: o.lion(0.1),
    "adagrad": lambda o: o.adagrad(0.1),
    "clipped adam": lambda o: o.chain(o.clip_by_global_norm(1.0), o.adam(0.1)),
    "clipped sgd": lambda o: o.chain(o.clip(1.0), o.clip_by_global_norm(1.0), o.sgd(0.1)),
    "mu_dtype": lambda o: o.adam(0.1, mu_dtype=F32),
    "yogi": lambda o: o.yogi(0.1),
}


def run(o, make, params, grads):
    tx = make(o)
    updates, _ = tx.update(grads, tx.init(params), params)
    return updates, o.apply_updates(params, updates)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize(
    ("param", "grad"), [(F32, BF16), (F32, F16), (BF16, BF16), (BF16, F32), (F32, F32), (F16, F16)]
)
def test_mixed_precision(name, param, grad):
    params, grads = jnp.array([1.0, -2.0], param), jnp.array([0.3, 0.7], grad)
    (u, p), (v, q) = (run(o, MAKERS[name], params, grads) for o in (ours, optax))
    assert p.dtype == q.dtype
    if name == "adagrad" and param != F32:
        return  # its accumulators are float32, in Optax like params
    assert u.dtype == v.dtype
    # Optax squares gradients in 16 bits.
    np.testing.assert_allclose(u.astype(F32), v.astype(F32), rtol=1e-2)


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "sgd", "momentum"])
def test_float32_parameters_get_the_digits_of_float32_from_bfloat16_gradients(name):
    params, grads = jnp.linspace(0.5, 1.5, 7), jnp.linspace(0.1, 0.9, 7).astype(BF16)
    updates, _ = run(ours, MAKERS[name], params, grads)
    wide, _ = run(ours, MAKERS[name], params, grads.astype(F32))
    if name == "sgd":  # as in Optax: no parameter and no moment enters
        assert updates.dtype == BF16
        wide = wide.astype(BF16)
    np.testing.assert_array_equal(updates, wide)


@pytest.mark.parametrize("name", ["adam", "sgd", "momentum"])
def test_python_numbers_stay_weak(name):
    params, grads = {"a": 1.0, "b": jnp.array([1.0])}, {"a": 0.5, "b": jnp.array([0.5])}
    (u, p), (v, q) = (run(o, MAKERS[name], params, grads) for o in (ours, optax))
    for mine, theirs in ((u, v), (p, q)):
        for x, y in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
            assert jnp.asarray(x).weak_type >= jnp.asarray(y).weak_type  # Optax makes some of them strong
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), mine, theirs)


def test_float32_trees_stay_float32_with_x64():
    with jax.enable_x64(True):
        params, grads = jnp.array([1.0], F32), jnp.array([0.5], F32)
        for name in MAKERS:
            tx = MAKERS[name](ours)
            updates, state = tx.update(grads, tx.init(params), params)
            wide = [x for x in jax.tree.leaves((updates, state)) if x.dtype == jnp.float64]
            assert not wide, name


@pytest.mark.parametrize(
    "make",
    [
        lambda o: o.sgd(jnp.array([0.1])),
        lambda o: o.sgd(jnp.array([0.1, 0.2, 0.3])),
        lambda o: o.adam(jnp.array([0.1, 0.2, 0.3])),
        lambda o: o.scale(jnp.array([1.0, -1.0, 2.0])),
        lambda o: o.clip(jnp.array([0.1, 0.2, 0.3])),
        lambda o: o.sgd(0.1, momentum=0.9, nesterov=1),
        lambda o: o.sgd(0.1, momentum=False),
        lambda o: o.sgd(0.1, momentum=-0.5),
        lambda o: o.sgd(-0.1),
        lambda o: o.adam(-0.1, nesterov=0),
        lambda o: o.adamw(0.1, weight_decay=-0.1),
        lambda o: o.adamw(1, b1=0, weight_decay=0),
        lambda o: o.apply_if_finite(o.sgd(0.1), 1e6),
        lambda o: o.masked(o.sgd(0.1), 1),
        lambda o: o.scale_by_learning_rate(-0.1),
        lambda o: o.sgd(lambda count: 0.1),
        lambda o: o.sgd(np.float64(0.1)),
        lambda o: o.chain(o.trace(decay=0.0), o.scale(-1)),
    ],
)  # fmt: skip
def test_numbers_as_programs_give_them(make):
    params, grads = jnp.array([1.0, -2.0, 0.5]), jnp.array([0.3, 0.7, -0.1])
    (u, p), (v, q) = (run(o, make, params, grads) for o in (ours, optax))
    np.testing.assert_allclose(u, v, rtol=1e-6)
    np.testing.assert_allclose(p, q, rtol=1e-6)


def test_a_rate_of_shape_one_steps_scalars():
    params, grads = {"a": jnp.array(1.0)}, {"a": jnp.array(0.5)}
    updates, new = run(ours, lambda o: o.sgd(jnp.array([0.1])), params, grads)
    assert updates["a"].shape == new["a"].shape == ()


@pytest.mark.parametrize(
    "make", [lambda o: o.adamw(0.1), lambda o: o.masked(o.adam(0.1), True), lambda o: o.sgd(0.1)]
)
def test_a_list_where_a_tuple_was(make):
    params = {"w": jnp.ones(2)}
    tx = ours.chain(ours.clip(1.0), make(ours))
    state = tx.init(params)
    expected = tx.update(params, state, params)
    updates, after = tx.update(params, list(state), params)
    jax.tree.map(np.testing.assert_array_equal, (updates, after), expected)
