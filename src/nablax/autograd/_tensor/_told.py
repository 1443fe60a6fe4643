"""The key of a call as it was written: what a call that is made again is found by.

It says what the arguments are, tensors by their states, the rest by itself, so that a call need not be taken apart to
see that it was recorded before. Equal numbers of different types are told apart, for they make different programs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._path._entering import Restart
from .._path._recorded import Recorded
from .._path._trace import Trace
from .._path._trie import State

_WORDS = object()  # after it, arguments by name
_NAMED = (str, type(Ellipsis))  # equal to their like alone
_TYPED = (float, bool, complex)
_NUMBERS = {int, float, bool, complex}
_DTYPES = (np.dtype, type(jnp.float32))


def told(trace: Trace, call: Any, args: Iterable[Any], kwargs: dict[str, Any]) -> tuple | None:
    """The key of `call(*args, **kwargs)` in the open recording; None where an argument is neither a tensor, a plain
    number or word, a dtype, nor a list or tuple of these.

    Tensors from outside become inputs, as they do when the call is recorded.
    """
    if trace.state.full:
        return None
    key: list[Any] = [call]
    try:
        for arg in args:
            if isinstance(arg, Recorded):
                key.append(arg._s or trace.source(arg))
            elif arg.__class__ is int or arg is None:
                key.append(arg)
            elif not _add(key, trace, arg):
                return None
        if kwargs:
            key.append(_WORDS)
            for word, arg in kwargs.items():
                key.append(word)
                if arg.__class__ is int:
                    key.append(arg)
                elif not _add(key, trace, arg):
                    return None
    except Restart:
        return None
    return tuple(key)


def _add(key: list[Any], trace: Trace, arg: Any) -> bool:
    kind = arg.__class__
    if kind is int or arg is None or kind in _NAMED:
        key.append(arg)
    elif kind in _TYPED:
        # Zero has a sign, and NaN is no number that equals itself.
        key.append((kind, arg if arg and arg == arg else repr(arg)))
    elif kind is slice:
        key.append(kind)
        return _add(key, trace, arg.start) and _add(key, trace, arg.stop) and _add(key, trace, arg.step)
    elif kind is list or kind is tuple:
        key.append((kind, len(arg)))
        return all(_add(key, trace, each) for each in arg)
    elif isinstance(arg, Recorded):
        key.append(arg._s or trace.source(arg))
    elif isinstance(arg, _DTYPES) or (kind is type and (arg in _NUMBERS or issubclass(arg, np.generic))):
        key.append((np.dtype, arg))
    else:
        return False
    return True


def remember(trace: Trace, before: State, known: int, key: tuple | None) -> None:
    """Let the call that was just recorded for the second time be found by its key.

    Not for the first time: a number in it may turn out to be one that varies. Nor where more enters than its tensors.

    before, known: the state that it was recorded at, and how many edges that had.
    """
    after = trace.state
    if key is None or after.parent is not before or len(before.edges) != known:
        return
    if len(after.reads) == sum([part.__class__ is State for part in key]):
        before.edges[key] = after
        trace.grow(1)
