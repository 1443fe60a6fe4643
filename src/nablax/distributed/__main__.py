"""`python -m nablax.distributed` is `nablax launch`, and needs no extra."""

import sys

from nablax.distributed._launch import launch

launch(sys.argv[1:])
