"""Gradient transformations that are parts: what a chain is made of."""

from nablax.transforms._centralize import centralize as centralize
from nablax.transforms._clipping import AdaptiveGradClipState as AdaptiveGradClipState
from nablax.transforms._clipping import ClipByGlobalNormState as ClipByGlobalNormState
from nablax.transforms._clipping import ClipState as ClipState
from nablax.transforms._clipping import adaptive_grad_clip as adaptive_grad_clip
from nablax.transforms._clipping import clip as clip
from nablax.transforms._clipping import clip_by_block_rms as clip_by_block_rms
from nablax.transforms._clipping import clip_by_global_norm as clip_by_global_norm
from nablax.transforms._clipping import unitwise_clip as unitwise_clip
from nablax.transforms._clipping import unitwise_norm as unitwise_norm
from nablax.transforms._decay import AddDecayedWeightsState as AddDecayedWeightsState
from nablax.transforms._decay import WeightDecaySchedule as WeightDecaySchedule
from nablax.transforms._decay import add_decayed_weights as add_decayed_weights
from nablax.transforms._masking import masked as masked
from nablax.transforms._momentum import EmaState as EmaState
from nablax.transforms._momentum import TraceState as TraceState
from nablax.transforms._momentum import ema as ema
from nablax.transforms._momentum import trace as trace
from nablax.transforms._scaling import ScaleByScheduleState as ScaleByScheduleState
from nablax.transforms._scaling import ScaleState as ScaleState
from nablax.transforms._scaling import scale as scale
from nablax.transforms._scaling import scale_by_learning_rate as scale_by_learning_rate
from nablax.transforms._scaling import scale_by_schedule as scale_by_schedule
