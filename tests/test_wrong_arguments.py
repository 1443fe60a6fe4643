"""Arguments that nobody can mean are answered in nablax's words, by every public function."""

import pytest

from wrong_arguments import EXCEPTIONS, TAKE_ANYTHING, answers, functions, leaks, required

FUNCTIONS = dict(functions())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_leaks(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # some write where they are told to
    leaked = {kind: repr(error)[:200] for kind, error in leaks(name, FUNCTIONS[name])}
    assert leaked == {}


def test_an_object_of_no_kind_is_refused(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    asked = {name: function for name, function in FUNCTIONS.items() if any(required(function))}
    found = {
        name: [e for _, e in answers(name, function, ("an object",))] for name, function in asked.items()
    }
    assert {name for name, errors in found.items() if errors == [None]} == TAKE_ANYTHING.keys()


def test_the_exceptions_are_functions_that_are_there():
    assert EXCEPTIONS.keys() | TAKE_ANYTHING.keys() <= FUNCTIONS.keys()
