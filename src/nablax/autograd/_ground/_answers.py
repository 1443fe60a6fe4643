"""Errors of Python, NumPy and JAX, answered in our words: who, which argument, what is allowed, what came.

A function of ours that is handed what it cannot use fails somewhere inside. Nothing is looked at before: it is the
error that is answered, with the arguments that led to it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from ._errors import AutogradError, RangeError, ShapeError, came_through_user, raised_in, user_line

FOREIGN = (
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    ArithmeticError,
    NameError,
    NotImplementedError,
)
_OTHER = (str, type(None), np.dtype, type, slice, type(...), jax.Device, jax.sharding.Sharding)
# Of generators, open files, paths and modules.
_MARKS = ("manual_seed", "read", "__fspath__", "named_parameters")
_NUMBERS = (int, float, complex, np.ndarray, np.generic, jax.Array)
_TENSORS = {
    "input", "other", "tensor", "tensors", "target", "weight", "mat1", "mat2", "mat", "vec", "vec1", "vec2", "input1",
    "input2", "index", "src", "source", "mask", "query", "key", "value", "sorted_sequence", "boundaries", "x", "y", "a",
    "b",
}  # fmt: skip
"""Names of arguments that are tensors wherever they stand."""


def must_be_callable(who: str, name: str, value: Any) -> None:
    """Refuses what cannot be called.

    Raises:
      ShapeError: it is no function.
    """
    if not callable(value):
        raise ShapeError(f"{who}: {name} must be a function, got {_came(value)}. At {user_line()}.")


def answering(fn: Callable[..., Any], name: str = "", of: Any = None) -> Callable[..., Any]:
    """A function that answers what goes wrong inside, in a name, or its own.

    of: has its signature, where it has none that says much.
    """
    who = name or fn.__name__

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return fn(*args, **kwargs)
        except FOREIGN as error:
            said = answer(who, of or fn, args, kwargs, error)
            if said is error:
                raise
        raise said

    return call


def answer(
    who: str, fn: Callable[..., Any], args: tuple, kwargs: Mapping[str, Any], error: Exception
) -> Exception:
    """The error to raise for one that came out of `fn(*args, **kwargs)`; the same where it says all already, or is
    of the user's own code: of a generator, say, or of a method of an argument."""
    if isinstance(error, jax.errors.JAXTypeError) or came_through_user(error):
        return error
    if str(error).startswith(f"{who}: ") and raised_in(error, ours=True):
        return error
    signature = inspect.signature(fn)
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError as unbound:
        return ShapeError(f"{who}: {unbound}. It is {who}{_plain(signature)}. At {user_line()}.")
    given.pop("self", None)
    for word, value in given.items():
        allowed = _allowed(word, value, signature.parameters[word])
        if allowed:
            return ShapeError(f"{who}: {word} must be {allowed}, got {_came(value)}. At {user_line()}.")
    if isinstance(error, AutogradError):
        return error
    kind = RangeError if isinstance(error, IndexError) else ShapeError
    came = ", ".join(f"{word}={_came(value)}" for word, value in given.items())
    why = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
    said = f"{who}: {who}{_plain(signature)} does not take {came}: {why}"[:600]
    return kind(f"{said}. At {user_line()}.")


def _allowed(word: str, value: Any, parameter: inspect.Parameter) -> str:
    """What an argument that cannot be meant should be; nothing of one that can."""
    if (value is None and parameter.default is None) or (word == "activation" and callable(value)):
        return ""
    if word in _TENSORS and not _is_tensor(value):
        return "a tensor, an array or a number"
    several = value if isinstance(value, tuple | list) else (value,)
    if word.startswith("dim"):
        return "" if all(isinstance(each, int | np.integer) for each in several) else "an integer or several"
    if (value is None and parameter.default is parameter.empty) or not all(map(_is_meant, several)):
        return "a tensor, a number, a word or a dtype"
    return ""


def _is_meant(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_is_meant, value))
    if isinstance(value, Iterator):  # which has given what it had
        return True
    return _is_tensor(value) or isinstance(value, _OTHER) or any(hasattr(value, name) for name in _MARKS)


def _is_tensor(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_tensor, value))
    if isinstance(value, Mapping):
        return all(map(_is_tensor, value.values()))
    return isinstance(value, _NUMBERS) or hasattr(value, "requires_grad")


def _came(value: Any) -> str:
    if hasattr(value, "requires_grad") or isinstance(value, np.ndarray | jax.Array):
        return f"{value.dtype}{list(value.shape)}"
    if value is None or isinstance(value, str | bool | int | float):
        return repr(value)
    return f"{type(value).__name__}: {value!r}"[:80]


def _plain(signature: inspect.Signature) -> str:
    empty = inspect.Parameter.empty
    return str(
        signature.replace(
            parameters=[
                p.replace(annotation=empty) for p in signature.parameters.values() if p.name != "self"
            ],
            return_annotation=empty,
        )
    )
