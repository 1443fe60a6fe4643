"""The line searches: their conditions, failures, dtypes and arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax.core import (
    ArgumentError,
    HyperparameterError,
    MissingParamsError,
    StructureError,
    apply_updates,
    chain,
)
from nablax.linesearch import (
    scale_by_backtracking_linesearch,
    scale_by_zoom_linesearch,
    value_and_grad_from_state,
)
from nablax.optimizers import sgd


def quartic(x):
    return jnp.sum(x**4) - 2 * jnp.sum(x)


def log_barrier(x):
    return jnp.sum(x - jnp.log(x))


W = jnp.array([3.0, 1.0])


def search(tx, f, w, u, state=None):
    value, grad = jax.value_and_grad(f)(w)
    return jax.jit(lambda u, s, w: tx.update(u, s, w, value=value, grad=grad, value_fn=f))(
        u, tx.init(w) if state is None else state, w
    )


@pytest.mark.parametrize("length", [1e-5, 1.0, 1e3])
@pytest.mark.parametrize("f", [quartic, log_barrier])
def test_a_zoom_step_meets_the_wolfe_conditions(f, length):
    with jax.enable_x64(True):
        w = jnp.array([3.0, 1.5])
        value, g = jax.value_and_grad(f)(w)
        u = -length * g
        tx = scale_by_zoom_linesearch(40, curv_rtol=0.2, slope_rtol=0.1, approx_dec_rtol=None)
        updates, state = search(tx, f, w, u)
        t, slope = float(state.learning_rate), float(u @ g)
        new = apply_updates(w, updates)
        assert f(new) <= value + 0.1 * t * slope
        assert abs(float(jax.grad(f)(new) @ u)) <= 0.2 * abs(slope)
        np.testing.assert_allclose(updates, t * u, rtol=1e-12)
        np.testing.assert_allclose(state.value, f(new), rtol=1e-12)
        np.testing.assert_allclose(state.grad, jax.grad(f)(new), rtol=1e-9)
        assert float(state.info.decrease_error) == float(state.info.curvature_error) == 0


def test_a_direction_of_ascent_moves_nothing_and_the_next_search_starts_anew():
    tx = scale_by_zoom_linesearch(8)
    g = jax.grad(quartic)(W)
    updates, state = search(tx, quartic, W, g)
    np.testing.assert_array_equal(updates, 0)
    assert float(state.value) == float(quartic(W))
    np.testing.assert_array_equal(state.grad, g)
    assert float(state.info.decrease_error) > 0
    updates, _ = search(tx, quartic, W, -g, state)
    assert quartic(W + updates) < quartic(W)


def test_a_search_that_ends_early_takes_its_best_step():
    with jax.enable_x64(True):
        w = jnp.array([3.0, 1.0])
        tx = scale_by_zoom_linesearch(6, curv_rtol=1e-9)
        updates, state = search(tx, quartic, w, -1e-3 * jax.grad(quartic)(w))
        assert float(state.info.decrease_error) == 0 < float(state.info.curvature_error)
        np.testing.assert_allclose(state.value, quartic(w + updates), rtol=1e-12)
        bounded = scale_by_zoom_linesearch(20, max_learning_rate=3.0)
        assert float(search(bounded, quartic, w, -1e-6 * jax.grad(quartic)(w))[1].learning_rate) == 3.0


@pytest.mark.parametrize("store", [False, True])
def test_backtracking_takes_the_first_rate_that_decreases_enough(store):
    tx = scale_by_backtracking_linesearch(30, decrease_factor=0.5, slope_rtol=0.3, store_grad=store)
    g = jax.grad(quartic)(W)
    updates, state = search(tx, quartic, W, -g)
    t = float(state.learning_rate)

    def enough(t):
        return quartic(W - t * g) <= quartic(W) - 0.3 * t * jnp.sum(g * g)

    assert enough(t)
    assert not enough(2 * t)
    assert t == 0.5 ** (int(state.info.num_linesearch_steps) - 1)
    np.testing.assert_allclose(updates, -t * g, rtol=1e-6)
    if store:
        np.testing.assert_allclose(state.grad, jax.grad(quartic)(W + updates), rtol=1e-5)
    else:
        assert state.grad is None


def test_backtracking_never_moves_to_where_the_function_is_undefined():
    tx = scale_by_backtracking_linesearch(3)
    updates, state = search(tx, log_barrier, W, jnp.array([-1e6, 0.0]))
    np.testing.assert_array_equal(updates, 0)
    assert float(state.value) == float(log_barrier(W))
    updates, state = search(tx, log_barrier, W, jnp.array([-1.0, 0.0]), state)
    assert float(state.learning_rate) == 1.0


def test_states_keep_their_dtypes_in_half_precision():
    def f(p):
        return sum(jnp.sum(x.astype(jnp.float32) ** 2) for x in p.values())

    params = {"a": jnp.ones(3, jnp.bfloat16), "b": jnp.ones(2)}
    for tx in (scale_by_zoom_linesearch(5), scale_by_backtracking_linesearch(5, store_grad=True)):
        tx = chain(sgd(1.0), tx)
        state = tx.init(params)
        value, grad = jax.value_and_grad(f)(params)
        updates, new = tx.update(grad, state, params, value=value, grad=grad, value_fn=f)
        assert jax.tree.map(jnp.result_type, new) == jax.tree.map(jnp.result_type, state)
        assert jax.tree.map(jnp.result_type, updates) == jax.tree.map(jnp.result_type, params)
        assert new[-1].learning_rate.dtype == jnp.float32
        np.testing.assert_allclose(new[-1].value, f(apply_updates(params, updates)), rtol=1e-6)


@pytest.mark.parametrize("make", [scale_by_backtracking_linesearch, scale_by_zoom_linesearch])
@pytest.mark.parametrize("factor", [1e-5, 0.5, 1, 2])
def test_any_positive_increase_factor(make, factor):
    """Optax's own tests use 1e-5. The backtracking search then starts at the last rate times the factor."""
    tx = make(20, increase_factor=factor, slope_rtol=0)
    g = jax.grad(quartic)(W)
    updates, state = search(tx, quartic, W, -1e-3 * g)
    assert quartic(W + updates) <= quartic(W)
    if make is scale_by_backtracking_linesearch:
        np.testing.assert_allclose(state.learning_rate, min(1.0, factor), rtol=1e-6)


def test_states_may_hold_pythons_numbers_and_no_backtracking_is_possible():
    for tx in (scale_by_backtracking_linesearch(0), scale_by_zoom_linesearch(5)):
        state = tx.init(W)._replace(learning_rate=1.0)
        updates, _ = search(tx, quartic, W, -1e-3 * jax.grad(quartic)(W), state)
        assert quartic(W + updates) < quartic(W)


def test_data_reach_the_function_by_name():
    def f(w, x, y):
        return jnp.sum((x @ w - y) ** 2)

    w, x, y = jnp.zeros(2), jnp.eye(2), jnp.array([1.0, 2.0])
    tx = chain(sgd(1.0), scale_by_zoom_linesearch(20))
    value, grad = jax.value_and_grad(f)(w, x, y)
    updates, _ = tx.update(grad, tx.init(w), w, value=value, grad=grad, value_fn=f, x=x, y=y)
    np.testing.assert_allclose(updates, y, atol=1e-5)


def test_errors_name_what_is_missing():
    tx = scale_by_zoom_linesearch(5)
    state = tx.init(W)
    full = {"value": 1.0, "grad": W, "value_fn": quartic}
    for name in full:
        given = {k: v for k, v in full.items() if k != name}
        for make in (tx, scale_by_backtracking_linesearch(5)):
            with pytest.raises(ArgumentError, match=rf"update\(\) needs {name} as a keyword"):
                make.update(W, make.init(W), W, **given)
    with pytest.raises(MissingParamsError, match="scale_by_zoom_linesearch reads the parameters"):
        tx.update(W, state, **full)
    with pytest.raises(ArgumentError, match=r"value must be a scalar, got shape \(2,\)"):
        tx.update(W, state, W, **{**full, "value": W})
    with pytest.raises(HyperparameterError, match="max_linesearch_steps must be at least 1, got 0"):
        scale_by_zoom_linesearch(0)
    with pytest.raises(HyperparameterError, match=r"decrease_factor must lie in \(0, 1\), got 1"):
        scale_by_backtracking_linesearch(5, decrease_factor=1.0)
    with pytest.raises(HyperparameterError, match="increase_factor must be positive, got 0"):
        scale_by_backtracking_linesearch(5, increase_factor=0)
    for each in (tx, scale_by_backtracking_linesearch(5)):
        with pytest.raises(ArgumentError, match=r"Unexpected keyword arguments.*\['batch', 'trian'\]"):
            each.update(W, each.init(W), W, **full, trian=True, batch=W)
    several = chain(scale_by_zoom_linesearch(5), scale_by_zoom_linesearch(5))
    for kind in (KeyError, StructureError):
        with pytest.raises(kind, match="holds several values or gradients"):
            value_and_grad_from_state(quartic)(W, state=several.init(W))
    with pytest.raises(ArgumentError, match="must be 'keep' or 'one', got 'two'"):
        scale_by_zoom_linesearch(5, initial_guess_strategy="two")
    with pytest.raises(StructureError, match="holds no value and gradient"):
        value_and_grad_from_state(quartic)(W, state=sgd(1.0).init(W))
    with pytest.raises(ArgumentError, match="call value_and_grad"):
        value_and_grad_from_state(quartic)(W)
