"""States that are spread over the devices of a mesh, and what they take on each."""

from nablax.runtime._sharding._layout import Layout as Layout
from nablax.runtime._sharding._layout import specs_of as specs_of
from nablax.runtime._sharding._memory import Memory as Memory
from nablax.runtime._sharding._memory import describe_memory as describe_memory
from nablax.runtime._sharding._memory import shown_size as shown_size
from nablax.runtime._sharding._shard_state import shard_state as shard_state
from nablax.runtime._sharding._shard_state import state_shardings as state_shardings
from nablax.runtime._sharding._specs import place as place
