"""The names of `optax.assignment`."""

from nablax.assignment import base_hungarian_algorithm as base_hungarian_algorithm
from nablax.assignment import hungarian_algorithm as hungarian_algorithm
