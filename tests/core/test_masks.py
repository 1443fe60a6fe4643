"""Masks: bool trees, prefixes and functions, decided once on the parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nablax import tree as nablax_tree
from nablax.core import ArgumentError, MaskedNode, MaskedState, StructureError, chain, set_to_zero
from nablax.optimizers import adam, adamw
from nablax.transforms import add_decayed_weights, centralize, freeze, masked, partition

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


def test_a_new_transformation_continues_a_state_whose_init_it_has_not_seen():
    def by_rank(tree):
        return jax.tree.map(lambda x: x.ndim > 1, tree)

    def make():
        return masked(chain(centralize(), adam(0.1)), by_rank)

    old = make()
    state = old.init(PARAMS)
    expected, _ = old.update(PARAMS, state, PARAMS)
    for params in (PARAMS, None):  # without parameters, the updates say where the mask is
        updates, _ = make().update(PARAMS, state, params)
        jax.tree.map(np.testing.assert_array_equal, updates, expected)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("make", [
    lambda fn: masked(adam(0.1), fn),
    lambda fn: masked(centralize(), fn),
    lambda fn: adamw(0.1, mask=fn),
    lambda fn: partition({True: adam(0.1), False: set_to_zero()}, fn),
    lambda fn: freeze(fn),
])  # fmt: skip
def test_masks_that_depend_on_values_are_refused_alike(make, jit):
    for mask in (
        lambda tree: jax.tree.map(lambda x: jnp.sum(x) > 0, tree),
        lambda tree: jax.tree.map(lambda x: bool(jnp.sum(x) > 0), tree),
        lambda tree: jax.tree.map(lambda x: float(x.max()) > 0, tree),
    ):
        tx = make(mask)
        init = jax.jit(tx.init) if jit else tx.init
        with pytest.raises(ArgumentError, match="must not depend on the values of parameters or gradients"):
            init(PARAMS)


def test_masks_of_zeros_ones_and_arrays_are_taken():
    ones = jax.tree.map(lambda x: 1, PARAMS)
    for mask in (
        ones,
        jax.tree.map(jnp.array, jax.tree.map(bool, ones)),
        lambda t: jax.tree.map(jnp.array, True),
    ):
        updates, _ = masked(centralize(), mask).update(PARAMS, masked(centralize(), mask).init(PARAMS))
        jax.tree.map(np.testing.assert_array_equal, updates, centralize().update(PARAMS, ())[0])


@pytest.mark.parametrize(
    "mask", [{"enc": False, "dec": True}, {"enc": {"w": True, "b": False}, "dec": False}]
)
def test_masked_nodes_stand_where_a_mask_stops_as_in_optax(mask):
    ours, theirs = masked(adam(0.1), mask), optax.masked(optax.adam(0.1), mask)
    a, b = ours.init(PARAMS), theirs.init(PARAMS)
    assert jax.tree.map(jnp.shape, a.inner_state[0].mu) == jax.tree.map(
        jnp.shape,
        jax.tree.map(
            lambda x: MaskedNode() if isinstance(x, optax.MaskedNode) else x,
            b.inner_state[0].mu,
            is_leaf=lambda x: isinstance(x, optax.MaskedNode),
        ),
    )
    updates, _ = ours.update(PARAMS, b, PARAMS)  # a state that Optax made
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6),
        updates, theirs.update(PARAMS, b, PARAMS)[0],
    )  # fmt: skip


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
    with pytest.raises(ArgumentError, match="bools, got float"):
        masked(centralize(), {"enc": 1.5, "dec": True}).init(PARAMS)


@pytest.mark.parametrize("map_params", [nablax_tree.map_params, optax.tree.map_params])
def test_map_params_reaches_the_parameters_in_a_masked_state(map_params):
    tx = masked(adam(0.1), MASK)
    state = map_params(tx, lambda x: x + 1, tx.init(PARAMS))
    np.testing.assert_array_equal(state.inner_state[0].mu["enc"]["w"], 1.0)
    assert state.inner_state[0].mu["enc"]["b"] == MaskedNode()
    assert int(state.inner_state[0].count) == 0
