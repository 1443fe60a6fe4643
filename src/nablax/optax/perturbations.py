"""The names of `optax.perturbations`."""

from nablax.perturbations import Gumbel as Gumbel
from nablax.perturbations import Normal as Normal
from nablax.perturbations import make_perturbed_fun as make_perturbed_fun
