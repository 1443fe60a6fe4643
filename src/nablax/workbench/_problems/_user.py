"""A problem from a Python file of the user's, or from the table.

The file defines

    init(key)              -> parameters, any pytree of arrays
    loss(params, batch)    -> scalar
    batches                -> see `_batches.py`
    evaluate(params)       -> scalar, the held-out metric (optional); scikit-learn's metrics may be called in it

and may set METRIC (the metric's name), HIGHER_IS_BETTER (False unless set), STEPS, TARGET (a training loss, or
{name: value} of the loss or the metric) and TOKENS (of a batch).
"""

from __future__ import annotations

import inspect
import runpy
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nablax.core import ArgumentError, NablaxError

from .._catalogue import nearest
from . import _batches
from ._problem import Problem
from ._shipped import PROBLEMS

_REQUIRED = {"init": "init(key)", "loss": "loss(params, batch)", "batches": "batches(key)"}


def load_problem(name: str) -> Problem:
    """The problem of that name, or in that Python file; checked, so that what is wrong with it is said in one line.

    Raises:
      ArgumentError: there is no such problem or file; the file lacks a function, or one of them fails.
    """
    if name in PROBLEMS:
        return PROBLEMS[name].load()
    path = Path(name)
    if path.suffix != ".py":
        raise ArgumentError(
            f"compare: there is no problem {name!r}; {nearest(name, PROBLEMS)} A path ends in .py."
        )
    if not path.is_file():
        raise ArgumentError(f"compare: there is no file {name}. `nablax new-problem {name}` writes one.")
    return _from_file(path)


def _from_file(path: Path) -> Problem:
    sys.path.insert(0, str(path.resolve().parent))  # as `python file.py` does, for modules beside it
    try:
        names = runpy.run_path(str(path))
    except (Exception, SystemExit) as error:
        raise ArgumentError(f"{path}: {_where(error, path)}") from error
    for name, call in _REQUIRED.items():
        if name not in names or (name != "batches" and not callable(names[name])):
            raise ArgumentError(f"{path}: must define {call}; it defines {_defined(names)}.")
    evaluate = names.get("evaluate")
    if evaluate is not None and not callable(evaluate):
        raise ArgumentError(f"{path}: evaluate must be a function of params, got {evaluate!r}.")
    for name in ("STEPS", "TOKENS"):
        value = names.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ArgumentError(f"{path}: {name} must be a positive int, got {value!r}.")
    problem = Problem(
        name=path.stem,
        summary=inspect.cleandoc(names.get("__doc__") or "").partition("\n")[0]
        or f"The problem in {path.name}",
        init=names["init"],
        loss=names["loss"],
        batches=names["batches"],
        evaluate=evaluate,
        metric=str(names.get("METRIC", "final loss" if evaluate is None else "evaluate(params)")),
        higher_is_better=evaluate is not None and bool(names.get("HIGHER_IS_BETTER", False)),
        source=str(path),
        text=path.read_text(encoding="utf-8"),
        steps=names.get("STEPS", 500),
        tokens=names.get("TOKENS"),
    )
    if names.get("TARGET") is not None:
        problem = replace(problem, target=problem.read_target(names["TARGET"], f"{path}: TARGET"))
    return _checked(problem, path)


def _defined(names: dict[str, Any]) -> str:
    own = [n for n, value in names.items() if inspect.isfunction(value) and value.__module__ == "<run_path>"]
    return ", ".join(own) or "no function"


def _checked(problem: Problem, path: Path) -> Problem:
    """Runs each function once in the abstract. Says what form the batches have."""
    key, outside = jax.random.key(0), False
    stage = "init(key)"
    try:
        params = problem.init(key)
        stage = "batches(key)" if inspect.isfunction(problem.batches) else "batches"
        batches = _batches.read(problem.batches, key)
        stage = "loss(params, batch)"
        _check_scalar(jax.eval_shape(problem.loss, params, batches.example))
        if problem.evaluate is not None:
            stage = "evaluate(params)"
            outside = _is_outside(problem.evaluate, params)
    except Exception as error:
        raise ArgumentError(f"{path}: {stage}: {_where(error, path)}") from error
    return replace(problem, batches=batches.of, streams=batches.streams, outside=outside)


def _is_outside(evaluate: Any, params: Any) -> bool:
    """Whether a metric needs values: it is called once with them then."""
    try:
        _check_scalar(jax.eval_shape(evaluate, params))
    except jax.errors.JAXTypeError:
        value = evaluate(jax.tree.map(np.asarray, params))
        if np.shape(value) != ():
            raise ArgumentError(f"must return a scalar, got shape {np.shape(value)}.") from None
        return True
    return False


def _check_scalar(out: Any) -> None:
    shape = getattr(out, "shape", None)
    if shape != ():
        raise ArgumentError(
            f"must return a scalar, got {type(out).__name__ if shape is None else f'shape {shape}'}."
        )


def _where(error: BaseException, path: Path) -> str:
    """The error in one line, with the line of the user's file where it arose."""
    first = str(error).strip().partition("\n")[0]
    if isinstance(error, NablaxError):
        return first
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: SyntaxError: {error.msg}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    at = f"line {lines[-1]}: " if lines else ""
    return f"{at}{type(error).__name__}: {first}"
