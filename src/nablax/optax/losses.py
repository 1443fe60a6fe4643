"""The names of `optax.losses`."""

from nablax import losses as _losses
from nablax.losses import binary_dice_loss as binary_dice_loss
from nablax.losses import cosine_distance as cosine_distance
from nablax.losses import cosine_similarity as cosine_similarity
from nablax.losses import ctc_loss as ctc_loss
from nablax.losses import ctc_loss_with_forward_probs as ctc_loss_with_forward_probs
from nablax.losses import dice_loss as dice_loss
from nablax.losses import generalized_kl_divergence as generalized_kl_divergence
from nablax.losses import hinge_loss as hinge_loss
from nablax.losses import huber_loss as huber_loss
from nablax.losses import kl_divergence as kl_divergence
from nablax.losses import kl_divergence_with_log_targets as kl_divergence_with_log_targets
from nablax.losses import l2_loss as l2_loss
from nablax.losses import log_cosh as log_cosh
from nablax.losses import make_fenchel_young_loss as make_fenchel_young_loss
from nablax.losses import multiclass_generalized_dice_loss as multiclass_generalized_dice_loss
from nablax.losses import multiclass_hinge_loss as multiclass_hinge_loss
from nablax.losses import multiclass_perceptron_loss as multiclass_perceptron_loss
from nablax.losses import multiclass_sparsemax_loss as multiclass_sparsemax_loss
from nablax.losses import ntxent as ntxent
from nablax.losses import perceptron_loss as perceptron_loss
from nablax.losses import poly_loss_cross_entropy as poly_loss_cross_entropy
from nablax.losses import ranking_softmax_loss as ranking_softmax_loss
from nablax.losses import safe_softmax_cross_entropy as safe_softmax_cross_entropy
from nablax.losses import sigmoid_binary_cross_entropy as sigmoid_binary_cross_entropy
from nablax.losses import sigmoid_focal_loss as sigmoid_focal_loss
from nablax.losses import smooth_labels as smooth_labels
from nablax.losses import softmax_cross_entropy as softmax_cross_entropy
from nablax.losses import (
    softmax_cross_entropy_with_integer_labels as softmax_cross_entropy_with_integer_labels,
)
from nablax.losses import sparsemax_loss as sparsemax_loss
from nablax.losses import squared_error as squared_error
from nablax.losses import triplet_margin_loss as triplet_margin_loss
from nablax.optax import _deprecated

convex_kl_divergence = _deprecated.warn_deprecated_function(
    _losses.generalized_kl_divergence, replacement="generalized_kl_divergence", name="convex_kl_divergence"
)
