"""What runs a transformation well: compiled and donated steps, live hyperparameters, metrics."""

from nablax.runtime._live import Hyperparams as Hyperparams
from nablax.runtime._optimizer import Optimizer as Optimizer
from nablax.runtime._train_step import train_step as train_step
