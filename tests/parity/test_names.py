"""The face: every public name of the installed Optax, in its module, with its signature."""

import inspect
import operator

import optax
import optax.contrib
import pytest

import nablax.optax

MODULES = [
    "",
    "assignment",
    "contrib",
    "experimental.aggregating",
    "losses",
    "microbatching",
    "perturbations",
    "projections",
    "schedules",
    "second_order",
    "transforms",
    "tree",
    "tree_utils",
]

# Names that nablax does not have yet: the one list, which is to become empty.
MISSING: dict[str, str] = {}


def pair(module):
    if not module:
        return nablax.optax, optax
    return tuple(operator.attrgetter(module)(package) for package in (nablax.optax, optax))


TYPING = {"Any", "NamedTuple", "Protocol", "Sequence"}


def public(module):
    """The names of a module, without modules and what it imports from typing."""
    return {n for n, v in vars(module).items() if n[0] != "_" and not inspect.ismodule(v)} - TYPING


@pytest.mark.parametrize("module", MODULES)
def test_names(module):
    mine, reference = map(public, pair(module))
    missing = set(MISSING.get(module, "").split())
    assert sorted(reference - mine) == sorted(missing)
    assert sorted(mine - reference) == []


def test_every_module_of_optax_is_there():
    modules = {n for n, v in vars(optax).items() if inspect.ismodule(v) and n[0] != "_"}
    assert modules <= {m.split(".")[0] for m in MODULES}
    assert all(inspect.ismodule(getattr(nablax.optax, m)) for m in modules)


def parameters(function):
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, p.default) for p in found]


def same_default(a, b):
    plain = (int, float, str, bool, type(None), tuple, type)
    if isinstance(b, plain) and not hasattr(b, "_fields"):
        return a is b or (type(a) is type(b) and a == b)
    if hasattr(b, "init") and hasattr(b, "update"):
        return hasattr(a, "init") and hasattr(a, "update")
    return a.__class__.__name__ == b.__class__.__name__  # an object that each library makes for itself


def same_parameters(found, expected):
    """The same parameters; further ones only by keyword, and optional."""
    further = found[len(expected) :]
    return (
        len(found) >= len(expected)
        and all(a[:2] == b[:2] and same_default(a[2], b[2]) for a, b in zip(found, expected, strict=False))
        and all(
            kind is inspect.Parameter.KEYWORD_ONLY and default is not inspect.Parameter.empty
            for _, kind, default in further
        )
    )


def callables():
    for module in MODULES:
        mine, reference = pair(module)
        for name in sorted(public(reference) & public(mine)):
            theirs = getattr(reference, name)
            if (inspect.isfunction(theirs) or inspect.isclass(theirs)) and not getattr(
                theirs, "_is_protocol", False
            ):
                yield f"{module}.{name}".lstrip("."), getattr(mine, name), theirs


def test_signatures():
    differing = []
    for name, mine, theirs in callables():
        if hasattr(theirs, "_fields"):
            if mine._fields != theirs._fields or mine.__name__ != theirs.__name__:
                differing.append((name, mine.__name__, mine._fields, theirs._fields))
            continue
        try:
            expected = parameters(theirs)
        except (TypeError, ValueError):  # a type hint, not a function
            continue
        found = parameters(mine)
        if not same_parameters(found, expected):
            differing.append((name, found, expected))
    assert not differing, "\n".join(map(str, differing))


def test_methods():
    for name in ("MultiSteps", "WrappedSchedule", "LookaheadParams"):
        mine, theirs = getattr(pair("")[0], name), getattr(optax, name)
        assert {n for n in vars(theirs) if n[0] != "_"} <= set(dir(mine)) | {"inner_opt"}, name
