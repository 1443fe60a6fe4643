"""map_params: which leaves of a state correspond to parameters, for our inits and for Optax's."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import pytest
from jax.sharding import PartitionSpec as P

from nablax import tree

PARAMS = {"w": jnp.ones((2, 3)), "b": jnp.ones(3), "none": None}
SPECS = {"w": P("x", "y"), "b": P("y"), "none": None}
MASK = {"w": True, "b": False, "none": None}


class State(NamedTuple):
    count: Any
    mu: Any
    nu: Any


def init(params):
    return State(
        jnp.zeros((), jnp.int32),
        tree.cast(tree.zeros_like(params), jnp.bfloat16),
        (tree.full_like(params, 0.1, jnp.float32), tree.cast_like(tree.ones_like(params), params)),
    )


def marked(initable, params=PARAMS, *, rest=(), **kwargs):
    """Each leaf of the state replaced by "p" if it belongs to the parameters, else by "-"."""
    init_of = getattr(initable, "init", initable)
    return tree.map_params(
        initable, lambda *_: "p", init_of(params), *rest, transform_non_params=lambda _: "-", **kwargs
    )


def test_our_tree_functions_keep_the_placeholder():
    ours = {"w": "p", "b": "p", "none": None}
    assert marked(init) == State("-", ours, (ours, ours))


def test_other_leaves_stay_unless_transformed():
    state = init(PARAMS)
    mapped = tree.map_params(init, lambda x: x + 1, state)
    assert mapped.count is state.count
    assert bool((mapped.mu["w"] == 1).all())


def test_partition_specs_over_a_state():
    specs = tree.map_params(
        init, lambda _, spec: spec, init(PARAMS), SPECS, transform_non_params=lambda _: P()
    )
    assert specs == State(P(), SPECS, (SPECS, SPECS))


def test_optax_adamw():
    adam, *others = marked(optax.adamw(1e-3), rest=(SPECS,))
    assert adam == ("-", {"w": "p", "b": "p", "none": None}, {"w": "p", "b": "p", "none": None})
    assert jax.tree.leaves(others) == []


@pytest.mark.parametrize("mask", [MASK, lambda params: jax.tree.map(lambda x: x.ndim > 1, params)])
@pytest.mark.parametrize("rest", [(), (SPECS,)])
def test_optax_masked_keeps_masked_leaves(mask, rest):
    adam = marked(optax.masked(optax.adam(1e-3), mask), rest=rest).inner_state[0]
    assert adam.count == "-"
    assert adam.mu == adam.nu == {"w": "p", "b": optax.MaskedNode(), "none": None}


@pytest.mark.parametrize("mask", [MASK, lambda params: jax.tree.map(lambda x: x.ndim > 1, params)])
def test_masked_leaves_can_be_mapped_too(mask):
    tx = optax.masked(optax.adam(1e-3), mask)
    mapped = tree.map_params(
        tx, lambda _, spec: spec, tx.init(PARAMS), SPECS, is_leaf=lambda x: isinstance(x, optax.MaskedNode)
    )
    assert mapped.inner_state[0].mu == SPECS


@pytest.mark.parametrize(
    "tx",
    [
        optax.inject_hyperparams(optax.adam)(1e-3),
        optax.MultiSteps(optax.adam(1e-3), 2),
        optax.partition({"x": optax.adam(1.0), "y": optax.sgd(1.0, 0.9)}, {"w": "x", "b": "y", "none": None}),
        optax.contrib.schedule_free_adamw(),
        optax.adafactor(1e-3),
    ],
    ids=["inject", "multisteps", "partition", "schedule_free", "adafactor"],
)
def test_agrees_with_optax(tx):
    theirs = optax.tree.map_params(tx, lambda _: "p", tx.init(PARAMS), transform_non_params=lambda _: "-")
    assert marked(tx) == theirs
    assert marked(tx, rest=(SPECS,)) == theirs


def test_params_of_one_array():
    assert marked(init, jnp.ones(2)) == State("-", "p", ("p", "p"))


def test_an_init_that_looks_into_the_tree_gets_one_placeholder_a_leaf():
    def init_of_list(params):
        return {
            "first": params["w"],
            "all": tuple(jax.tree.leaves(params, is_leaf=tree.is_params_placeholder)),
        }

    assert marked(init_of_list, rest=(SPECS,)) == {"first": "p", "all": ("p", "p")}
    specs = tree.map_params(init_of_list, lambda _, spec: spec, init_of_list(PARAMS), SPECS)
    assert specs == {"first": P("x", "y"), "all": (P("y"), P("x", "y"))}


def test_an_init_that_takes_no_placeholder_raises_its_own_error():
    def stubborn(params):
        return params["w"].shape[0]

    with pytest.raises(TypeError, match="placeholder has no keys"):
        tree.map_params(_refusing, lambda x: x, {"w": 1.0})
    with pytest.raises((TypeError, AttributeError)):
        tree.map_params(stubborn, lambda x: x, 2)


def _refusing(params):
    raise TypeError("placeholder has no keys")


def test_a_state_of_another_form_is_refused():
    with pytest.raises(ValueError, match=r"tree.map_params: the state does not have the form"):
        tree.map_params(init, lambda x: x, {"count": 0})


def test_placeholders_are_told_from_parameters():
    seen = []
    for map_params in (tree.map_params, optax.tree.map_params):
        map_params(lambda params: seen.append(params) or {"mu": params}, lambda x: x, {"mu": 1.0})
    assert all(map(tree.is_params_placeholder, seen))
    for params in (None, {}, [], (), jnp.ones(2), 1.0, PARAMS, optax.MaskedNode()):
        assert not tree.is_params_placeholder(params)


def test_a_laid_out_state_serves_as_out_shardings():
    mesh = jax.make_mesh((1, 1), ("x", "y"))
    specs = tree.map_params(
        init, lambda _, spec: spec, jax.eval_shape(init, PARAMS), SPECS, transform_non_params=lambda _: P()
    )
    shardings = jax.tree.map(lambda spec: jax.sharding.NamedSharding(mesh, spec), specs)
    state = jax.jit(init, out_shardings=shardings)(PARAMS)
    assert state.mu["w"].sharding.spec == P("x", "y")
