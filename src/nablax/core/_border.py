"""The border to Optax: where it is loaded, nablax's types are its types too.

Optax decides by `isinstance` whether `update` takes extra arguments, and other packages whether an object is a
transformation at all. So the classes of our instances also derive from Optax's, from the moment Optax is loaded.
"""

from __future__ import annotations

import functools
import sys
from typing import Any


def at_home_in_optax(cls: type) -> type:
    """The class to make an instance of: `cls`, or where Optax is loaded a class that derives from Optax's as well.

    Classes of users stay what they are.
    """
    optax = sys.modules.get("optax")
    if optax is None or not cls.__module__.startswith("nablax."):
        return cls
    name = "GradientTransformation"
    extra = f"{name}ExtraArgs"
    takes_extra = any(c.__name__ == extra for c in cls.__mro__)
    return _both(cls, getattr(optax, extra if takes_extra else name, None))


@functools.lru_cache(64)
def _both(cls: type, theirs: Any) -> type:
    # Optax may be half loaded, or be nablax.optax itself under its name.
    if not isinstance(theirs, type) or issubclass(cls, theirs):
        return cls
    members = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "__slots__": (),
    }
    return type(cls.__name__, (cls, theirs), members)
