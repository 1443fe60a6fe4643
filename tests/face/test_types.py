"""What other packages do with Optax's types and transformations works with these: dispatch, copies, annotations."""

import copy
import functools
import inspect
import typing

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import nablax.optax

ALIASES = ("MaskOrFn", "OptState", "Params", "ScalarOrSchedule", "Schedule", "Updates")
TRANSFORMATIONS = {
    "scale_by_adam": lambda o: o.scale_by_adam(),
    "adam": lambda o: o.adam(0.1),
    "adamw of a schedule": lambda o: o.adamw(o.cosine_decay_schedule(0.1, 10)),
    "named_chain": lambda o: o.named_chain(("clip", o.clip(1.0)), ("sgd", o.sgd(0.1))),
    "inject_hyperparams": lambda o: o.inject_hyperparams(o.adam)(0.1),
    "partition": lambda o: o.partition({"a": o.sgd(0.1)}, "a"),
    "masked": lambda o: o.masked(o.adam(0.1), True),
    "apply_if_finite": lambda o: o.apply_if_finite(o.adam(0.1), 3),
    "identity": lambda o: o.identity(),
    "lbfgs": lambda o: o.lbfgs(linesearch=None),
}
PARAMS = {"w": jnp.arange(3.0), "b": jnp.zeros(())}
GRADS = jax.tree.map(jnp.ones_like, PARAMS)


@pytest.mark.parametrize("name", ALIASES)
def test_aliases_are_those_of_optax(name):
    mine, theirs = getattr(nablax.optax, name), getattr(optax, name)
    assert mine == theirs
    assert type(mine) is type(theirs)
    assert typing.get_origin(mine) is typing.get_origin(theirs)


def test_no_state_of_the_face_is_a_class_of_typing():
    """invrs-opt registers whatever is called `...State` and is a class."""
    mine, theirs = (
        {
            n: v
            for n, v in inspect.getmembers(o)
            if n.endswith("State") and n[0] != "_" and isinstance(v, type)
        }
        for o in (nablax.optax, optax)
    )
    assert set(mine) == set(theirs)
    assert all(issubclass(v, tuple) for v in mine.values())


def test_isinstance_of_the_protocol_of_schedules():
    schedule = nablax.optax.schedules.WrappedSchedule(nablax.optax.constant_schedule(0.1))
    assert isinstance(schedule, nablax.optax.schedules.StatefulSchedule)
    assert not isinstance(0.1, nablax.optax.schedules.StatefulSchedule)


def test_annotations_of_schedules_are_the_aliases():
    """Optax's tests ask the signature whether a learning rate may be a schedule."""
    asked, accepted = 0, (nablax.optax.ScalarOrSchedule, nablax.optax.Schedule)
    for module in ("", "contrib"):
        mine, theirs = (getattr(o, module) if module else o for o in (nablax.optax, optax))
        for name, function in inspect.getmembers(theirs, inspect.isfunction):
            for p in inspect.signature(function).parameters.values():
                if name[0] != "_" and p.annotation in (optax.ScalarOrSchedule, optax.Schedule):
                    found = inspect.signature(getattr(mine, name)).parameters[p.name].annotation
                    assert found in accepted, (name, p.name, found)
                    asked += 1
    assert asked > 40


@pytest.mark.parametrize("library", [optax, nablax.optax], ids=["optax", "nablax"])
@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_single_dispatch(name, library):
    """It asks for the class by `__class__`, which answers for Optax's where that is loaded."""

    @functools.singledispatch
    def kind(value):
        return "other"

    kind.register(library.GradientTransformation, lambda tx: "transformation")
    assert kind(TRANSFORMATIONS[name](nablax.optax)) == "transformation"


REBUILD = {
    "tree.map": lambda tx: jax.tree.map(lambda function: function, tx),
    "tree.map to others": lambda tx: jax.tree.map(functools.partial, tx),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "replace": lambda tx: tx._replace(update=functools.partial(tx.update)),
    "make": lambda tx: tx._make(tuple(tx)),
}


@pytest.mark.parametrize("name", TRANSFORMATIONS)
@pytest.mark.parametrize("how", REBUILD)
def test_a_rebuilt_transformation_works(how, name):
    """Equinox hands optimizers to jitted functions as trees; others copy them."""
    tx = TRANSFORMATIONS[name](nablax.optax)
    again = REBUILD[how](tx)
    wrapped = nablax.optax.chain(nablax.optax.identity(), again)
    expected, _ = tx.update(GRADS, tx.init(PARAMS), PARAMS)
    for other in (again, wrapped):
        found, _ = other.update(GRADS, other.init(PARAMS), PARAMS)
        jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert len(jax.tree.leaves(again)) == 2


def reached(value, seen):
    """The functions and trees that the closures of `value` hold, as equinox's closure_to_pytree walks them."""
    if inspect.isfunction(value):
        assert value not in seen, f"{value.__qualname__} holds itself"
        for cell in value.__closure__ or ():
            reached(cell.cell_contents, (*seen, value))
    else:
        for leaf in jax.tree.leaves(value):
            if inspect.isfunction(leaf):
                reached(leaf, seen)
            elif not isinstance(leaf, jax.Array | np.ndarray):
                hash(leaf)


@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_closures_are_trees_of_hashable_things(name):
    """optimistix makes a tree of an optimizer's closures: no closure holds itself, and what is no array is hashable."""
    tx = TRANSFORMATIONS[name](nablax.optax)
    reached(tx.init, ())
    reached(tx.update, ())


def test_a_state_that_went_through_json_is_a_list():
    tx = nablax.optax.adam(0.1)
    state = tx.init(PARAMS)
    found, _ = tx.update(GRADS, list(state), PARAMS)
    jax.tree.map(np.testing.assert_array_equal, found, tx.update(GRADS, state, PARAMS)[0])


@pytest.mark.parametrize("name", [n for n in TRANSFORMATIONS if n != "named_chain"])
def test_states_pass_through_flax_serialization_as_those_of_optax(name):
    mine, theirs = (TRANSFORMATIONS[name](o).init(PARAMS) for o in (nablax.optax, optax))
    mine_dict, theirs_dict = map(flax.serialization.to_state_dict, (mine, theirs))
    assert sorted(map(str, flax.traverse_util.flatten_dict(mine_dict))) == sorted(
        map(str, flax.traverse_util.flatten_dict(theirs_dict))
    )
    again = flax.serialization.from_bytes(mine, flax.serialization.to_bytes(mine))
    assert jax.tree.structure(again) == jax.tree.structure(mine)


def test_configuration_tools_find_the_arguments():
    for name in ("adam", "adamw", "sgd", "chain", "clip", "masked"):
        mine, theirs = getattr(nablax.optax, name), getattr(optax, name)
        names = inspect.getfullargspec(theirs).args
        assert inspect.getfullargspec(mine).args[: len(names)] == names
        assert mine.__code__.co_varnames[: mine.__code__.co_argcount] == tuple(
            inspect.getfullargspec(mine).args
        )
        assert mine.__name__ == name
        assert mine.__module__.startswith("nablax.")


@pytest.mark.parametrize("module", [nablax, nablax.optax], ids=["nablax", "nablax.optax"])
def test_hints_of_types_can_be_read(module):
    """As tools do that make options of a command, or check arguments."""
    asked = {name: f for name, f in vars(module).items() if name[0] != "_" and inspect.isfunction(f)}
    assert len(asked) > 100
    for function in asked.values():
        typing.get_type_hints(function)
