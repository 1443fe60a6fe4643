"""Define-by-run differentiation at compiled speed: `y = f(x); y.backward(); x.grad`."""

import sys
from typing import Any

from ._ground._disk import disk_cache as disk_cache
from ._ground._errors import AnomalyError as AnomalyError
from ._ground._errors import AutogradError as AutogradError
from ._ground._errors import FailedError as FailedError
from ._ground._errors import GradcheckError as GradcheckError
from ._ground._errors import GraphFreedError as GraphFreedError
from ._ground._errors import InPlaceError as InPlaceError
from ._ground._errors import LostTapeError as LostTapeError
from ._ground._errors import NoGradientError as NoGradientError
from ._ground._errors import NonScalarError as NonScalarError
from ._ground._errors import RangeError as RangeError
from ._ground._errors import ShapeError as ShapeError
from ._ground._errors import ThreadError as ThreadError
from ._ground._errors import TooLargeError as TooLargeError
from ._ground._errors import TupleError as TupleError
from ._ground._stats import CacheInfo as CacheInfo
from ._program._notice import compile_notice as compile_notice
from ._program._tiered import tiered as tiered
from ._program._tiers import tiers as tiers
from ._program._tiers import wait as wait
from ._segment._cut import max_segment as max_segment
from ._tensor import _namespaces
from ._tensor._grad_mode import enable_grad as enable_grad
from ._tensor._grad_mode import is_grad_enabled as is_grad_enabled
from ._tensor._grad_mode import no_grad as no_grad
from ._tensor._namespaces import fft as fft
from ._tensor._namespaces import lax as lax
from ._tensor._namespaces import lift as lift
from ._tensor._namespaces import linalg as linalg
from ._tensor._namespaces import nn as nn
from ._tensor._namespaces import numpy as numpy
from ._tensor._namespaces import random as random
from ._tensor._tensor import Parameter as Parameter
from ._tensor._tensor import Tensor as Tensor
from ._tensor._tensor import tensor as tensor
from ._tensor._tensor import zero_grad as zero_grad
from ._tensor._torch._random import Generator as Generator
from ._tools._anomaly import detect_anomaly as detect_anomaly
from ._tools._cache import cache_clear as cache_clear
from ._tools._cache import cache_info as cache_info
from ._tools._checks import gradcheck as gradcheck
from ._tools._checks import gradgradcheck as gradgradcheck
from ._tools._functional import functional as functional
from ._tools._functional import grad as grad
from ._tools._functional import hessian as hessian
from ._tools._functional import hvp as hvp
from ._tools._functional import jacobian as jacobian
from ._tools._functional import jvp as jvp
from ._tools._functional import vjp as vjp
from ._tools._graph import graph as graph
from ._tools._training import assign as assign
from ._tools._training import grads as grads
from ._tools._training import parameters as parameters
from ._tools._training import update as update
from ._tools._training import values as values
from ._torch import _names, _places
from ._torch._function import Function as Function
from ._torch._modes import inference_mode as inference_mode
from ._torch._modes import set_grad_enabled as set_grad_enabled

autograd = sys.modules[__name__]  # torch.autograd.grad, where this module was imported as torch
globals().update({name: found for name, found in _names.functions().items() if name not in globals()})


def __getattr__(name: str) -> Any:
    """What torch has no name for is found in jax.numpy (autograd.interp); jax.scipy is imported when asked for."""
    if name == "scipy":
        return _namespaces.scipy
    if name == "special":
        return _namespaces.scipy.special
    if name.startswith("_") or name in _places.ELSEWHERE or not hasattr(numpy._module, name):
        instead = f"; {_places.ELSEWHERE[name]}" if name in _places.ELSEWHERE else ""
        raise AttributeError(f"module 'nablax.autograd' has no attribute '{name}'{instead}")
    found = globals()[name] = getattr(numpy, name)
    return found


def __dir__() -> list[str]:
    """All names that are found, for tab completion."""
    return sorted({*globals(), "scipy", "special"})
