"""Games: several players, each with an own objective, on one joint point.

Gradient transformations (`extragradient`, `past_extragradient`, `anchored`, `negative_momentum`, `nupi`) fit into any
training loop. Where a method may call the field itself, `solve(methods.extragradient(0.1), field(...), z0, ...)` plays
the game in one compiled loop.
"""

from nablax.games import methods as methods
from nablax.games._anchored import AnchoredState as AnchoredState
from nablax.games._anchored import anchored as anchored
from nablax.games._bregman import BregmanMap as BregmanMap
from nablax.games._bregman import entropy as entropy
from nablax.games._bregman import euclidean as euclidean
from nablax.games._extragradient import ExtragradientState as ExtragradientState
from nablax.games._extragradient import extragradient as extragradient
from nablax.games._extragradient import is_extrapolation as is_extrapolation
from nablax.games._field import Field as Field
from nablax.games._field import field as field
from nablax.games._field import operator as operator
from nablax.games._lagrangian import Lagrangian as Lagrangian
from nablax.games._lagrangian import lagrangian as lagrangian
from nablax.games._matrix import duality_gap as duality_gap
from nablax.games._matrix import exploitability as exploitability
from nablax.games._negative_momentum import NegativeMomentumState as NegativeMomentumState
from nablax.games._negative_momentum import negative_momentum as negative_momentum
from nablax.games._nupi import ScaleByNupiState as ScaleByNupiState
from nablax.games._nupi import nupi as nupi
from nablax.games._past_extragradient import PastExtragradientState as PastExtragradientState
from nablax.games._past_extragradient import past_extragradient as past_extragradient
from nablax.games._plot import plot_trajectories as plot_trajectories
from nablax.games._solution import Solution as Solution
from nablax.games._solution import Stopped as Stopped
from nablax.games._solve import solve as solve
from nablax.games._trajectory import trajectory as trajectory
