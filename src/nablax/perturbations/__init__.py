"""Stochastic gradient estimators: unbiased gradients of functions that have none.

Noise laws, smoothed functions and optimizers, gradients of expectations, evolution strategies, and how noisy
they all are.
"""

from ._control_variates import control_delta_method as control_delta_method
from ._control_variates import control_variates_jacobians as control_variates_jacobians
from ._control_variates import moving_avg_baseline as moving_avg_baseline
from ._distributions import MultiNormalDiag as MultiNormalDiag
from ._distributions import multi_normal as multi_normal
from ._evolution import centered_ranks as centered_ranks
from ._evolution import es_gradient as es_gradient
from ._evolution import es_value_and_gradient as es_value_and_gradient
from ._evolution import spsa as spsa
from ._jacobians import measure_valued_jacobians as measure_valued_jacobians
from ._jacobians import pathwise_jacobians as pathwise_jacobians
from ._jacobians import score_function_jacobians as score_function_jacobians
from ._mezo import MezoInfo as MezoInfo
from ._mezo import mezo as mezo
from ._mezo import mezo_gradient as mezo_gradient
from ._mezo import mezo_slopes as mezo_slopes
from ._noise import Gumbel as Gumbel
from ._noise import Laplace as Laplace
from ._noise import Normal as Normal
from ._noise import Rademacher as Rademacher
from ._noise import UniformSphere as UniformSphere
from ._optimizers import fenchel_young_loss as fenchel_young_loss
from ._optimizers import perturbed_argmax as perturbed_argmax
from ._optimizers import perturbed_optimizer as perturbed_optimizer
from ._optimizers import perturbed_rank as perturbed_rank
from ._optimizers import perturbed_shortest_path as perturbed_shortest_path
from ._optimizers import perturbed_sort as perturbed_sort
from ._optimizers import perturbed_top_k as perturbed_top_k
from ._oracles import argmax_oracle as argmax_oracle
from ._oracles import rank_oracle as rank_oracle
from ._oracles import shortest_path_oracle as shortest_path_oracle
from ._oracles import top_k_oracle as top_k_oracle
from ._perturbed import make_perturbed_fun as make_perturbed_fun
from ._statistics import GradientStatistics as GradientStatistics
from ._statistics import gradient_statistics as gradient_statistics
