"""Several processes that train one model: `initialize` joins them, `make_global_batch` joins their data, and
`nablax launch` (`python -m nablax.distributed`) runs them on one machine and restarts them.
"""

from nablax.distributed._batch import make_global_batch as make_global_batch
from nablax.distributed._exchange import exchange as exchange
from nablax.distributed._exchange import process as process
from nablax.distributed._initialize import initialize as initialize
from nablax.distributed._launch import launch as launch
