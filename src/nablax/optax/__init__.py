"""Optax's names, in Optax's layout: `import nablax.optax as optax`.

Re-exports only: each name is documented in the wing it comes from. docs/differences.md lists what differs.
"""

import sys as _sys
import typing as _typing

from nablax import core as _core
from nablax import optimizers as _optimizers
from nablax import transforms as _transforms
from nablax import tree as _tree
from nablax.core import EmptyState as EmptyState
from nablax.core import GradientTransformation as GradientTransformation
from nablax.core import GradientTransformationExtraArgs as GradientTransformationExtraArgs
from nablax.core import MaskedNode as MaskedNode
from nablax.core import MaskedState as MaskedState
from nablax.core import MaskOrFn as MaskOrFn
from nablax.core import OptState as OptState
from nablax.core import Params as Params
from nablax.core import ScalarOrSchedule as ScalarOrSchedule
from nablax.core import Schedule as Schedule
from nablax.core import TransformInitFn as TransformInitFn
from nablax.core import TransformUpdateExtraArgsFn as TransformUpdateExtraArgsFn
from nablax.core import TransformUpdateFn as TransformUpdateFn
from nablax.core import Updates as Updates
from nablax.core import apply_updates as apply_updates
from nablax.core import chain as chain
from nablax.core import identity as identity
from nablax.core import incremental_update as incremental_update
from nablax.core import init_empty_state as init_empty_state
from nablax.core import matrix_inverse_pth_root as matrix_inverse_pth_root
from nablax.core import named_chain as named_chain
from nablax.core import nnls as nnls
from nablax.core import periodic_update as periodic_update
from nablax.core import power_iteration as power_iteration
from nablax.core import safe_increment as safe_increment
from nablax.core import safe_norm as safe_norm
from nablax.core import safe_root_mean_squares as safe_root_mean_squares
from nablax.core import set_to_zero as set_to_zero
from nablax.core import stateless as stateless
from nablax.core import stateless_with_tree_map as stateless_with_tree_map
from nablax.core import with_extra_args_support as with_extra_args_support
from nablax.linesearch import ScaleByBacktrackingLinesearchState as ScaleByBacktrackingLinesearchState
from nablax.linesearch import ScaleByLBFGSState as ScaleByLBFGSState
from nablax.linesearch import ScaleByZoomLinesearchState as ScaleByZoomLinesearchState
from nablax.linesearch import ZoomLinesearchInfo as ZoomLinesearchInfo
from nablax.linesearch import lbfgs as lbfgs
from nablax.linesearch import scale_by_backtracking_linesearch as scale_by_backtracking_linesearch
from nablax.linesearch import scale_by_lbfgs as scale_by_lbfgs
from nablax.linesearch import scale_by_zoom_linesearch as scale_by_zoom_linesearch
from nablax.linesearch import value_and_grad_from_state as value_and_grad_from_state
from nablax.losses import cosine_distance as cosine_distance
from nablax.losses import cosine_similarity as cosine_similarity
from nablax.losses import ctc_loss as ctc_loss
from nablax.losses import ctc_loss_with_forward_probs as ctc_loss_with_forward_probs
from nablax.losses import generalized_kl_divergence as generalized_kl_divergence
from nablax.losses import hinge_loss as hinge_loss
from nablax.losses import huber_loss as huber_loss
from nablax.losses import kl_divergence as kl_divergence
from nablax.losses import l2_loss as l2_loss
from nablax.losses import log_cosh as log_cosh
from nablax.losses import ntxent as ntxent
from nablax.losses import safe_softmax_cross_entropy as safe_softmax_cross_entropy
from nablax.losses import sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy
from nablax.losses import sigmoid_focal_loss as sigmoid_focal_loss
from nablax.losses import smooth_labels as smooth_labels
from nablax.losses import softmax_cross_entropy as softmax_cross_entropy
from nablax.losses import (
    softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels,
)
from nablax.losses import squared_error as squared_error
from nablax.optax import _deprecated, _private
from nablax.optax import assignment as assignment
from nablax.optax import contrib as contrib
from nablax.optax import experimental as experimental
from nablax.optax import losses as losses
from nablax.optax import microbatching as microbatching
from nablax.optax import perturbations as perturbations
from nablax.optax import projections as projections
from nablax.optax import schedules as schedules
from nablax.optax import second_order as second_order
from nablax.optax import transforms as transforms
from nablax.optax import tree as tree
from nablax.optax import tree_utils as tree_utils
from nablax.optax.losses import convex_kl_divergence as convex_kl_divergence
from nablax.optimizers import FactoredState as FactoredState
from nablax.optimizers import ScaleByAdaDeltaState as ScaleByAdaDeltaState
from nablax.optimizers import ScaleByAdamState as ScaleByAdamState
from nablax.optimizers import ScaleByAdanState as ScaleByAdanState
from nablax.optimizers import ScaleByAmsgradState as ScaleByAmsgradState
from nablax.optimizers import ScaleByBeliefState as ScaleByBeliefState
from nablax.optimizers import ScaleByLionState as ScaleByLionState
from nablax.optimizers import ScaleByNovogradState as ScaleByNovogradState
from nablax.optimizers import ScaleByRmsState as ScaleByRmsState
from nablax.optimizers import ScaleByRpropState as ScaleByRpropState
from nablax.optimizers import ScaleByRssState as ScaleByRssState
from nablax.optimizers import ScaleByRStdDevState as ScaleByRStdDevState
from nablax.optimizers import ScaleBySM3State as ScaleBySM3State
from nablax.optimizers import adabelief as adabelief
from nablax.optimizers import adadelta as adadelta
from nablax.optimizers import adafactor as adafactor
from nablax.optimizers import adagrad as adagrad
from nablax.optimizers import adam as adam
from nablax.optimizers import adamax as adamax
from nablax.optimizers import adamaxw as adamaxw
from nablax.optimizers import adamw as adamw
from nablax.optimizers import adan as adan
from nablax.optimizers import amsgrad as amsgrad
from nablax.optimizers import fromage as fromage
from nablax.optimizers import lamb as lamb
from nablax.optimizers import lars as lars
from nablax.optimizers import lion as lion
from nablax.optimizers import nadam as nadam
from nablax.optimizers import nadamw as nadamw
from nablax.optimizers import noisy_sgd as noisy_sgd
from nablax.optimizers import novograd as novograd
from nablax.optimizers import optimistic_adam_v2 as optimistic_adam_v2
from nablax.optimizers import optimistic_gradient_descent as optimistic_gradient_descent
from nablax.optimizers import polyak_sgd as polyak_sgd
from nablax.optimizers import radam as radam
from nablax.optimizers import rmsprop as rmsprop
from nablax.optimizers import rprop as rprop
from nablax.optimizers import scale_by_adadelta as scale_by_adadelta
from nablax.optimizers import scale_by_adam as scale_by_adam
from nablax.optimizers import scale_by_adamax as scale_by_adamax
from nablax.optimizers import scale_by_adan as scale_by_adan
from nablax.optimizers import scale_by_amsgrad as scale_by_amsgrad
from nablax.optimizers import scale_by_belief as scale_by_belief
from nablax.optimizers import scale_by_distance_over_gradients as scale_by_distance_over_gradients
from nablax.optimizers import scale_by_factored_rms as scale_by_factored_rms
from nablax.optimizers import scale_by_lion as scale_by_lion
from nablax.optimizers import scale_by_novograd as scale_by_novograd
from nablax.optimizers import scale_by_optimistic_gradient as scale_by_optimistic_gradient
from nablax.optimizers import scale_by_polyak as scale_by_polyak
from nablax.optimizers import scale_by_radam as scale_by_radam
from nablax.optimizers import scale_by_rms as scale_by_rms
from nablax.optimizers import scale_by_rprop as scale_by_rprop
from nablax.optimizers import scale_by_rss as scale_by_rss
from nablax.optimizers import scale_by_sm3 as scale_by_sm3
from nablax.optimizers import scale_by_stddev as scale_by_stddev
from nablax.optimizers import scale_by_yogi as scale_by_yogi
from nablax.optimizers import sgd as sgd
from nablax.optimizers import sign_sgd as sign_sgd
from nablax.optimizers import signum as signum
from nablax.optimizers import sm3 as sm3
from nablax.optimizers import yogi as yogi
from nablax.perturbations import multi_normal as multi_normal
from nablax.runtime import microbatch as microbatch
from nablax.schedules import WrappedSchedule as WrappedSchedule
from nablax.schedules import constant_schedule as constant_schedule
from nablax.schedules import cosine_decay_schedule as cosine_decay_schedule
from nablax.schedules import cosine_onecycle_schedule as cosine_onecycle_schedule
from nablax.schedules import exponential_decay as exponential_decay
from nablax.schedules import join_schedules as join_schedules
from nablax.schedules import linear_onecycle_schedule as linear_onecycle_schedule
from nablax.schedules import linear_schedule as linear_schedule
from nablax.schedules import piecewise_constant_schedule as piecewise_constant_schedule
from nablax.schedules import piecewise_interpolate_schedule as piecewise_interpolate_schedule
from nablax.schedules import polynomial_schedule as polynomial_schedule
from nablax.schedules import sgdr_schedule as sgdr_schedule
from nablax.schedules import warmup_constant_schedule as warmup_constant_schedule
from nablax.schedules import warmup_cosine_decay_schedule as warmup_cosine_decay_schedule
from nablax.schedules import warmup_exponential_decay_schedule as warmup_exponential_decay_schedule
from nablax.transforms import AdaptiveGradClipState as AdaptiveGradClipState
from nablax.transforms import AddDecayedWeightsState as AddDecayedWeightsState
from nablax.transforms import AddNoiseState as AddNoiseState
from nablax.transforms import ApplyEvery as ApplyEvery
from nablax.transforms import ApplyIfFiniteState as ApplyIfFiniteState
from nablax.transforms import ClipByGlobalNormState as ClipByGlobalNormState
from nablax.transforms import ClipState as ClipState
from nablax.transforms import ConditionallyMaskState as ConditionallyMaskState
from nablax.transforms import ConditionallyTransformState as ConditionallyTransformState
from nablax.transforms import EmaState as EmaState
from nablax.transforms import InjectHyperparamsState as InjectHyperparamsState
from nablax.transforms import InjectStatefulHyperparamsState as InjectStatefulHyperparamsState
from nablax.transforms import LookaheadParams as LookaheadParams
from nablax.transforms import LookaheadState as LookaheadState
from nablax.transforms import MonitorState as MonitorState
from nablax.transforms import MultiSteps as MultiSteps
from nablax.transforms import MultiStepsState as MultiStepsState
from nablax.transforms import NonNegativeParamsState as NonNegativeParamsState
from nablax.transforms import PartitionState as PartitionState
from nablax.transforms import ScaleByScheduleState as ScaleByScheduleState
from nablax.transforms import ScaleByTrustRatioState as ScaleByTrustRatioState
from nablax.transforms import ScaleState as ScaleState
from nablax.transforms import ShouldSkipUpdateFunction as ShouldSkipUpdateFunction
from nablax.transforms import SnapshotState as SnapshotState
from nablax.transforms import TraceState as TraceState
from nablax.transforms import ZeroNansState as ZeroNansState
from nablax.transforms import adaptive_grad_clip as adaptive_grad_clip
from nablax.transforms import add_decayed_weights as add_decayed_weights
from nablax.transforms import add_noise as add_noise
from nablax.transforms import apply_every as apply_every
from nablax.transforms import apply_if_finite as apply_if_finite
from nablax.transforms import centralize as centralize
from nablax.transforms import clip as clip
from nablax.transforms import clip_by_block_rms as clip_by_block_rms
from nablax.transforms import clip_by_global_norm as clip_by_global_norm
from nablax.transforms import conditionally_mask as conditionally_mask
from nablax.transforms import conditionally_transform as conditionally_transform
from nablax.transforms import ema as ema
from nablax.transforms import flatten as flatten
from nablax.transforms import freeze as freeze
from nablax.transforms import global_norm as global_norm
from nablax.transforms import inject_hyperparams as inject_hyperparams
from nablax.transforms import inject_stateful_hyperparams as inject_stateful_hyperparams
from nablax.transforms import keep_params_nonnegative as keep_params_nonnegative
from nablax.transforms import lookahead as lookahead
from nablax.transforms import masked as masked
from nablax.transforms import measure_with_ema as measure_with_ema
from nablax.transforms import monitor as monitor
from nablax.transforms import normalize_by_update_norm as normalize_by_update_norm
from nablax.transforms import partition as partition
from nablax.transforms import per_example_global_norm_clip as per_example_global_norm_clip
from nablax.transforms import per_example_layer_norm_clip as per_example_layer_norm_clip
from nablax.transforms import scale as scale
from nablax.transforms import scale_by_learning_rate as scale_by_learning_rate
from nablax.transforms import scale_by_param_block_norm as scale_by_param_block_norm
from nablax.transforms import scale_by_param_block_rms as scale_by_param_block_rms
from nablax.transforms import scale_by_schedule as scale_by_schedule
from nablax.transforms import scale_by_sign as scale_by_sign
from nablax.transforms import scale_by_trust_ratio as scale_by_trust_ratio
from nablax.transforms import scale_gradient as scale_gradient
from nablax.transforms import selective_transform as selective_transform
from nablax.transforms import skip_large_updates as skip_large_updates
from nablax.transforms import skip_not_finite as skip_not_finite
from nablax.transforms import snapshot as snapshot
from nablax.transforms import trace as trace
from nablax.transforms import zero_nans as zero_nans
from nablax.tree import bias_correction as bias_correction
from nablax.tree import update_infinity_moment as update_infinity_moment
from nablax.tree import update_moment as update_moment
from nablax.tree import update_moment_per_elem_norm as update_moment_per_elem_norm

MultiTransformState = _transforms.PartitionState
multi_transform = _transforms.partition
optimistic_adam = _deprecated.warn_deprecated_function(
    _optimizers.optimistic_adam, replacement="`optimistic_adam_v2`"
)
safe_int32_increment = _core.safe_increment
tree_map_params = _tree.map_params

__version__ = "0.2.8"  # of the interface; nablax.__version__ is the package's

# Names that `from optax import *` leaves out.
_UNSTARRED = """
    InjectStatefulHyperparamsState MaskedNode SnapshotState WrappedSchedule bias_correction contrib experimental freeze
    inject_stateful_hyperparams losses microbatching named_chain normalize_by_update_norm optimistic_adam
    optimistic_adam_v2 optimistic_gradient_descent perturbations projections safe_softmax_cross_entropy
    scale_by_distance_over_gradients scale_by_learning_rate scale_by_optimistic_gradient schedules second_order
    selective_transform sigmoid_focal_loss snapshot squared_error transforms tree tree_map_params tree_utils
    update_infinity_moment update_moment update_moment_per_elem_norm warmup_constant_schedule with_extra_args_support
"""
# Names that moved to `optax.contrib`: served with a warning.
_MOVED = ("DifferentiallyPrivateAggregateState", "differentially_private_aggregate", "dpsgd")

__all__ = sorted({n for n in globals() if n[0] != "_"}.difference(_UNSTARRED.split()).union(_MOVED))

if _typing.TYPE_CHECKING:
    from nablax.optax.contrib import (
        DifferentiallyPrivateAggregateState as DifferentiallyPrivateAggregateState,
    )
    from nablax.optax.contrib import differentially_private_aggregate as differentially_private_aggregate
    from nablax.optax.contrib import dpsgd as dpsgd
else:
    __getattr__ = _deprecated.deprecation_getattr(
        __name__,
        _deprecated.moved({n: (f"optax.contrib.{n}", getattr(contrib, n)) for n in _MOVED})
        | {"monte_carlo": ("monte_carlo is gone; optax.perturbations estimates gradients", None)},
    )

_private.install(_sys.modules[__name__])
