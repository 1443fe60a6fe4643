"""Pullbacks of JAX's elementary operations, as equations more.

A rule writes the cotangent of one argument, from the cotangent of the result: None where there is none, NotImplemented
where it is left to `jax.vjp`. tests/autograd/test_pullbacks.py compares each with JAX's.
"""

from . import _elementwise, _reductions, _shapes, _windows
from ._elementwise import FLAT as FLAT

PULLS = {**_elementwise.PULLS, **_shapes.PULLS, **_reductions.PULLS, **_windows.PULLS}
