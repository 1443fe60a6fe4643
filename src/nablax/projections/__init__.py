"""Euclidean projections of trees onto sets: the nearest point of the set."""

from ._boxes import projection_box as projection_box
from ._boxes import projection_hypercube as projection_hypercube
from ._boxes import projection_linf_ball as projection_linf_ball
from ._boxes import projection_non_negative as projection_non_negative
from ._norms import projection_l1_ball as projection_l1_ball
from ._norms import projection_l1_sphere as projection_l1_sphere
from ._norms import projection_l2_ball as projection_l2_ball
from ._norms import projection_l2_sphere as projection_l2_sphere
from ._norms import projection_simplex as projection_simplex
from ._planes import projection_halfspace as projection_halfspace
from ._planes import projection_hyperplane as projection_hyperplane
from ._planes import projection_vector as projection_vector
