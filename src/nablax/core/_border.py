"""The border to Optax: where it is loaded, nablax's types are its types too.

Optax decides by `isinstance` whether `update` takes extra arguments, and other packages whether an object is a
transformation at all. So the classes of our instances also derive from Optax's, from the moment Optax is loaded.
"""

from __future__ import annotations

import sys
from typing import Any

_HOMES: dict[type, type] = {}  # by class, what instances of it are made of


def at_home_in_optax(cls: type) -> type:
    """The class to make an instance of: `cls`, or where Optax is loaded a class that derives from Optax's as well.

    Classes of users stay what they are.
    """
    optax = sys.modules.get("optax")
    if optax is None:
        return cls
    home = _HOMES.get(cls)
    if home is None and cls.__module__.startswith("nablax."):
        name = "GradientTransformation"
        if any(c.__name__ == name + "ExtraArgs" for c in cls.__mro__):
            name += "ExtraArgs"
        theirs = getattr(optax, name, None)
        if theirs is None:  # half loaded
            return cls
        home = _HOMES[cls] = _both(cls, theirs)
    return cls if home is None else home


def _both(cls: type, theirs: Any) -> type:
    if issubclass(cls, theirs):  # made here before, or nablax.optax stands under Optax's name
        return cls
    members = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__slots__": (),
    }
    return type(cls.__name__, (cls, theirs), members)
