"""Partition by labels and by paths, masks, and frozen leaves."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nablax import tree
from nablax.core import ArgumentError, GradientTransformation, StructureError, chain
from nablax.transforms import (
    freeze,
    masked,
    partition,
    partition_by_path,
    scale,
    selective_transform,
    trace,
)


def by_dtype(params):
    return jax.tree.map(lambda p: "low" if p.dtype == jnp.bfloat16 else "high", params)


def test_trap_labels_are_resolved_on_params_and_do_not_switch_in_the_run():
    params = {"a": jnp.ones(1, jnp.bfloat16), "b": jnp.ones(1)}
    tx = partition({"low": scale(2.0), "high": scale(3.0)}, by_dtype)
    state = tx.init(params)
    grads = {"a": jnp.ones(1), "b": jnp.ones(1)}  # float32 gradients of a bfloat16 parameter
    updates, _ = tx.update(grads, state, params)
    assert [float(updates[k][0]) for k in "ab"] == [2.0, 3.0]
    tx = masked(scale(2.0), lambda p: jax.tree.map(lambda x: x.dtype == jnp.bfloat16, p))
    updates, _ = tx.update(grads, tx.init(params), params)
    assert [float(updates[k][0]) for k in "ab"] == [2.0, 1.0]


def test_labels_without_parameters_come_from_the_updates():
    tx = partition({"low": scale(2.0), "high": scale(3.0)}, by_dtype)
    state = optax.partition({"low": optax.scale(2.0), "high": optax.scale(3.0)}, by_dtype).init(jnp.ones(1))
    np.testing.assert_array_equal(tx.update(jnp.ones(1), state)[0], [3.0])
    np.testing.assert_array_equal(tx.update(jnp.ones(1), state, jnp.ones(1))[0], [3.0])


def test_prefixes_lists_and_none_leaves():
    tx = partition({"a": scale(2.0), "b": scale(3.0)}, {"x": "a", "y": ["b", "a", None]})
    params = {"x": [jnp.ones(1), (jnp.ones(1),)], "y": [jnp.ones(1), {"z": jnp.ones(1)}, None]}
    updates, _ = tx.update(params, tx.init(params))
    assert [float(u[0]) for u in jax.tree.leaves(updates)] == [2.0, 2.0, 3.0, 2.0]
    assert jax.tree.structure(updates) == jax.tree.structure(params)


def test_a_label_without_transformation():
    with pytest.raises(
        StructureError, match=r"partition: the label 'c' of \['y'\] has no transformation; there are 'a'"
    ):
        partition({"a": scale(1.0)}, {"x": "a", "y": "c"}).init({"x": jnp.ones(1), "y": jnp.ones(1)})
    with pytest.raises(ArgumentError, match="partition: transforms must be a dict"):
        partition([scale(1.0)], "a")
    with pytest.raises(StructureError, match="partition: the labels must be a tree with the structure"):
        partition({"a": scale(1.0)}, ["a"]).init({"x": jnp.ones(1)})


def times_value(updates, state, params=None, *, value):
    return jax.tree.map(lambda g, v: g * v, updates, value), state


def test_extra_arguments_are_split_where_asked():
    inner = GradientTransformation(lambda params: (), times_value)
    grads = {"x": jnp.ones(1), "y": jnp.ones(1)}
    for tx in (
        partition({"a": inner, "b": scale(5.0)}, {"x": "a", "y": "b"}, mask_compatible_extra_args=True),
        chain(masked(inner, {"x": True, "y": False}, mask_compatible_extra_args=True), scale(1.0)),
    ):
        updates, _ = tx.update(
            grads, tx.init(grads), None, value={"x": jnp.full(1, 3.0), "y": jnp.full(1, 4.0)}
        )
        assert float(updates["x"][0]) == 3.0


def test_map_params_finds_the_parameters_of_each_part():
    params = {"x": jnp.ones(1), "y": jnp.ones(2)}
    for tx in (
        partition({"a": trace(0.9), "b": scale(1.0)}, {"x": "a", "y": "b"}),
        partition_by_path({"x": trace(0.9), "y": scale(1.0)}),
        masked(trace(0.9), {"x": True, "y": False}),
        selective_transform(trace(0.9), freeze_mask={"x": False, "y": True}),
    ):
        named = tree.map_params(tx, lambda leaf, name: name, tx.init(params), {"x": "X", "y": "Y"})
        assert jax.tree.leaves(named) == ["X"]


def params_of_a_model():
    return {"dense": {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}, "norm": [jnp.ones(3)]}


def test_by_path_takes_the_first_rule_that_fits():
    tx = partition_by_path({"bias$": scale(2.0), "^dense/": scale(3.0), ".*": scale(5.0)})
    params = params_of_a_model()
    updates, state = jax.jit(tx.update)(params, tx.init(params))
    assert tx.assignments(params) == {"dense/bias": "bias$", "dense/kernel": "^dense/", "norm/0": ".*"}
    assert [float(u.max()) for u in jax.tree.leaves(updates)] == [2.0, 3.0, 5.0]
    assert set(state.inner_states) == {"bias$", "^dense/", ".*"}


def test_by_path_describes(capsys):
    tx = partition_by_path({"bias": scale(2.0), ".*": scale(5.0)})
    tx.describe(jax.eval_shape(params_of_a_model))
    assert capsys.readouterr().out.splitlines() == [
        "'bias':",
        "  dense/bias    float32[3]",
        "'.*':",
        "  dense/kernel  float32[2,3]",
        "  norm/0        float32[3]",
    ]


def test_by_path_describes_tensors(capsys):
    from nablax import autograd

    params = {
        "w": autograd.tensor([1.0, 2.0], requires_grad=True),
        "b": autograd.tensor(1.0, requires_grad=True),
    }
    partition_by_path({"w": scale(2.0)}, default=scale(1.0)).describe(params)
    assert capsys.readouterr().out.split() == ["'w':", "w", "float32[2]", "'default':", "b", "float32[]"]


def test_by_path_errors():
    params = params_of_a_model()
    with pytest.raises(StructureError, match=r"no rule takes norm/0; the rules are '\^dense'.*default="):
        partition_by_path({"^dense": scale(1.0)}).init(params)
    with pytest.raises(StructureError, match=r"the rule 'bias' takes no leaf\. The paths are dense/bias"):
        partition_by_path({".*": scale(1.0), "bias": scale(1.0)}).init(params)
    with pytest.raises(ArgumentError, match=r"'\(' is not a regular expression"):
        partition_by_path({"(": scale(1.0)})


def test_freeze_takes_all_kinds_of_masks():
    grads = {"a": jnp.ones(1), "b": jnp.ones(1)}
    masks = [
        ({"a": True, "b": False}, [0.0, 1.0]),
        ({"a": jnp.array(True), "b": np.array(False)}, [0.0, 1.0]),
        (True, [0.0, 0.0]),
        (jnp.array(False), [1.0, 1.0]),
        (lambda p: {"a": False, "b": True}, [1.0, 0.0]),
    ]
    for mask, expected in masks:
        for tx in (freeze(mask), selective_transform(scale(1.0), freeze_mask=mask)):
            updates, _ = tx.update(grads, tx.init(grads))
            assert [float(updates[k][0]) for k in "ab"] == expected
    with pytest.raises(ArgumentError, match="freeze: mask must be .* bools, got 'yes'"):
        freeze({"a": "yes", "b": False}).init(grads)
