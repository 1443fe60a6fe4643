"""The names of `optax.microbatching`."""

from nablax.runtime import AccumulationType as AccumulationType
from nablax.runtime import Accumulator as Accumulator
from nablax.runtime import micro_grad as micro_grad
from nablax.runtime import micro_vmap as micro_vmap
from nablax.runtime import microbatch as microbatch
from nablax.runtime import reshape_batch_axis as reshape_batch_axis
