"""Define-by-run differentiation at compiled speed: `y = f(x); y.backward(); x.grad`."""

from typing import Any

from . import _namespaces
from ._anomaly import detect_anomaly as detect_anomaly
from ._cache import cache_clear as cache_clear
from ._checks import gradcheck as gradcheck
from ._checks import gradgradcheck as gradgradcheck
from ._cut import max_segment as max_segment
from ._errors import AnomalyError as AnomalyError
from ._errors import AutogradError as AutogradError
from ._errors import FailedError as FailedError
from ._errors import GradcheckError as GradcheckError
from ._errors import GraphFreedError as GraphFreedError
from ._errors import InPlaceError as InPlaceError
from ._errors import LostTapeError as LostTapeError
from ._errors import NoGradientError as NoGradientError
from ._errors import NonScalarError as NonScalarError
from ._errors import ShapeError as ShapeError
from ._errors import ThreadError as ThreadError
from ._errors import TupleError as TupleError
from ._functional import functional as functional
from ._functional import grad as grad
from ._functional import hessian as hessian
from ._functional import hvp as hvp
from ._functional import jacobian as jacobian
from ._functional import jvp as jvp
from ._functional import vjp as vjp
from ._graph import graph as graph
from ._modes import enable_grad as enable_grad
from ._modes import is_grad_enabled as is_grad_enabled
from ._modes import no_grad as no_grad
from ._namespaces import fft as fft
from ._namespaces import lax as lax
from ._namespaces import lift as lift
from ._namespaces import linalg as linalg
from ._namespaces import nn as nn
from ._namespaces import numpy as numpy
from ._namespaces import random as random
from ._protocol import assign as assign
from ._protocol import grads as grads
from ._protocol import parameters as parameters
from ._protocol import update as update
from ._protocol import values as values
from ._stats import CacheInfo as CacheInfo
from ._stats import cache_info as cache_info
from ._tensor import Parameter as Parameter
from ._tensor import Tensor as Tensor
from ._tensor import tensor as tensor
from ._tensor import zero_grad as zero_grad
from ._tiers import tiers as tiers
from ._tiers import wait as wait
from ._torch import _names
from ._torch._function import Function as Function
from ._torch._modes import inference_mode as inference_mode
from ._torch._modes import set_grad_enabled as set_grad_enabled
from ._torch._random import Generator as Generator

globals().update({name: found for name, found in _names.functions().items() if name not in globals()})


def __getattr__(name: str) -> Any:
    """What torch has no name for is found in jax.numpy (autograd.interp); jax.scipy is imported when asked for."""
    if name == "scipy":
        return _namespaces.scipy
    if name == "special":
        return _namespaces.scipy.special
    if name.startswith("_") or not hasattr(numpy._module, name):
        raise AttributeError(f"module 'nablax.autograd' has no attribute '{name}'")
    found = globals()[name] = getattr(numpy, name)
    return found
