"""Checkpoints: what of an optimizer or a tree is written, the pieces of arrays that are spread over devices, folders of
steps that appear whole, the backends that fill them, and the manager in front.
"""

from nablax.runtime._checkpoints._manager import CheckpointManager as CheckpointManager
