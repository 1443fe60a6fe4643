"""Arguments that nobody can mean are answered in nablax's words, by every public function."""

import pytest

from nablax.autograd import Tensor, tensor
from nablax.core import checks_of
from wrong_arguments import EXCEPTIONS, TAKE_ANYTHING, functions, in_our_words, leaks, raised, required

FUNCTIONS = dict(functions())
TENSORS = {name: function for name, function in FUNCTIONS.items() if name.startswith("autograd.")}


@pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - TENSORS.keys()))
def test_nothing_leaks(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # some write where they are told to
    leaked = {kind: repr(error)[:200] for kind, error in leaks(name, FUNCTIONS[name])}
    assert leaked == {}


def test_an_object_of_no_kind_is_refused(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    taken = set()
    for name in (n for n in FUNCTIONS.keys() - TENSORS.keys() if not n.startswith("core.")):
        positional, by_name = required(FUNCTIONS[name])
        asked = (positional or by_name) and "an object" not in EXCEPTIONS.get(name, ((), ""))[0]
        args = [object() for _ in range(positional)]
        if asked and raised(FUNCTIONS[name], args, {n: object() for n in by_name}) is None:
            taken.add(name)
    assert taken == TAKE_ANYTHING.keys()


@pytest.mark.parametrize("wing", sorted({name.rpartition(".")[0] for name in TENSORS}))
def test_nothing_leaks_from_tensors(wing, monkeypatch, tmp_path):
    """With one of the kinds, and another after a tensor: one place answers nearly all of them."""
    monkeypatch.chdir(tmp_path)
    leaked = {
        (name, kind): repr(error)[:200]
        for name, function in TENSORS.items()
        if name.rpartition(".")[0] == wing
        for kind, error in leaks(name, function, ("an object",), ("a word",))
    }
    assert leaked == {}


@pytest.mark.filterwarnings("ignore")
def test_nothing_leaks_from_methods_of_a_tensor():
    leaked = {}
    for name in dir(Tensor):
        method = getattr(Tensor, name)
        if name.startswith("_") or not callable(method) or isinstance(method, property):
            continue
        error = raised(method, [tensor([[1.0, 2.0]]), object()], {})
        many = "positional argument" in str(error)  # which Python says as well
        if error is not None and not many and not in_our_words(error):
            leaked[name] = repr(error)[:200]
    assert leaked == {}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", [name for name, function in FUNCTIONS.items() if checks_of(function)])
def test_a_name_that_there_is_not_is_answered_with_those_that_are(name):
    with pytest.raises(TypeError, match=r"no argument is called 'no_such_name'.* It takes ") as raised:
        FUNCTIONS[name](no_such_name=1)
    assert all(argument in str(raised.value) for argument in checks_of(FUNCTIONS[name]))


def test_the_exceptions_are_functions_that_are_there():
    assert EXCEPTIONS.keys() | TAKE_ANYTHING.keys() <= FUNCTIONS.keys()
