"""Hessian and Fisher products, their traces and diagonals, and derivatives through solutions."""

from nablax.second_order._hutchinson import hutchinson_diag as hutchinson_diag
from nablax.second_order._hutchinson import hutchinson_trace as hutchinson_trace
from nablax.second_order._implicit import custom_fixed_point as custom_fixed_point
from nablax.second_order._implicit import custom_root as custom_root
from nablax.second_order._products import fisher_diag as fisher_diag
from nablax.second_order._products import hessian_diag as hessian_diag
from nablax.second_order._products import hessian_product as hessian_product
from nablax.second_order._products import hvp as hvp
