"""Masks: bool trees, prefixes and functions, decided once on the parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nablax import tree as nablax_tree
from nablax.core import ArgumentError, MaskedNode, MaskedState, MissingParamsError, StructureError
from nablax.optimizers import adam, adamw
from nablax.transforms import add_decayed_weights, centralize, masked

PARAMS = {"enc": {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}, "dec": [jnp.ones(3), jnp.ones(())]}
MASK = {"enc": {"w": True, "b": False}, "dec": [False, True]}


@pytest.mark.parametrize(
    "make", [lambda m: add_decayed_weights(0.5, m), lambda m: masked(add_decayed_weights(0.5), m)]
)
@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (MASK, [0.0, 0.5, 0.0, 0.5]),
        ({"enc": True, "dec": False}, [0.0, 0.0, 0.5, 0.5]),
        (lambda p: jax.tree.map(lambda x: x.ndim > 1, p), [0.0, 0.0, 0.0, 0.5]),
    ],
)
def test_masks_choose_leaves(make, mask, expected):
    tx = make(mask)
    state = tx.init(PARAMS)
    assert isinstance(state, MaskedState)
    u, after = tx.update(jax.tree.map(jnp.zeros_like, PARAMS), state, PARAMS)
    assert [float(x.max()) for x in jax.tree.leaves(u)] == expected
    assert jax.tree.structure(after) == jax.tree.structure(state)


def test_a_masked_chain_leaves_nothing_in_the_state_for_what_it_leaves_out():
    tx = masked(adam(0.1), MASK)
    state = tx.init(PARAMS)
    assert state.inner_state[0].mu["enc"]["b"] == MaskedNode()
    ref = optax.masked(optax.adam(0.1), MASK)
    expected, _ = ref.update(PARAMS, ref.init(PARAMS), PARAMS)
    u, after = tx.update(PARAMS, state, PARAMS)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), u, expected)
    assert jax.tree.structure(after) == jax.tree.structure(state)


@pytest.mark.parametrize("inner", [lambda: add_decayed_weights(0.5), lambda: adamw(0.1, weight_decay=0.5)])
def test_trap_a_mask_by_dtype_does_not_switch_when_gradients_have_another_dtype(inner):
    # Elsewhere a callable mask is asked again on the updates: bfloat16 gradients of float32 parameters turn it round.
    params = {"a": jnp.ones(2), "b": jnp.ones(2, jnp.bfloat16)}
    tx = masked(inner(), lambda t: jax.tree.map(lambda x: x.dtype == jnp.float32, t))
    grads = jax.tree.map(lambda p: jnp.zeros(p.shape, jnp.bfloat16), params)
    u, _ = tx.update(grads, tx.init(params), params)
    assert float(jnp.abs(u["a"]).max()) > 0
    np.testing.assert_array_equal(np.asarray(u["b"], np.float32), 0.0)


def test_a_mask_function_is_asked_once_at_init():
    asked = []

    def mask(tree):
        asked.append(tree)
        return True

    tx = masked(centralize(), mask)
    state = tx.init(PARAMS)
    for _ in range(3):
        _, state = tx.update(PARAMS, state)
    assert len(asked) == 1


def test_a_mask_function_that_never_saw_params_asks_for_them():
    def by_rank(tree):
        return jax.tree.map(lambda x: x.ndim > 1, tree)

    state = masked(centralize(), by_rank).init(PARAMS)
    fresh = masked(centralize(), by_rank)
    with pytest.raises(MissingParamsError, match="params=None"):
        fresh.update(PARAMS, state)
    fresh.update(PARAMS, state, PARAMS)


def test_two_parameter_trees_of_one_structure_keep_their_own_masks():
    tx = masked(add_decayed_weights(1.0), lambda t: jax.tree.map(lambda x: x.ndim > 1, t))
    a, b = {"x": jnp.ones((2, 2))}, {"x": jnp.ones(2)}
    states = tx.init(a), tx.init(b)
    for params, state, expected in zip((a, b), states, (1.0, 0.0), strict=True):
        u, _ = tx.update(jax.tree.map(jnp.zeros_like, params), state, params)
        assert float(u["x"].max()) == expected


def test_masks_that_do_not_fit_are_refused():
    with pytest.raises(StructureError, match="structure of the parameters"):
        masked(centralize(), {"other": True}).init(PARAMS)
    with pytest.raises(ArgumentError, match="Python bools, got float"):
        masked(centralize(), {"enc": 1.0, "dec": True}).init(PARAMS)


@pytest.mark.parametrize("map_params", [nablax_tree.map_params, optax.tree.map_params])
def test_map_params_reaches_the_parameters_in_a_masked_state(map_params):
    tx = masked(adam(0.1), MASK)
    state = map_params(tx, lambda x: x + 1, tx.init(PARAMS))
    np.testing.assert_array_equal(state.inner_state[0].mu["enc"]["w"], 1.0)
    assert state.inner_state[0].mu["enc"]["b"] == MaskedNode()
    assert int(state.inner_state[0].count) == 0
