"""The names of `optax.second_order`."""

from nablax.second_order import fisher_diag as fisher_diag
from nablax.second_order import hessian_diag as hessian_diag
from nablax.second_order import hvp as hvp
