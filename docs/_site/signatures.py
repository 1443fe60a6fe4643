"""Signatures as they were written: annotations keep their names, `Any` says nothing and is left out."""

from __future__ import annotations

import inspect
import re
from typing import Any

from nablax import core

ALIASES = ("ScalarOrSchedule", "Schedule", "MaskOrFn", "Params")  # of equal ones the first
RECORDED = re.compile(r"^torch's \w+(\(.*\)), recorded\.")


def signature(value: Any, *, bound: bool = False) -> str:
    """The argument list with its brackets, and what is returned; empty where Python knows none.

    Args:
      value: a function or class.
      bound: leave out the first argument.
    """
    recorded = RECORDED.match(inspect.getdoc(value) or "")
    if recorded:
        return recorded.group(1)
    try:
        found = inspect.signature(inspect.unwrap(value) if not inspect.isclass(value) else value)
    except (TypeError, ValueError):
        return "()"
    parameters = list(found.parameters.values())[1 if bound else 0 :]
    returned = "" if inspect.isclass(value) else _annotation(found.return_annotation)
    return f"({', '.join(_parts(parameters))})" + (f" -> {returned}" if returned else "")


def _parts(parameters: list[inspect.Parameter]) -> list[str]:
    parts, before = [], None
    for p in parameters:
        if before is p.POSITIONAL_ONLY and p.kind is not p.POSITIONAL_ONLY:
            parts.append("/")
        if p.kind is p.KEYWORD_ONLY and before not in (p.KEYWORD_ONLY, p.VAR_POSITIONAL):
            parts.append("*")
        stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        kind, text = _annotation(p.annotation), f"{stars}{p.name}"
        text += f": {kind}" if kind else ""
        if p.default is not p.empty:
            text += (" = " if kind else "=") + _default(p.default)
        parts.append(text)
        before = p.kind
    return [*parts, "/"] if before is inspect.Parameter.POSITIONAL_ONLY else parts


def _annotation(annotation: Any) -> str:
    if annotation in (inspect.Parameter.empty, Any, "Any", None):
        return ""
    for name in ALIASES:
        if annotation == getattr(core, name):
            return name
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = re.sub(r"ForwardRef\('([^']*)'\)", r"\1", text)
    text = re.sub(r"\b(?:jax\.jaxlib\._jax|jaxlib\._jax|jax\._src\.\w+)\.", "jax.", text)
    text = re.sub(r"\b(?:typing|collections\.abc|nablax(?:\.\w+)+)\.(?=\w)", "", text).strip("'\"")
    return "" if text == "Any" or "<" in text or len(text) > 120 else text


def _default(value: Any) -> str:
    if inspect.isroutine(value) or inspect.isclass(value):
        return value.__name__
    text = repr(value)
    return "..." if "<" in text or "\n" in text else text
