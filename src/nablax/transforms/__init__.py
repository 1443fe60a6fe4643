"""Gradient transformations that are parts: what a chain is made of."""

from nablax.core import ScaleByScheduleState as ScaleByScheduleState
from nablax.transforms import aggregating as aggregating
from nablax.transforms._accumulation import ApplyEvery as ApplyEvery
from nablax.transforms._accumulation import MultiSteps as MultiSteps
from nablax.transforms._accumulation import MultiStepsState as MultiStepsState
from nablax.transforms._accumulation import ShouldSkipUpdateFunction as ShouldSkipUpdateFunction
from nablax.transforms._accumulation import apply_every as apply_every
from nablax.transforms._accumulation import skip_large_updates as skip_large_updates
from nablax.transforms._accumulation import skip_not_finite as skip_not_finite
from nablax.transforms._centralize import centralize as centralize
from nablax.transforms._clipping import AdaptiveGradClipState as AdaptiveGradClipState
from nablax.transforms._clipping import ClipByGlobalNormState as ClipByGlobalNormState
from nablax.transforms._clipping import ClipState as ClipState
from nablax.transforms._clipping import adaptive_grad_clip as adaptive_grad_clip
from nablax.transforms._clipping import clip as clip
from nablax.transforms._clipping import clip_by_block_rms as clip_by_block_rms
from nablax.transforms._clipping import clip_by_global_norm as clip_by_global_norm
from nablax.transforms._clipping import global_norm as global_norm
from nablax.transforms._clipping import unitwise_clip as unitwise_clip
from nablax.transforms._clipping import unitwise_norm as unitwise_norm
from nablax.transforms._complex import SplitRealAndImaginaryArrays as SplitRealAndImaginaryArrays
from nablax.transforms._complex import SplitRealAndImaginaryState as SplitRealAndImaginaryState
from nablax.transforms._complex import split_real_and_imaginary as split_real_and_imaginary
from nablax.transforms._conditional import ApplyIfFiniteState as ApplyIfFiniteState
from nablax.transforms._conditional import ConditionallyMaskState as ConditionallyMaskState
from nablax.transforms._conditional import ConditionallyTransformState as ConditionallyTransformState
from nablax.transforms._conditional import ConditionFn as ConditionFn
from nablax.transforms._conditional import apply_if_finite as apply_if_finite
from nablax.transforms._conditional import conditionally_mask as conditionally_mask
from nablax.transforms._conditional import conditionally_transform as conditionally_transform
from nablax.transforms._constraining import NonNegativeParamsState as NonNegativeParamsState
from nablax.transforms._constraining import ZeroNansState as ZeroNansState
from nablax.transforms._constraining import keep_params_nonnegative as keep_params_nonnegative
from nablax.transforms._constraining import zero_nans as zero_nans
from nablax.transforms._decay import AddDecayedWeightsState as AddDecayedWeightsState
from nablax.transforms._decay import WeightDecaySchedule as WeightDecaySchedule
from nablax.transforms._decay import add_decayed_weights as add_decayed_weights
from nablax.transforms._flatten import flatten as flatten
from nablax.transforms._freezing import freeze as freeze
from nablax.transforms._freezing import selective_transform as selective_transform
from nablax.transforms._inject import InjectHyperparamsState as InjectHyperparamsState
from nablax.transforms._inject import InjectStatefulHyperparamsState as InjectStatefulHyperparamsState
from nablax.transforms._inject import inject_hyperparams as inject_hyperparams
from nablax.transforms._inject import inject_stateful_hyperparams as inject_stateful_hyperparams
from nablax.transforms._lookahead import LookaheadParams as LookaheadParams
from nablax.transforms._lookahead import LookaheadState as LookaheadState
from nablax.transforms._lookahead import lookahead as lookahead
from nablax.transforms._masking import masked as masked
from nablax.transforms._momentum import EmaState as EmaState
from nablax.transforms._momentum import TraceState as TraceState
from nablax.transforms._momentum import ema as ema
from nablax.transforms._momentum import trace as trace
from nablax.transforms._monitoring import MonitorState as MonitorState
from nablax.transforms._monitoring import SnapshotState as SnapshotState
from nablax.transforms._monitoring import measure_with_ema as measure_with_ema
from nablax.transforms._monitoring import monitor as monitor
from nablax.transforms._monitoring import snapshot as snapshot
from nablax.transforms._noise import AddNoiseState as AddNoiseState
from nablax.transforms._noise import add_noise as add_noise
from nablax.transforms._normalizing import NormalizeState as NormalizeState
from nablax.transforms._normalizing import ScaleByTrustRatioState as ScaleByTrustRatioState
from nablax.transforms._normalizing import normalize as normalize
from nablax.transforms._normalizing import normalize_by_update_norm as normalize_by_update_norm
from nablax.transforms._normalizing import scale_by_param_block_norm as scale_by_param_block_norm
from nablax.transforms._normalizing import scale_by_param_block_rms as scale_by_param_block_rms
from nablax.transforms._normalizing import scale_by_sign as scale_by_sign
from nablax.transforms._normalizing import scale_by_trust_ratio as scale_by_trust_ratio
from nablax.transforms._partition import PartitionState as PartitionState
from nablax.transforms._partition import PathPartition as PathPartition
from nablax.transforms._partition import partition as partition
from nablax.transforms._partition import partition_by_path as partition_by_path
from nablax.transforms._per_example import (
    DifferentiallyPrivateAggregateState as DifferentiallyPrivateAggregateState,
)
from nablax.transforms._per_example import (
    differentially_private_aggregate as differentially_private_aggregate,
)
from nablax.transforms._per_example import per_example_global_norm_clip as per_example_global_norm_clip
from nablax.transforms._per_example import per_example_layer_norm_clip as per_example_layer_norm_clip
from nablax.transforms._plateau import ReduceLROnPlateauState as ReduceLROnPlateauState
from nablax.transforms._plateau import reduce_on_plateau as reduce_on_plateau
from nablax.transforms._scale_gradient import scale_gradient as scale_gradient
from nablax.transforms._scaling import ScaleState as ScaleState
from nablax.transforms._scaling import scale as scale
from nablax.transforms._scaling import scale_by_learning_rate as scale_by_learning_rate
from nablax.transforms._scaling import scale_by_schedule as scale_by_schedule
