"""Precision: weights of few bits, and losses that are scaled."""

from nablax.runtime._precision._loss_scale import LossScaleState as LossScaleState
from nablax.runtime._precision._loss_scale import dynamic_loss_scale as dynamic_loss_scale
from nablax.runtime._precision._loss_scale import find_loss_scale as find_loss_scale
from nablax.runtime._precision._loss_scale import holds_loss_scale as holds_loss_scale
from nablax.runtime._precision._loss_scale import loss_scale_of as loss_scale_of
from nablax.runtime._precision._precision import PrecisionState as PrecisionState
from nablax.runtime._precision._precision import precision as precision
