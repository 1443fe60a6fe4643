"""One table: how each transformation is made, by the same call, in nablax and in Optax."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import optax
import optax.contrib
import optax.transforms

import nablax.core
import nablax.optimizers
import nablax.schedules
import nablax.transforms
from parity.stepping import table


def namespace(*modules):
    """All public names of several modules; the first that has a name wins."""
    return SimpleNamespace(**{n: v for m in reversed(modules) for n, v in vars(m).items() if n[0] != "_"})


OURS = namespace(nablax.transforms, nablax.optimizers, nablax.core, nablax.schedules)
THEIRS = namespace(optax, optax.transforms, optax.contrib)


def first_leaf(params):
    return jnp.ravel(jnp.asarray(params[0]))


def size(updates):
    return jnp.sum(jnp.abs(updates[0]))


def flip(updates, params):
    return jax.tree.map(lambda u, p: p - u, updates, params)


def fast_alone(o, tx):
    """Lookahead over plain parameters; the slow ones are kept in the state."""

    def init(params):
        return tx.init(o.LookaheadParams.init_synced(params)), params

    def update(updates, state, params):
        updates, inner = tx.update(updates, state[0], o.LookaheadParams(params, state[1]))
        return updates.fast, (inner, optax.apply_updates(state[1], updates.slow))

    return optax.GradientTransformation(init, update)


def of_examples(tx):
    """Gradients of three single examples, made of the one gradient given."""

    def update(updates, state, params):
        return tx.update(jax.tree.map(lambda g: jnp.stack([g, -0.5 * g, 0.1 * g]), updates), state, params)

    return optax.GradientTransformation(tx.init, update)


def with_measurements(tx):
    """Optax's monitor begins with an empty dict, and a scan of it fails."""

    def init(params):
        state = tx.init(params)
        measured = tx.update(params, state, params)[1].measurements
        return state._replace(measurements=jax.tree.map(jnp.zeros_like, measured))

    return optax.GradientTransformation(init, lambda u, s, p: tx.update(u, s, p))


class Halving:
    """A schedule with a state."""

    def init(self):
        return jnp.ones(())

    def update(self, state, **extra):
        return 0.5 * state

    def __call__(self, state, **extra):
        return state


def every_third(step):
    return step % 3 == 0


def skip_second(updates, gradient_step, params):
    skip = jnp.abs(jnp.sum(updates[0])) > 1.0
    return skip, {"skipped": skip}


# Trees are tuples whose item 0 is an array and item 1 anything: masks and labels can be given as prefixes.
CASES = table(
    ("add_decayed_weights", lambda o: o.add_decayed_weights(0.1, mask=(True, False))),
    ("adaptive_grad_clip", lambda o: o.adaptive_grad_clip(0.3)),
    ("add_noise", lambda o: o.add_noise(0.5, 0.55, 3)),
    ("apply_every", lambda o: o.apply_every(3)),
    ("apply_if_finite", lambda o: o.apply_if_finite(o.trace(0.9), 2)),
    ("centralize", lambda o: o.centralize()),
    ("clip", lambda o: o.clip(0.5)),
    ("clip_by_block_rms", lambda o: o.clip_by_block_rms(0.5)),
    ("clip_by_global_norm", lambda o: o.clip_by_global_norm(1.0)),
    ("conditionally_mask", lambda o: o.conditionally_mask(o.trace(0.9), every_third)),
    ("conditionally_transform", lambda o: o.conditionally_transform(o.trace(0.9), every_third)),
    ("ema", lambda o: o.ema(0.9)),
    ("ema-biased", lambda o: o.ema(0.9, debias=False)),
    ("flatten", lambda o: o.flatten(o.trace(0.9))),
    ("freeze", lambda o: o.freeze((True, False))),
    (
        "inject_hyperparams",
        lambda o: o.inject_hyperparams(o.sgd)(learning_rate=o.linear_schedule(1.0, 0.1, 10), momentum=0.8),
    ),
    ("keep_params_nonnegative", lambda o: o.keep_params_nonnegative()),
    ("masked", lambda o: o.masked(o.trace(0.9), (False, True))),
    (
        "MultiSteps",
        lambda o: o.MultiSteps(
            o.trace(0.9), 3, accumulator_dtype=jnp.result_type(float)
        ).gradient_transformation(),
    ),
    (
        "MultiSteps-schedule",
        lambda o: o.MultiSteps(
            o.trace(0.9), lambda n: n % 3 + 1, use_grad_mean=False, accumulator_dtype=jnp.result_type(float)
        ),
    ),
    (
        "MultiSteps-skip",
        lambda o: o.MultiSteps(
            o.trace(0.9), 2, should_skip_update_fn=skip_second, accumulator_dtype=jnp.result_type(float)
        ),
    ),
    ("named_chain", lambda o: o.named_chain(("momentum", o.trace(0.9)), ("scale", o.scale(-0.1)))),
    ("normalize", lambda o: o.normalize()),
    ("normalize_by_update_norm", lambda o: o.normalize_by_update_norm(-0.5)),
    ("partition", lambda o: o.partition({"a": o.trace(0.9), "b": o.scale(0.1)}, ("a", "b"))),
    ("reduce_on_plateau", lambda o: o.reduce_on_plateau(factor=0.5, patience=2, cooldown=1)),
    (
        "reduce_on_plateau-mean",
        lambda o: o.reduce_on_plateau(0.5, 1, rtol=0.0, atol=0.1, accumulation_size=3, min_scale=0.2),
    ),
    ("scale", lambda o: o.scale(-0.3)),
    ("scale_by_learning_rate", lambda o: o.scale_by_learning_rate(0.3, flip_sign=False)),
    ("scale_by_param_block_norm", lambda o: o.scale_by_param_block_norm()),
    ("scale_by_param_block_rms", lambda o: o.scale_by_param_block_rms(0.5)),
    ("scale_by_schedule", lambda o: o.scale_by_schedule(o.cosine_decay_schedule(1.0, 10))),
    ("scale_by_sign", lambda o: o.scale_by_sign()),
    ("scale_by_trust_ratio", lambda o: o.scale_by_trust_ratio(0.2, 0.5, 1e-3)),
    ("selective_transform", lambda o: o.selective_transform(o.trace(0.9), freeze_mask=(False, True))),
    ("snapshot", lambda o: o.snapshot("first", first_leaf)),
    ("split_real_and_imaginary", lambda o: o.split_real_and_imaginary(o.clip(0.5))),
    ("trace", lambda o: o.trace(0.9, nesterov=True)),
    ("zero_nans", lambda o: o.chain(o.zero_nans(), o.scale(0.5))),
    ("chain", lambda o: o.chain(o.trace(0.9), o.scale(0.5), o.add_decayed_weights(0.1))),
    (
        "differentially_private_aggregate",
        lambda o: of_examples(o.differentially_private_aggregate(0.8, 0.3, 5)),
    ),
    ("dpsgd", lambda o: of_examples(o.dpsgd(0.1, 0.8, 0.3, seed=5, momentum=0.9, nesterov=True))),
    ("identity", lambda o: o.identity()),
    ("inject_stateful_hyperparams", lambda o: o.inject_stateful_hyperparams(o.sgd)(Halving(), momentum=0.8)),
    ("lookahead", lambda o: fast_alone(o, o.lookahead(o.trace(0.9), 3, 0.5))),
    ("lookahead-reset", lambda o: fast_alone(o, o.lookahead(o.trace(0.9), 4, 0.3, reset_state=True))),
    (
        "MultiSteps skip_large_updates-large",
        lambda o: o.MultiSteps(
            o.trace(0.9),
            2,
            should_skip_update_fn=lambda *a: o.skip_large_updates(*a, 20.0),
            accumulator_dtype=jnp.result_type(float),
        ),
    ),
    (
        "MultiSteps skip_not_finite-finite",
        lambda o: o.MultiSteps(
            o.trace(0.9), 2, should_skip_update_fn=o.skip_not_finite, accumulator_dtype=jnp.result_type(float)
        ),
    ),
    (
        "monitor measure_with_ema",
        lambda o: with_measurements(
            o.monitor(
                {
                    "now": size,
                    "mean": o.measure_with_ema(size, 0.9),
                    "raw": o.measure_with_ema(size, 0.8, debias=False),
                }
            )
        ),
    ),
    ("set_to_zero", lambda o: o.set_to_zero()),
    ("stateless", lambda o: o.stateless(flip)),
    ("stateless_with_tree_map", lambda o: o.stateless_with_tree_map(lambda u, p: u - 0.1 * p)),
    ("with_extra_args_support", lambda o: o.with_extra_args_support(o.trace(0.9))),
)

_REAL_SUMS = "its accumulator is real: imaginary parts are dropped"
NOT_COMPLEX = {
    "clip": "raises: complex numbers have no order; ours clips real and imaginary parts",
    "keep_params_nonnegative": "complex numbers have no order",
    "MultiSteps": _REAL_SUMS,
    "MultiSteps-schedule": _REAL_SUMS,
    "MultiSteps-skip": _REAL_SUMS,
    "MultiSteps skip_large_updates-large": _REAL_SUMS,
    "MultiSteps skip_not_finite-finite": _REAL_SUMS,
}
NOT_FLOAT64 = {"inject_hyperparams": "the values of schedules are injected as float32"}
"""What Optax does there; docs/differences.md says what ours do."""
