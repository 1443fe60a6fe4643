"""Methods for `games.solve`, one file each: how all players get from one joint point to the next."""

from nablax.games.methods._alternating import alternating as alternating
from nablax.games.methods._anchored import eag_c as eag_c
from nablax.games.methods._anchored import eag_v as eag_v
from nablax.games.methods._anchored import feg as feg
from nablax.games.methods._competitive import competitive as competitive
from nablax.games.methods._consensus import consensus as consensus
from nablax.games.methods._extragradient import extragradient as extragradient
from nablax.games.methods._forward_backward_forward import (
    forward_backward_forward as forward_backward_forward,
)
from nablax.games.methods._lola import lola as lola
from nablax.games.methods._lookahead import lookahead_minmax as lookahead_minmax
from nablax.games.methods._method import Method as Method
from nablax.games.methods._method import Step as Step
from nablax.games.methods._mirror_prox import mirror_prox as mirror_prox
from nablax.games.methods._optimistic import optimistic as optimistic
from nablax.games.methods._past_extragradient import past_extragradient as past_extragradient
from nablax.games.methods._simultaneous import simultaneous as simultaneous
from nablax.games.methods._symplectic import symplectic as symplectic
