"""One table: how each transformation is made, by the same call, in nablax and in Optax."""

from types import SimpleNamespace

import jax.numpy as jnp
import optax
import optax.contrib
import optax.transforms

import nablax.core
import nablax.optimizers
import nablax.schedules
import nablax.transforms


def namespace(*modules):
    """All public names of several modules; the first that has a name wins."""
    return SimpleNamespace(**{n: v for m in reversed(modules) for n, v in vars(m).items() if n[0] != "_"})


OURS = namespace(nablax.transforms, nablax.optimizers, nablax.core, nablax.schedules)
THEIRS = namespace(optax, optax.transforms, optax.contrib)


def first_leaf(params):
    return jnp.ravel(jnp.asarray(params[0]))


def every_third(step):
    return step % 3 == 0


def skip_second(updates, gradient_step, params):
    skip = jnp.abs(jnp.sum(updates[0])) > 1.0
    return skip, {"skipped": skip}


# Trees are tuples whose item 0 is an array and item 1 anything: masks and labels can be given as prefixes.
CASES = {
    "add_decayed_weights": lambda o: o.add_decayed_weights(0.1, mask=(True, False)),
    "adaptive_grad_clip": lambda o: o.adaptive_grad_clip(0.3),
    "add_noise": lambda o: o.add_noise(0.5, 0.55, 3),
    "apply_every": lambda o: o.apply_every(3),
    "apply_if_finite": lambda o: o.apply_if_finite(o.trace(0.9), 2),
    "centralize": lambda o: o.centralize(),
    "clip": lambda o: o.clip(0.5),
    "clip_by_block_rms": lambda o: o.clip_by_block_rms(0.5),
    "clip_by_global_norm": lambda o: o.clip_by_global_norm(1.0),
    "conditionally_mask": lambda o: o.conditionally_mask(o.trace(0.9), every_third),
    "conditionally_transform": lambda o: o.conditionally_transform(o.trace(0.9), every_third),
    "ema": lambda o: o.ema(0.9),
    "ema_biased": lambda o: o.ema(0.9, debias=False),
    "flatten": lambda o: o.flatten(o.trace(0.9)),
    "freeze": lambda o: o.freeze((True, False)),
    "inject_hyperparams": lambda o: o.inject_hyperparams(o.sgd)(
        learning_rate=o.linear_schedule(1.0, 0.1, 10), momentum=0.8
    ),
    "keep_params_nonnegative": lambda o: o.keep_params_nonnegative(),
    "masked": lambda o: o.masked(o.trace(0.9), (False, True)),
    "multi_steps": lambda o: o.MultiSteps(
        o.trace(0.9), 3, accumulator_dtype=jnp.result_type(float)
    ).gradient_transformation(),
    "multi_steps_schedule": lambda o: o.MultiSteps(
        o.trace(0.9), lambda n: n % 3 + 1, use_grad_mean=False, accumulator_dtype=jnp.result_type(float)
    ),
    "multi_steps_skip": lambda o: o.MultiSteps(
        o.trace(0.9), 2, should_skip_update_fn=skip_second, accumulator_dtype=jnp.result_type(float)
    ),
    "named_chain": lambda o: o.named_chain(("momentum", o.trace(0.9)), ("scale", o.scale(-0.1))),
    "normalize": lambda o: o.normalize(),
    "normalize_by_update_norm": lambda o: o.normalize_by_update_norm(-0.5),
    "partition": lambda o: o.partition({"a": o.trace(0.9), "b": o.scale(0.1)}, ("a", "b")),
    "reduce_on_plateau": lambda o: o.reduce_on_plateau(factor=0.5, patience=2, cooldown=1),
    "reduce_on_plateau_mean": lambda o: o.reduce_on_plateau(
        0.5, 1, rtol=0.0, atol=0.1, accumulation_size=3, min_scale=0.2
    ),
    "scale": lambda o: o.scale(-0.3),
    "scale_by_learning_rate": lambda o: o.scale_by_learning_rate(0.3, flip_sign=False),
    "scale_by_param_block_norm": lambda o: o.scale_by_param_block_norm(),
    "scale_by_param_block_rms": lambda o: o.scale_by_param_block_rms(0.5),
    "scale_by_schedule": lambda o: o.scale_by_schedule(o.cosine_decay_schedule(1.0, 10)),
    "scale_by_sign": lambda o: o.scale_by_sign(),
    "scale_by_trust_ratio": lambda o: o.scale_by_trust_ratio(0.2, 0.5, 1e-3),
    "selective_transform": lambda o: o.selective_transform(o.trace(0.9), freeze_mask=(False, True)),
    "snapshot": lambda o: o.snapshot("first", first_leaf),
    "split_real_and_imaginary": lambda o: o.split_real_and_imaginary(o.clip(0.5)),
    "trace": lambda o: o.trace(0.9, nesterov=True),
    "zero_nans": lambda o: o.chain(o.zero_nans(), o.scale(0.5)),
}
