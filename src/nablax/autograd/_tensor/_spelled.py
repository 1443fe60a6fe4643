"""NumPy's words for axes in torch's spelling."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from .._operation._written import by, rule_of


def spelled(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of JAX's that also takes `dim=` and `keepdim=` for `axis=` and `keepdims=`."""
    try:
        names = inspect.signature(fn).parameters
    except (TypeError, ValueError):
        return fn
    words = {
        theirs: ours
        for theirs, ours in (("dim", "axis"), ("keepdim", "keepdims"), ("dim", "axes"), ("dim", "dimension"))
        if ours in names and theirs not in names
    }
    if not words:
        return fn

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            kwargs = {words.get(k, k): v for k, v in kwargs.items()}
        return fn(*args, **kwargs)

    rule = rule_of(fn)
    return call if rule is None else by(rule, call)
