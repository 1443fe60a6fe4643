"""nablax carries a gradient from the loss to the parameters: it computes it, transforms it, applies it.

    gradients in -> transformations -> updates out -> parameters

    tx = nablax.chain(nablax.clip_by_global_norm(1.0), nablax.adamw(1e-3))
    opt = nablax.Optimizer(tx, params)
    for batch in batches:
        opt.step(jax.grad(loss)(opt.params, *batch))

This is the table of contents: what every program uses by name, and the other wings, loaded when asked for.
`import nablax.optax as optax` is a drop-in for Optax 0.2.8.
"""

import difflib as _difflib
import sys as _sys
from importlib import import_module as _import_module
from typing import TYPE_CHECKING
from typing import Any as _Any

from nablax import core as core
from nablax import distributed as distributed
from nablax import optimizers as optimizers
from nablax import runtime as runtime
from nablax import schedules as schedules
from nablax import transforms as transforms
from nablax import tree as tree
from nablax.core import ArgumentError as ArgumentError
from nablax.core import ConvergenceError as ConvergenceError
from nablax.core import EmptyState as EmptyState
from nablax.core import FileError as FileError
from nablax.core import GradientTransformation as GradientTransformation
from nablax.core import GradientTransformationExtraArgs as GradientTransformationExtraArgs
from nablax.core import HyperparameterError as HyperparameterError
from nablax.core import MaskedNode as MaskedNode
from nablax.core import MaskedState as MaskedState
from nablax.core import MissingParamsError as MissingParamsError
from nablax.core import NablaxError as NablaxError
from nablax.core import StructureError as StructureError
from nablax.core import apply_updates as apply_updates
from nablax.core import chain as chain
from nablax.core import hyperparams as hyperparams
from nablax.core import identity as identity
from nablax.core import incremental_update as incremental_update
from nablax.core import leafwise as leafwise
from nablax.core import named_chain as named_chain
from nablax.core import periodic_update as periodic_update
from nablax.core import set_to_zero as set_to_zero
from nablax.core import stateless as stateless
from nablax.core import stateless_with_tree_map as stateless_with_tree_map
from nablax.core import with_extra_args_support as with_extra_args_support
from nablax.core import with_hyperparams as with_hyperparams
from nablax.optimizers import acprop as acprop
from nablax.optimizers import adabelief as adabelief
from nablax.optimizers import adadelta as adadelta
from nablax.optimizers import adafactor as adafactor
from nablax.optimizers import adagrad as adagrad
from nablax.optimizers import adam as adam
from nablax.optimizers import adamax as adamax
from nablax.optimizers import adamaxw as adamaxw
from nablax.optimizers import adamw as adamw
from nablax.optimizers import adan as adan
from nablax.optimizers import ademamix as ademamix
from nablax.optimizers import adopt as adopt
from nablax.optimizers import amsgrad as amsgrad
from nablax.optimizers import cocob as cocob
from nablax.optimizers import dadapt_adamw as dadapt_adamw
from nablax.optimizers import dog as dog
from nablax.optimizers import dowg as dowg
from nablax.optimizers import dpsgd as dpsgd
from nablax.optimizers import fromage as fromage
from nablax.optimizers import galore as galore
from nablax.optimizers import hutchinson_estimator_diag_hessian as hutchinson_estimator_diag_hessian
from nablax.optimizers import lamb as lamb
from nablax.optimizers import lars as lars
from nablax.optimizers import lion as lion
from nablax.optimizers import madgrad as madgrad
from nablax.optimizers import mechanize as mechanize
from nablax.optimizers import momentum as momentum
from nablax.optimizers import momo as momo
from nablax.optimizers import momo_adam as momo_adam
from nablax.optimizers import muon as muon
from nablax.optimizers import nadam as nadam
from nablax.optimizers import nadamw as nadamw
from nablax.optimizers import nesterov as nesterov
from nablax.optimizers import noisy_sgd as noisy_sgd
from nablax.optimizers import novograd as novograd
from nablax.optimizers import optimistic_adam as optimistic_adam
from nablax.optimizers import optimistic_adam_v2 as optimistic_adam_v2
from nablax.optimizers import optimistic_gradient_descent as optimistic_gradient_descent
from nablax.optimizers import orthogonalize_via_newton_schulz as orthogonalize_via_newton_schulz
from nablax.optimizers import polyak_sgd as polyak_sgd
from nablax.optimizers import prodigy as prodigy
from nablax.optimizers import radam as radam
from nablax.optimizers import rmsprop as rmsprop
from nablax.optimizers import rprop as rprop
from nablax.optimizers import sam as sam
from nablax.optimizers import scale_by_acprop as scale_by_acprop
from nablax.optimizers import scale_by_adadelta as scale_by_adadelta
from nablax.optimizers import scale_by_adam as scale_by_adam
from nablax.optimizers import scale_by_adamax as scale_by_adamax
from nablax.optimizers import scale_by_adan as scale_by_adan
from nablax.optimizers import scale_by_ademamix as scale_by_ademamix
from nablax.optimizers import scale_by_adopt as scale_by_adopt
from nablax.optimizers import scale_by_amsgrad as scale_by_amsgrad
from nablax.optimizers import scale_by_belief as scale_by_belief
from nablax.optimizers import scale_by_cocob as scale_by_cocob
from nablax.optimizers import scale_by_distance_over_gradients as scale_by_distance_over_gradients
from nablax.optimizers import scale_by_factored_rms as scale_by_factored_rms
from nablax.optimizers import scale_by_galore as scale_by_galore
from nablax.optimizers import scale_by_lion as scale_by_lion
from nablax.optimizers import scale_by_madgrad as scale_by_madgrad
from nablax.optimizers import scale_by_muon as scale_by_muon
from nablax.optimizers import scale_by_novograd as scale_by_novograd
from nablax.optimizers import scale_by_optimistic_gradient as scale_by_optimistic_gradient
from nablax.optimizers import scale_by_polyak as scale_by_polyak
from nablax.optimizers import scale_by_radam as scale_by_radam
from nablax.optimizers import scale_by_rms as scale_by_rms
from nablax.optimizers import scale_by_rprop as scale_by_rprop
from nablax.optimizers import scale_by_rss as scale_by_rss
from nablax.optimizers import scale_by_simplified_ademamix as scale_by_simplified_ademamix
from nablax.optimizers import scale_by_sm3 as scale_by_sm3
from nablax.optimizers import scale_by_stddev as scale_by_stddev
from nablax.optimizers import scale_by_tiger as scale_by_tiger
from nablax.optimizers import scale_by_yogi as scale_by_yogi
from nablax.optimizers import schedule_free as schedule_free
from nablax.optimizers import schedule_free_adamw as schedule_free_adamw
from nablax.optimizers import schedule_free_eval_params as schedule_free_eval_params
from nablax.optimizers import schedule_free_sgd as schedule_free_sgd
from nablax.optimizers import sgd as sgd
from nablax.optimizers import sign_sgd as sign_sgd
from nablax.optimizers import signum as signum
from nablax.optimizers import simplified_ademamix as simplified_ademamix
from nablax.optimizers import sm3 as sm3
from nablax.optimizers import sophia as sophia
from nablax.optimizers import tiger as tiger
from nablax.optimizers import yogi as yogi
from nablax.runtime import CheckpointManager as CheckpointManager
from nablax.runtime import CSVLogger as CSVLogger
from nablax.runtime import FlatParams as FlatParams
from nablax.runtime import JSONLinesLogger as JSONLinesLogger
from nablax.runtime import Optimizer as Optimizer
from nablax.runtime import TensorBoardLogger as TensorBoardLogger
from nablax.runtime import averaged_params as averaged_params
from nablax.runtime import describe as describe
from nablax.runtime import describe_memory as describe_memory
from nablax.runtime import dynamic_loss_scale as dynamic_loss_scale
from nablax.runtime import ema_params as ema_params
from nablax.runtime import flat_params as flat_params
from nablax.runtime import from_optax as from_optax
from nablax.runtime import from_torch as from_torch
from nablax.runtime import lawa as lawa
from nablax.runtime import load as load
from nablax.runtime import load_state_dict as load_state_dict
from nablax.runtime import loss_scale_of as loss_scale_of
from nablax.runtime import lr_finder as lr_finder
from nablax.runtime import metrics_of as metrics_of
from nablax.runtime import offload_state as offload_state
from nablax.runtime import packed as packed
from nablax.runtime import precision as precision
from nablax.runtime import quantize_state as quantize_state
from nablax.runtime import save as save
from nablax.runtime import shard_state as shard_state
from nablax.runtime import state_dict as state_dict
from nablax.runtime import state_shardings as state_shardings
from nablax.runtime import swa as swa
from nablax.runtime import train_step as train_step
from nablax.runtime import with_metrics as with_metrics
from nablax.schedules import StatefulSchedule as StatefulSchedule
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
from nablax.transforms import MultiSteps as MultiSteps
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
from nablax.transforms import differentially_private_aggregate as differentially_private_aggregate
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
from nablax.transforms import normalize as normalize
from nablax.transforms import normalize_by_update_norm as normalize_by_update_norm
from nablax.transforms import over_axis as over_axis
from nablax.transforms import partition as partition
from nablax.transforms import partition_by_path as partition_by_path
from nablax.transforms import per_example_global_norm_clip as per_example_global_norm_clip
from nablax.transforms import per_example_layer_norm_clip as per_example_layer_norm_clip
from nablax.transforms import reduce_on_plateau as reduce_on_plateau
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
from nablax.transforms import split_real_and_imaginary as split_real_and_imaginary
from nablax.transforms import trace as trace
from nablax.transforms import unitwise_clip as unitwise_clip
from nablax.transforms import unitwise_norm as unitwise_norm
from nablax.transforms import zero_nans as zero_nans

__version__ = "0.1.0"  # that of pyproject.toml

multi_transform = partition

if TYPE_CHECKING:
    from nablax import assignment as assignment
    from nablax import autograd as autograd
    from nablax import games as games
    from nablax import linesearch as linesearch
    from nablax import losses as losses
    from nablax import perturbations as perturbations
    from nablax import projections as projections
    from nablax import second_order as second_order
    from nablax.games import anchored as anchored
    from nablax.games import extragradient as extragradient
    from nablax.games import is_extrapolation as is_extrapolation
    from nablax.games import negative_momentum as negative_momentum
    from nablax.games import nupi as nupi
    from nablax.games import past_extragradient as past_extragradient
    from nablax.linesearch import lbfgs as lbfgs
    from nablax.linesearch import minimize as minimize
    from nablax.linesearch import scale_by_backtracking_linesearch as scale_by_backtracking_linesearch
    from nablax.linesearch import scale_by_lbfgs as scale_by_lbfgs
    from nablax.linesearch import scale_by_zoom_linesearch as scale_by_zoom_linesearch

_WINGS = frozenset(
    {
        "assignment",
        "autograd",
        "games",
        "linesearch",
        "losses",
        "perturbations",
        "projections",
        "second_order",
        "optax",
        "workbench",
    }
)
_SEARCHED = (  # where a name that is not here may be
    "losses", "schedules", "projections", "assignment", "tree", "linesearch", "second_order", "perturbations", "games",
    "distributed", "runtime", "core",
)  # fmt: skip
_LAZY = {
    "extragradient": "games",
    "is_extrapolation": "games",
    "past_extragradient": "games",
    "anchored": "games",
    "negative_momentum": "games",
    "nupi": "games",
    "lbfgs": "linesearch",
    "scale_by_lbfgs": "linesearch",
    "scale_by_backtracking_linesearch": "linesearch",
    "scale_by_zoom_linesearch": "linesearch",
    "minimize": "linesearch",
}


def __getattr__(name: str) -> _Any:
    if name in _WINGS:
        return _import_module(f"nablax.{name}")
    if name in _LAZY:
        return getattr(_import_module(f"nablax.{_LAZY[name]}"), name)
    told = f"nablax has no attribute {name!r}"
    if not name.startswith("_"):
        holders = [wing for wing in _SEARCHED if hasattr(_import_module(f"nablax.{wing}"), name)]
        near = _difflib.get_close_matches(name.lower(), __dir__(), 1)
        if holders:
            told += f"; it is nablax.{holders[0]}.{name}"
        elif near:
            told += f"; did you mean {near[0]!r}?"
    raise AttributeError(told, name=name, obj=_sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted({*globals(), *_WINGS, *_LAZY})
