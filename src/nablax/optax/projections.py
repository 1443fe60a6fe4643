"""The names of `optax.projections`."""

from nablax.projections import projection_box as projection_box
from nablax.projections import projection_halfspace as projection_halfspace
from nablax.projections import projection_hypercube as projection_hypercube
from nablax.projections import projection_hyperplane as projection_hyperplane
from nablax.projections import projection_l1_ball as projection_l1_ball
from nablax.projections import projection_l1_sphere as projection_l1_sphere
from nablax.projections import projection_l2_ball as projection_l2_ball
from nablax.projections import projection_l2_sphere as projection_l2_sphere
from nablax.projections import projection_linf_ball as projection_linf_ball
from nablax.projections import projection_non_negative as projection_non_negative
from nablax.projections import projection_simplex as projection_simplex
from nablax.projections import projection_vector as projection_vector
