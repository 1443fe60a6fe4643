"""What docstrings owe: every argument, a source, and where the numbers come from that a caller leaves out."""

import importlib
import inspect
import re

import optax
import optax.contrib
import optax.losses
import optax.perturbations
import optax.projections
import optax.transforms
import pytest

WINGS = [
    "optimizers", "transforms", "schedules", "losses", "projections", "second_order", "linesearch", "perturbations",
    "games", "games.methods", "runtime",
]  # fmt: skip
WITH_SOURCES = ["optimizers", "games.methods"]  # of which each is somebody's algorithm
NO_ALGORITHM = {"orthogonalize_via_newton_schulz", "simultaneous"}  # their heads tell


def functions(wings):
    modules = {wing: importlib.import_module(f"nablax.{wing}") for wing in wings}
    return [
        pytest.param(module, name, id=f"{wing}.{name}")
        for wing, module in modules.items()
        for name, value in sorted(vars(module).items())
        if inspect.isfunction(value) and not name.startswith("_")
    ]


def described(function):
    section = re.search(r"^Args:\n((?:  .*\n?|\n)*)", inspect.getdoc(function), re.MULTILINE)
    lines = re.findall(r"^  ([*\w, ]+):", section.group(1) if section else "", re.MULTILINE)
    return {name.strip(" *") for line in lines for name in line.split(",")}


def numbers(function):
    """The arguments with a default that somebody chose: a number, a name; not None, a flag, an axis or a whole."""
    found = inspect.signature(function).parameters.items()
    chosen = {k: p.default for k, p in found if type(p.default) in (int, float, str, tuple)}
    return {k: v for k, v in chosen.items() if v not in (0, 1, ()) and k != "axis"}


def in_optax(name):
    homes = (optax, optax.contrib, optax.losses, optax.projections, optax.perturbations, optax.transforms)
    return next(vars(home)[name] for home in homes if name in vars(home))


@pytest.mark.parametrize(("module", "name"), functions(WINGS))
def test_every_argument_is_described(module, name):
    function = getattr(module, name)
    named = set(inspect.signature(function).parameters)
    short = (
        len(named) == 1 and "Args:" not in function.__doc__
    )  # its only argument is what the first line is about
    alias = "whose arguments it takes" in function.__doc__
    assert short or alias or named <= described(function)


@pytest.mark.parametrize(("module", "name"), functions(WITH_SOURCES))
def test_an_algorithm_has_a_source(module, name):
    function = getattr(module, name)
    text = f"{inspect.getdoc(function)}\n{importlib.import_module(function.__module__).__doc__}"
    assert name in NO_ALGORITHM or re.search(r"Sources?: (.|\n)*(\b(19|20)\d\d\b|https?://)", text)


@pytest.mark.parametrize(("module", "name"), functions(WINGS))
def test_defaults_come_from_where_the_docstring_says(module, name):
    function = getattr(module, name)
    ours = numbers(function)
    said = re.search(r"Defaults: (.*?)(?:\n\n|$)", inspect.getdoc(function), re.DOTALL)
    if not said:
        assert not ours or name == "plot_trajectories"
        return
    text = re.sub(r"\s+", " ", said.group(1))
    if text.startswith("as in Optax") and "former" not in text:
        theirs = inspect.signature(in_optax(name)).parameters
        assert {k: v for k, v in ours.items() if k in theirs} == {
            k: theirs[k].default for k in ours if k in theirs
        }
    for model in re.findall(r"^as in `(\w+)`", text):
        model = inspect.signature(getattr(module, model)).parameters
        assert {k: v for k, v in ours.items() if k in model} == {
            k: model[k].default for k in ours if k in model
        }
