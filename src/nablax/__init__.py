"""nablax carries a gradient from the loss to the parameters: it computes it, transforms it, applies it."""

from nablax import core as core
from nablax import optimizers as optimizers
from nablax import runtime as runtime
from nablax import transforms as transforms
from nablax import tree as tree
from nablax.core import apply_updates as apply_updates
from nablax.core import chain as chain
from nablax.optimizers import adam as adam
from nablax.optimizers import adamw as adamw
from nablax.runtime import Optimizer as Optimizer
from nablax.runtime import train_step as train_step
