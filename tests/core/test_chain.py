"""Chains, their states, and company from Optax in both directions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nablax.core as core
from nablax.optimizers import adam, adamw
from nablax.transforms import clip, clip_by_global_norm, scale

PARAMS = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([0.1, -0.1])}
GRADS = {"w": jnp.array([[0.3, 5.0], [-0.2, 0.7]]), "b": jnp.array([-1.0, 0.4])}


def assert_same(a, b, rtol=1e-6):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol), a, b)


def steps(tx, n=4, **extra):
    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(n):
        updates, state = tx.update(GRADS, state, params, **extra)
        params = core.apply_updates(params, updates)
    return params


def test_state_is_the_tuple_of_states_also_when_nested():
    tx = core.chain(clip(1.0), core.chain(scale(2.0), adam(0.1)))
    state = tx.init(PARAMS)
    _, after = tx.update(GRADS, state)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert type(state) is tuple
    assert len(state[1]) == 2
    assert int(after[1][1][0].count) == 1


def test_an_empty_chain_does_nothing():
    tx = core.chain()
    assert tx.update(GRADS, tx.init(PARAMS)) == (GRADS, ())


def test_named_chain_has_its_state_by_name():
    tx = core.named_chain(("first", clip(0.5)), ("second", adam(0.1)))
    state = tx.init(PARAMS)
    assert list(state) == ["first", "second"]
    updates, after = tx.update(GRADS, state)
    plain = core.chain(clip(0.5), adam(0.1))
    assert_same(updates, plain.update(GRADS, plain.init(PARAMS))[0])
    assert jax.tree.structure(after) == jax.tree.structure(state)


def test_parts_of_optax_work_in_our_chain():
    ours = core.chain(clip(0.5), optax.scale_by_adam(), scale(-0.1))
    theirs = optax.chain(optax.clip(0.5), optax.scale_by_adam(), optax.scale(-0.1))
    assert_same(steps(ours), steps(theirs))


def test_our_parts_work_in_a_chain_of_optax():
    ours = optax.chain(optax.clip(0.5), adamw(0.1))
    theirs = optax.chain(optax.clip(0.5), optax.adamw(0.1))
    assert_same(steps(ours), steps(theirs))
    wrapped = optax.apply_if_finite(adam(0.1), 3)
    assert_same(steps(wrapped), steps(optax.adam(0.1)))


def by_value():
    def rule(g, *, value):
        return g * value

    return core.leafwise(rule, name="by_value", extra=("value",))


def test_extra_arguments_reach_our_parts_inside_optax_and_its_parts_inside_ours():
    inside_optax = optax.chain(optax.clip(10.0), by_value())
    updates, _ = inside_optax.update(GRADS, inside_optax.init(PARAMS), PARAMS, value=2.0)
    np.testing.assert_allclose(updates["b"], 2 * GRADS["b"])

    ours = core.chain(clip(10.0), optax.polyak_sgd())
    theirs = optax.chain(optax.clip(10.0), optax.polyak_sgd())
    assert_same(steps(ours, value=0.7), steps(theirs, value=0.7))


def test_extra_arguments_are_recognised_by_behaviour():
    class Plain:
        def init(self, params):
            return ()

        def update(self, updates, state, params=None, *, value):
            return jax.tree.map(lambda g: value * g, updates), state

    tx = core.chain(scale(1.0), Plain())
    updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS, value=3.0, other=1)
    np.testing.assert_allclose(updates["b"], 3 * GRADS["b"])
    nothing = core.with_extra_args_support(optax.clip(1.0))
    nothing.update(GRADS, nothing.init(PARAMS), None, value=1.0)


def test_what_is_no_transformation_is_refused():
    with pytest.raises(core.ArgumentError, match="functions init and update, got int: 3"):
        core.chain(3)
    with pytest.raises(core.ArgumentError, match="pair"):
        core.named_chain(clip(1.0))
    with pytest.raises(core.ArgumentError, match="distinct"):
        core.named_chain(("a", clip(1.0)), ("a", clip(1.0)))


def test_a_state_that_is_not_the_chains_is_refused():
    tx = core.chain(clip(1.0), adam(0.1))
    with pytest.raises(
        core.StructureError, match=r"expected the states of 2 transformations \(clip, adam\), got tuple"
    ):
        tx.update(GRADS, tx.init(PARAMS)[:1])


def test_a_measuring_rule_starts_a_pass_and_sees_what_came_before():
    tx = core.chain(scale(3.0), clip_by_global_norm(1.0), scale(2.0))
    assert [len(s) for s in core.body_of(tx).segments] == [1, 2]
    updates, _ = tx.update(GRADS, tx.init(PARAMS))
    np.testing.assert_allclose(optax.tree.norm(updates), 2.0, rtol=1e-6)


def test_updates_scan_and_vmap():
    tx = adamw(0.1)

    def body(carry, g):
        params, state = carry
        updates, state = tx.update(g, state, params)
        return (core.apply_updates(params, updates), state), None

    many = jax.tree.map(lambda g: jnp.stack([g] * 4), GRADS)
    (scanned, _), _ = jax.lax.scan(body, (PARAMS, tx.init(PARAMS)), many)
    assert_same(scanned, steps(tx))
    batched = jax.tree.map(lambda p: jnp.stack([p, 2 * p]), PARAMS)
    out = jax.vmap(lambda p: tx.update(p, tx.init(p), p)[0])(batched)
    alone = tx.update(PARAMS, tx.init(PARAMS), PARAMS)[0]
    assert_same(jax.tree.map(lambda x: x[0], out), alone)


def test_gradients_flow_through_an_update():
    def after(lr):
        tx = adamw(lr)
        updates, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
        return core.apply_updates(PARAMS, updates)["b"].sum()

    eps = 1e-2
    slope = (after(0.1 + eps) - after(0.1 - eps)) / (2 * eps)
    np.testing.assert_allclose(jax.grad(after)(0.1), slope, rtol=1e-3, atol=1e-6)
