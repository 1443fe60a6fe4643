"""Finding and replacing values by name in nested states."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

from nablax import tree


class Inner(NamedTuple):
    count: Any
    mu: Any


class Outer(NamedTuple):
    inner: Any
    count: Any


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Record:
    mu: Any
    rate: Any


STATE = ({"mu": 1, "list": [Inner(0, {"w": 2.0})]}, Outer(Inner(3, 4), 5), Record(8, Inner(6, 7)), None)


def found(key, filtering=None):
    return {tree.path_str(path): value for path, value in tree.get_all_with_path(STATE, key, filtering)}


def test_keys_fields_and_attributes_are_found_from_the_root_downwards():
    assert list(found("mu").items()) == [
        ("[0]['mu']", 1),
        ("[1].inner.mu", 4),
        ("[2].mu", 8),
        ("[0]['list'][0].mu", {"w": 2.0}),
        ("[2].rate.mu", 7),
    ]
    assert found("w") == {"[0]['list'][0].mu['w']": 2.0}


def test_classes_are_found_by_name_once_each():
    assert list(found("Inner")) == ["[0]['list'][0]", "[1].inner", "[2].rate"]
    assert found("Outer") == {"[1]": STATE[1]}
    assert found("Record") == {"[2]": STATE[2]}


def test_matches_inside_matches_are_listed():
    assert list(tree.get_all_with_path({"a": {"a": 1}}, "a"))[1][1] == 1


def test_none_and_empty_values_are_found():
    assert tree.get_all_with_path({"a": None}, "a")[0][1] is None
    assert tree.get_all_with_path({"a": {}}, "a")[0][1] == {}


def test_sequence_positions_are_no_names_but_integer_keys_are():
    assert tree.get_all_with_path({7: [4, 5]}, 0) == []
    assert tree.get({7: [4, 5]}, 7) == [4, 5]


def test_paths_know_the_class_of_a_named_tuple():
    def in_outer(path, value):
        return path[-1] == tree.NamedTupleKey("Outer", "count")

    assert tree.get(STATE, "count", filtering=in_outer) == 5
    path = tree.get_all_with_path(STATE, "count", in_outer)[0][0]
    assert jax.tree_util.keystr(path) == "[1]Outer.count"
    assert tree.path_str(path) == "[1].count"
    assert tree.path_str(()) == "the root"


def test_get():
    assert tree.get(STATE, "w") == 2.0
    assert tree.get(STATE, "absent") is None
    assert tree.get(STATE, "absent", 3) == 3
    assert tree.get(1.0, "anything", "default") == "default"


def test_get_lists_the_candidates_when_there_are_several():
    with pytest.raises(KeyError, match=r"tree.get: 4 values match 'count', at \[0\]\['list'\]\[0\].count, "):
        tree.get(STATE, "count")


def test_set_replaces_every_match_and_nothing_else():
    new = tree.set(STATE, count=-1, w=jnp.zeros(2))
    assert [value for _, value in tree.get_all_with_path(new, "count")] == [-1] * 4
    assert tree.get(new, "w").shape == (2,)
    assert tree.set(new, count=0, w=0) == tree.set(STATE, count=0, w=0)
    assert type(new[1]) is Outer
    assert type(new[2]) is Record
    assert new[3] is None


def test_set_replaces_whole_nodes_and_none():
    assert tree.set({"a": {"b": 1, "a": 2}}, a=5, b=6) == {"a": 5}
    assert tree.set(STATE, Outer="x")[1] == "x"
    assert tree.set(Inner(0, 1), Inner=5) == 5
    assert tree.set({"a": None, "b": 1}, a=2) == {"a": 2, "b": 1}


def test_set_with_filtering():
    new = tree.set(STATE, lambda path, value: value == 5, count=50)
    assert new[1] == Outer(Inner(3, 4), 50)


def test_set_accepts_the_name_tree():
    assert tree.set({"tree": 1}, tree=2) == {"tree": 2}


def test_set_suggests_names_when_nothing_matches():
    with pytest.raises(
        KeyError, match=r"tree.set: nothing in the tree is called 'cuont'. Did you mean count"
    ):
        tree.set(STATE, cuont=1)
    with pytest.raises(KeyError, match=r"tree.set: filtering refused every value called 'w', at .*\['w'\]"):
        tree.set(STATE, lambda path, value: False, w=1)


def test_get_and_set_work_under_jit():
    @jax.jit
    def step(state):
        return tree.set(state, count=tree.get(state, "count") + 1)

    assert int(step({"inner": Inner(jnp.int32(3), jnp.ones(2))})["inner"].count) == 4
