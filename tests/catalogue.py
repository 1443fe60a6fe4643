"""One ready instance of every public optimizer and part of nablax.optimizers, with what its update needs.

Contract tests are parametrised over these tables, and a test compares them with the public names.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax import optimizers as o
from nablax.core import chain
from nablax.transforms import normalize

OPTIMIZERS: dict[str, Any] = {
    "acprop": lambda lr: o.acprop(lr, eps=1e-3),
    "adabelief": lambda lr: o.adabelief(lr, eps=1e-8),
    "adadelta": lambda lr: o.adadelta(100 * lr),
    "adafactor": lambda lr: o.adafactor(
        lr, min_dim_size_to_factor=2, momentum=0.9, weight_decay=1e-5, dtype_momentum=None
    ),
    "adagrad": lambda lr: o.adagrad(10 * lr),
    "adam": lambda lr: o.adam(lr),
    "adamax": lambda lr: o.adamax(lr),
    "adamaxw": lambda lr: o.adamaxw(lr),
    "adamw": lambda lr: o.adamw(lr),
    "adan": lambda lr: o.adan(lr),
    "ademamix": lambda lr: o.ademamix(0.3 * lr, b3=0.99, alpha=1.0),
    "adopt": lambda lr: o.adopt(lr),
    "amsgrad": lambda lr: o.amsgrad(lr),
    "cocob": lambda lr: o.cocob(),
    "dadapt_adamw": lambda lr: o.dadapt_adamw(estim_lr0=1e-2),
    "dog": lambda lr: o.dog(init_step=("distance", 1e-2)),
    "dowg": lambda lr: o.dowg(),
    "dpsgd": lambda lr: o.dpsgd(lr, 100.0, 1e-6, seed=0),
    "fromage": lambda lr: o.fromage(0.5 * lr),
    "galore": lambda lr: o.galore(lr, rank=1, update_proj_gap=2),
    "lamb": lambda lr: o.lamb(0.3 * lr),
    "lars": lambda lr: o.lars(lr, trust_coefficient=0.1),
    "lion": lambda lr: o.lion(0.3 * lr),
    "madgrad": lambda lr: o.madgrad(lr),
    "mechanize": lambda lr: o.mechanize(o.adam(1.0), s_init=1e-3),
    "momentum": lambda lr: o.momentum(0.1 * lr),
    "momo": lambda lr: o.momo(0.1 * lr),
    "momo_adam": lambda lr: o.momo_adam(lr),
    "muon": lambda lr: o.muon(lr),
    "nadam": lambda lr: o.nadam(lr),
    "nadamw": lambda lr: o.nadamw(lr),
    "nesterov": lambda lr: o.nesterov(0.1 * lr),
    "noisy_sgd": lambda lr: o.noisy_sgd(lr, eta=1e-6, key=0),
    "novograd": lambda lr: o.novograd(0.3 * lr),
    "optimistic_adam": lambda lr: o.optimistic_adam(lr),
    "optimistic_adam_v2": lambda lr: o.optimistic_adam_v2(lr),
    "optimistic_gradient_descent": lambda lr: o.optimistic_gradient_descent(lr),
    "polyak_sgd": lambda lr: o.polyak_sgd(max_learning_rate=1.0),
    "prodigy": lambda lr: o.prodigy(estim_lr0=1e-2),
    "radam": lambda lr: o.radam(lr),
    "rmsprop": lambda lr: o.rmsprop(0.3 * lr),
    "rprop": lambda lr: o.rprop(lr),
    "sam": lambda lr: o.sam(o.sgd(lr), chain(normalize(), o.sgd(1e-3))),
    "schedule_free": lambda lr: o.schedule_free(o.sgd(lr), lr),
    "schedule_free_adamw": lambda lr: o.schedule_free_adamw(lr),
    "schedule_free_sgd": lambda lr: o.schedule_free_sgd(lr),
    "sgd": lambda lr: o.sgd(lr),
    "sign_sgd": lambda lr: o.sign_sgd(0.3 * lr),
    "signum": lambda lr: o.signum(0.3 * lr),
    "simplified_ademamix": lambda lr: o.simplified_ademamix(0.1 * lr, b1=0.9),
    "sm3": lambda lr: o.sm3(10 * lr),
    "sophia": lambda lr: o.sophia(lr, gamma=1.0),
    "tiger": lambda lr: o.tiger(0.3 * lr),
    "yogi": lambda lr: o.yogi(lr),
}
"""By name, a function of a learning rate; those that find their own ignore it."""

PARTS: dict[str, Any] = {
    "scale_by_acprop": o.scale_by_acprop,
    "scale_by_adadelta": o.scale_by_adadelta,
    "scale_by_adam": o.scale_by_adam,
    "scale_by_adamax": o.scale_by_adamax,
    "scale_by_adan": o.scale_by_adan,
    "scale_by_ademamix": o.scale_by_ademamix,
    "scale_by_adopt": o.scale_by_adopt,
    "scale_by_amsgrad": o.scale_by_amsgrad,
    "scale_by_belief": o.scale_by_belief,
    "scale_by_cocob": o.scale_by_cocob,
    "scale_by_distance_over_gradients": o.scale_by_distance_over_gradients,
    "scale_by_factored_rms": o.scale_by_factored_rms,
    "scale_by_galore": o.scale_by_galore,
    "scale_by_lion": o.scale_by_lion,
    "scale_by_madgrad": lambda: o.scale_by_madgrad(0.1),
    "scale_by_muon": lambda: o.muon(0.1),
    "scale_by_novograd": o.scale_by_novograd,
    "scale_by_optimistic_gradient": o.scale_by_optimistic_gradient,
    "scale_by_polyak": o.scale_by_polyak,
    "scale_by_radam": o.scale_by_radam,
    "scale_by_rms": o.scale_by_rms,
    "scale_by_rprop": lambda: o.scale_by_rprop(0.1),
    "scale_by_rss": o.scale_by_rss,
    "scale_by_simplified_ademamix": o.scale_by_simplified_ademamix,
    "scale_by_sm3": o.scale_by_sm3,
    "scale_by_stddev": o.scale_by_stddev,
    "scale_by_tiger": o.scale_by_tiger,
    "scale_by_yogi": o.scale_by_yogi,
    "hutchinson_estimator_diag_hessian": lambda: o.hutchinson_estimator_diag_hessian(0),
}
"""Parts of a chain, with their defaults. Muon's, which takes matrices only, stands within its optimizer."""

HELPERS = {"orthogonalize_via_newton_schulz", "schedule_free_eval_params"}
"""Public functions that are no transformations."""

NEEDS_PARAMS = {
    "acprop", "adadelta", "adafactor", "adamaxw", "adamw", "adan", "ademamix", "cocob", "dadapt_adamw", "dog",
    "dowg", "fromage", "galore", "lamb", "lars", "lion", "madgrad", "mechanize", "momo", "momo_adam", "muon",
    "nadamw", "novograd", "prodigy", "sam", "schedule_free", "schedule_free_adamw", "schedule_free_sgd",
    "simplified_ademamix", "sophia", "tiger",
    "scale_by_cocob", "scale_by_distance_over_gradients", "scale_by_madgrad", "scale_by_novograd",
    "hutchinson_estimator_diag_hessian",
}  # fmt: skip
"""Optimizers and parts that read the parameters, and say so."""


def extras(name: str, value: Any, obj_fn: Any) -> dict[str, Any]:
    """The extra arguments that the update of an optimizer or part needs."""
    if name in ("momo", "momo_adam", "polyak_sgd", "scale_by_polyak"):
        return {"value": value}
    if name in ("sophia", "hutchinson_estimator_diag_hessian"):
        return {"obj_fn": obj_fn}
    return {}


def square_sum(params: Any) -> jax.Array:
    """sum |x|^2 over all leaves: a loss with gradient 2x (conjugate convention of JAX) for any tree."""
    return sum((jnp.sum(jnp.abs(x).astype(jnp.float32) ** 2) for x in jax.tree.leaves(params)), jnp.zeros(()))
