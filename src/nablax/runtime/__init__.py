"""What runs a transformation well: compiled and donated steps, live hyperparameters, metrics."""

from nablax.runtime._accumulation import AccumulationType as AccumulationType
from nablax.runtime._accumulation import Accumulator as Accumulator
from nablax.runtime._live import Hyperparams as Hyperparams
from nablax.runtime._micro_vmap import micro_grad as micro_grad
from nablax.runtime._micro_vmap import micro_vmap as micro_vmap
from nablax.runtime._microbatch import microbatch as microbatch
from nablax.runtime._microbatch import reshape_batch_axis as reshape_batch_axis
from nablax.runtime._optimizer import Optimizer as Optimizer
from nablax.runtime._packing._flat import FlatParams as FlatParams
from nablax.runtime._packing._flat import flat_params as flat_params
from nablax.runtime._packing._packed import packed as packed
from nablax.runtime._program import clear_programs as clear_programs
from nablax.runtime._sharding import Memory as Memory
from nablax.runtime._sharding import describe_memory as describe_memory
from nablax.runtime._sharding import shard_state as shard_state
from nablax.runtime._sharding import state_shardings as state_shardings
from nablax.runtime._step import step as step
from nablax.runtime._train_step import train_step as train_step
