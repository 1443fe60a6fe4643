"""Saving and loading. Bottom up: dtypes, the file's format, leaves on the host, state dicts, files of trees, states of
other libraries, descriptions.
"""

from nablax.runtime._saving._describe import Description as Description
from nablax.runtime._saving._describe import describe as describe
from nablax.runtime._saving._file import File as File
from nablax.runtime._saving._format import sync_folder as sync_folder
from nablax.runtime._saving._format import write as write
from nablax.runtime._saving._host import Kept as Kept
from nablax.runtime._saving._host import implementation as implementation
from nablax.runtime._saving._host import is_key as is_key
from nablax.runtime._saving._host import key_of as key_of
from nablax.runtime._saving._host import shape_of as shape_of
from nablax.runtime._saving._host import to_host as to_host
from nablax.runtime._saving._optax import from_optax as from_optax
from nablax.runtime._saving._state_dict import VERSION as VERSION
from nablax.runtime._saving._state_dict import Report as Report
from nablax.runtime._saving._state_dict import Restored as Restored
from nablax.runtime._saving._state_dict import fitted as fitted
from nablax.runtime._saving._state_dict import load_state_dict as load_state_dict
from nablax.runtime._saving._state_dict import named as named
from nablax.runtime._saving._state_dict import placed as placed
from nablax.runtime._saving._state_dict import read_state_dict as read_state_dict
from nablax.runtime._saving._state_dict import state_dict as state_dict
from nablax.runtime._saving._state_dict import write_state_dict as write_state_dict
from nablax.runtime._saving._torch import from_torch as from_torch
from nablax.runtime._saving._trees import Fetched as Fetched
from nablax.runtime._saving._trees import arrays_and_values as arrays_and_values
from nablax.runtime._saving._trees import fitted_tree as fitted_tree
from nablax.runtime._saving._trees import load as load
from nablax.runtime._saving._trees import read_values as read_values
from nablax.runtime._saving._trees import save as save
