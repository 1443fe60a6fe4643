"""The names of `optax.transforms`."""

from nablax.core import MaskedNode as MaskedNode
from nablax.core import MaskedState as MaskedState
from nablax.core import chain as chain
from nablax.core import named_chain as named_chain
from nablax.transforms import AddNoiseState as AddNoiseState
from nablax.transforms import ApplyIfFiniteState as ApplyIfFiniteState
from nablax.transforms import ConditionallyMaskState as ConditionallyMaskState
from nablax.transforms import ConditionallyTransformState as ConditionallyTransformState
from nablax.transforms import ConditionFn as ConditionFn
from nablax.transforms import EmaState as EmaState
from nablax.transforms import MonitorState as MonitorState
from nablax.transforms import MultiSteps as MultiSteps
from nablax.transforms import MultiStepsState as MultiStepsState
from nablax.transforms import NonNegativeParamsState as NonNegativeParamsState
from nablax.transforms import PartitionState as PartitionState
from nablax.transforms import ShouldSkipUpdateFunction as ShouldSkipUpdateFunction
from nablax.transforms import SnapshotState as SnapshotState
from nablax.transforms import TraceState as TraceState
from nablax.transforms import ZeroNansState as ZeroNansState
from nablax.transforms import adaptive_grad_clip as adaptive_grad_clip
from nablax.transforms import add_decayed_weights as add_decayed_weights
from nablax.transforms import add_noise as add_noise
from nablax.transforms import apply_if_finite as apply_if_finite
from nablax.transforms import clip as clip
from nablax.transforms import clip_by_block_rms as clip_by_block_rms
from nablax.transforms import clip_by_global_norm as clip_by_global_norm
from nablax.transforms import conditionally_mask as conditionally_mask
from nablax.transforms import conditionally_transform as conditionally_transform
from nablax.transforms import ema as ema
from nablax.transforms import flatten as flatten
from nablax.transforms import freeze as freeze
from nablax.transforms import keep_params_nonnegative as keep_params_nonnegative
from nablax.transforms import masked as masked
from nablax.transforms import measure_with_ema as measure_with_ema
from nablax.transforms import monitor as monitor
from nablax.transforms import partition as partition
from nablax.transforms import per_example_global_norm_clip as per_example_global_norm_clip
from nablax.transforms import per_example_layer_norm_clip as per_example_layer_norm_clip
from nablax.transforms import selective_transform as selective_transform
from nablax.transforms import skip_large_updates as skip_large_updates
from nablax.transforms import skip_not_finite as skip_not_finite
from nablax.transforms import snapshot as snapshot
from nablax.transforms import trace as trace
from nablax.transforms import unitwise_clip as unitwise_clip
from nablax.transforms import unitwise_norm as unitwise_norm
from nablax.transforms import zero_nans as zero_nans

# Names that `from optax.transforms import *` leaves out.
_UNSTARRED = """
    ConditionFn MaskedNode per_example_global_norm_clip per_example_layer_norm_clip unitwise_clip unitwise_norm
"""
__all__ = sorted({n for n in globals() if n[0] != "_"}.difference(_UNSTARRED.split()))
