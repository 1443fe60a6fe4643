"""Define-by-run differentiation at compiled speed: `y = f(x); y.backward(); x.grad`."""

from ._backward import backward as _backward_many
from ._cut import max_segment as max_segment
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
from ._stats import cache_info as cache_info
from ._tensor import Parameter as Parameter
from ._tensor import Tensor as Tensor
from ._tensor import tensor as tensor
from ._tensor import zero_grad as zero_grad


def __getattr__(name):
    if name == "dot":
        return numpy.dot
    raise AttributeError(name)
