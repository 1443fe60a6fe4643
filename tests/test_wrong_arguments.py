"""Arguments that nobody can mean are answered in nablax's words, by every public function."""

import pytest

from wrong_arguments import EXCEPTIONS, functions, leaks

FUNCTIONS = dict(functions())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_leaks(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # some write where they are told to
    leaked = {kind: repr(error)[:200] for kind, error in leaks(name, FUNCTIONS[name])}
    assert leaked == {}


def test_the_exceptions_are_functions_that_are_there():
    assert EXCEPTIONS.keys() <= FUNCTIONS.keys()
