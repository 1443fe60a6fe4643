"""No public name of the installed Optax without a case: names are read off the tables that the tests walk over."""

import inspect
import typing

import optax
import optax.contrib
import pytest

import nablax.optax
from parity import function_cases, optimizer_cases, transform_cases, tree_cases
from parity.stepping import names
from schedules import schedule_cases

GROUPS = ("", "transforms", "contrib", "schedules", "tree", "tree_utils")
TABLES = {
    "optimizers": names(optimizer_cases.CASES) | names(optimizer_cases.PARTS),
    "transforms": names(transform_cases.CASES),
    "functions": names(function_cases.CASES),
    "schedules": {name for name, _, _ in schedule_cases.CASES},
    "tree": names(name for name, _ in tree_cases.CASES) | names(tree_cases.STATES),
}
# What is compared in a test of its own, and where.
ALONE = {
    "WrappedSchedule": "test_schedules.test_stateful",
    "join_schedules": "test_schedules.test_join",
    "lbfgs": "test_linesearch",
    "scale_by_backtracking_linesearch": "test_linesearch",
    "scale_by_lbfgs": "test_linesearch",
    "scale_by_zoom_linesearch": "test_linesearch",
    "value_and_grad_from_state": "test_linesearch",
}
# Modules of the other parity files: their names stand at the top level too.
ELSEWHERE = ("losses", "microbatching")


def module(face, name):
    return getattr(face, name) if name else face


def is_type(value):
    """States and other named tuples, protocols, type hints: their names and fields are compared in test_names.py."""
    return (
        hasattr(value, "_fields")
        or getattr(value, "_is_protocol", False)
        or typing.get_origin(value) is not None
        or value in (typing.Any, typing.NamedTuple, typing.Protocol, optax.Schedule)
    )


def public(group):
    return {
        name: value
        for name, value in vars(module(optax, group)).items()
        if name[0] != "_" and callable(value) and not inspect.ismodule(value) and not is_type(value)
    }


def compared():
    """Both libraries' objects of all names with a case: a name may stand for the same object in several modules."""
    known = set().union(*TABLES.values(), ALONE)
    found = {
        (id(value), id(getattr(module(nablax.optax, group), name)))
        for group in GROUPS
        for name, value in public(group).items()
        if name in known
    }
    other = {
        (id(value), id(getattr(getattr(nablax.optax, group), name)))
        for group in ELSEWHERE
        for name, value in vars(getattr(optax, group)).items()
        if callable(value) and not is_type(value) and hasattr(getattr(nablax.optax, group), name)
    }
    return found | other


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group or "top")
def test_every_public_name_has_a_case(group):
    known, face = compared(), module(nablax.optax, group)
    missing = [n for n, v in public(group).items() if (id(v), id(getattr(face, n))) not in known]
    assert not missing


def test_a_case_uses_what_it_is_named_after():
    """Names of optimizers and schedules are looked up; those of lambdas must occur in their code."""

    def used(code):
        nested = [c for c in code.co_consts if inspect.iscode(c)]
        return set(code.co_names).union(*map(used, nested))

    tables = (transform_cases.CASES, function_cases.CASES, tree_cases.EVERY_DTYPE, tree_cases.REAL_ONLY)
    for case, function in [item for cases in tables for item in cases.items()]:
        helpers = [vars(inspect.getmodule(function)).get(n) for n in used(function.__code__)]
        codes = [function.__code__, *(h.__code__ for h in helpers if inspect.isfunction(h))]
        assert names([case]) <= set().union(*map(used, codes)), case
