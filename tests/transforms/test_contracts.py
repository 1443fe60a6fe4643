"""What every transformation keeps to: states that scan, the same numbers under jit and vmap, updates like gradients."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from nablax import transforms
from nablax.core import (
    ArgumentError,
    HyperparameterError,
    MissingParamsError,
    apply_updates,
    hyperparams,
    with_extra_args_support,
    with_hyperparams,
)
from parity.transform_cases import CASES, OURS

STEPS, LANES = 5, 2
WITHOUT_ORDER = {"keep_params_nonnegative"}  # complex numbers are not ordered


NAN, INF = float("nan"), float("inf")
UNFIT = {
    "apply_every": {"k": (0, 2.5, "3")},
    "clip": {"max_delta": (-1, NAN, "1")},
    "clip_by_global_norm": {"max_norm": (-1, NAN, None)},
    "clip_by_block_rms": {"threshold": (0, NAN)},
    "adaptive_grad_clip": {"clipping": (-1, NAN), "eps": (-1, INF)},
    "split_real_and_imaginary": {"inner": (3, None)},
    "apply_if_finite": {"inner": (3,), "max_consecutive_errors": (-1, 0.5)},
    "conditionally_transform": {"inner": (3,), "should_transform_fn": (3,), "forward_extra_args": ("no",)},
    "conditionally_mask": {"inner": (3,), "should_transform_fn": (3,), "forward_extra_args": ("no",)},
    "add_decayed_weights": {"weight_decay": (NAN, INF, "1"), "mask": ("abc", {"w": 2})},
    "flatten": {"inner": (3,)},
    "freeze": {"mask": ("abc", {"w": 2})},
    "selective_transform": {"optimizer": (3,), "freeze_mask": ("abc",)},
    "lookahead": {
        "fast_optimizer": (3,), "sync_period": (0, 2.5, NAN), "slow_step_size": (-1, 1.5, NAN), "reset_state": (2,),
    },
    "masked": {"inner": (3,), "mask": ("abc", [1.0]), "mask_compatible_extra_args": ("no",)},
    "trace": {"decay": (-1.5, 1.5, NAN, "x"), "nesterov": ("no",), "accumulator_dtype": ("foo", int)},
    "ema": {"decay": (-1, 1, NAN), "debias": ("no",), "accumulator_dtype": ("foo",)},
    "measure_with_ema": {
        "measure": (3,), "decay": (-1, 1, NAN), "debias": ("no",), "accumulator_dtype": ("foo",),
    },
    "add_noise": {"eta": (-1, NAN, INF), "gamma": (NAN, INF, "1"), "key": (0.5, "0"), "seed": (0.5,)},
    "normalize_by_update_norm": {"scale_factor": (NAN, INF), "eps": (-1, NAN)},
    "scale_by_param_block_norm": {"min_scale": (-1, NAN, INF)},
    "scale_by_param_block_rms": {"min_scale": (-1, NAN, INF)},
    "scale_by_trust_ratio": {"min_norm": (-1, NAN), "trust_coefficient": (NAN, INF), "eps": (-1, NAN)},
    "partition": {"transforms": (3,), "mask_compatible_extra_args": ("no",)},
    "partition_by_path": {"transforms": (3,), "mask_compatible_extra_args": ("no",)},
    "per_example_global_norm_clip": {"l2_norm_clip": (-1, NAN)},
    "per_example_layer_norm_clip": {"global_l2_norm_clip": (-1, NAN), "uniform": ("no",)},
    "differentially_private_aggregate": {
        "l2_norm_clip": (-1, NAN, INF), "noise_multiplier": (-1, NAN), "key": (0.5,), "seed": (0.5,),
    },
    "reduce_on_plateau": {
        "factor": (0, 1, NAN), "patience": (-1, 2.5), "rtol": (-1, 2), "atol": (-1, INF), "cooldown": (-1, 2.5),
        "accumulation_size": (0, 2.5), "min_scale": (-1, NAN),
    },
    "scale": {"step_size": (NAN, INF, "1", None, [1.0])},
    "scale_by_schedule": {"step_size_fn": ("fast", NAN)},
    "scale_by_learning_rate": {"learning_rate": (NAN, INF, "1"), "flip_sign": ("no",)},
    "MultiSteps": {
        "opt": (3,), "every_k_schedule": (0, 2.5, "2"), "use_grad_mean": ("no",), "should_skip_update_fn": (3,),
        "accumulator_dtype": ("foo",),
    },
    "inject_hyperparams": {"inner_factory": (3,), "static_args": ("x",)},
    "monitor": {"measures": (3,)},
    "over_axis": {"inner": (3,), "axis": (3, (3,))},
    "snapshot": {"measure_name": (3,), "measure": (3,)},
}  # fmt: skip
NO_NUMBERS = {
    "centralize", "normalize", "scale_by_sign", "keep_params_nonnegative", "zero_nans", "inject_stateful_hyperparams",
    "skip_large_updates", "skip_not_finite", "unitwise_norm", "unitwise_clip", "scale_gradient",
    "global_norm",
}  # fmt: skip
"""Without arguments, or called with arrays."""
FIT = {
    "inner": OURS.scale(1.0), "optimizer": OURS.scale(1.0), "fast_optimizer": OURS.scale(1.0), "opt": OURS.scale(1.0),
    "should_transform_fn": bool, "mask": True, "freeze_mask": True, "sync_period": 2, "slow_step_size": 0.5,
    "max_consecutive_errors": 1, "every_k_schedule": 2, "measure": jnp.sum, "measure_name": "m", "decay": 0.9,
    "eta": 1.0, "gamma": 0.5, "transforms": {}, "param_labels": "a", "grads": None, "l2_norm_clip": 1.0,
    "global_l2_norm_clip": 1.0, "noise_multiplier": 1.0, "clipping": 0.1, "inner_factory": OURS.scale, "axis": "data",
}  # fmt: skip


def test_every_transformation_is_in_the_table():
    public = {n for n, f in vars(transforms).items() if inspect.isfunction(f)} | {"MultiSteps"}
    assert public == {*UNFIT, *NO_NUMBERS}


@pytest.mark.parametrize("name", UNFIT)
def test_what_an_argument_cannot_be_is_refused_in_the_functions_own_name(name):
    function = getattr(transforms, name)
    needed = {p.name for p in inspect.signature(function).parameters.values() if p.default is p.empty}
    for argument, values in UNFIT[name].items():
        for bad in values:
            with pytest.raises((HyperparameterError, ArgumentError), match=rf"^{name}: .*\b{argument}\b"):
                function(**{**{k: v for k, v in FIT.items() if k in needed}, argument: bad})


def tree_of(dtype, seed, *batch):
    rng = np.random.default_rng(seed)
    return tuple(jnp.asarray(rng.normal(size=(*batch, 2, 3)), dtype) for _ in range(2))


def at(tree, *index):
    return jax.tree.map(lambda x: x[index], tree)


def scan(tx, params, gradients, values):
    def step(carry, given):
        params, state = carry
        grads, value = given
        updates, state = tx.update(grads, state, params, value=value)
        return (apply_updates(params, updates), state), updates

    return lax.scan(step, (params, tx.init(params)), (gradients, values))


@pytest.mark.parametrize("name", CASES)
def test_jit_vmap_and_scan_give_what_eager_steps_give(name):
    tx = with_extra_args_support(CASES[name](OURS))
    params, gradients = tree_of(np.float32, 0, LANES), tree_of(np.float32, 1, LANES, STEPS)
    values = jnp.ones((LANES, STEPS))
    _, updates = jax.jit(jax.vmap(lambda p, g, v: scan(tx, p, g, v)))(params, gradients, values)
    for lane in range(LANES):
        p = at(params, lane)
        state = tx.init(p)
        for t in range(STEPS):
            u, state = tx.update(at(gradients, lane, t), state, p, value=values[lane, t])
            p = apply_updates(p, u)
            for a, b in zip(u, at(updates, lane, t), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "dtype", [jnp.bfloat16, jnp.float16, jnp.complex64], ids=["bfloat16", "float16", "complex64"]
)
@pytest.mark.parametrize("name", CASES)
def test_states_and_updates_keep_their_dtypes(name, dtype):
    if dtype == jnp.complex64 and name in WITHOUT_ORDER:
        pytest.skip("needs an order")
    tx = with_extra_args_support(CASES[name](OURS))
    params, gradients = tree_of(dtype, 0), tree_of(dtype, 1, STEPS)
    # lax.scan refuses a state that changes its shape or dtype.
    (_, state), updates = jax.eval_shape(lambda p, g: scan(tx, p, g, jnp.ones(STEPS)), params, gradients)
    assert all(u.dtype == dtype for u in jax.tree.leaves(updates))
    assert jax.tree.structure(state) == jax.tree.structure(tx.init(params))


@pytest.mark.parametrize(
    "name",
    [
        "add_decayed_weights", "adaptive_grad_clip", "keep_params_nonnegative", "scale_by_param_block_norm",
        "scale_by_param_block_rms", "scale_by_trust_ratio",
    ],
)  # fmt: skip
def test_missing_params_are_asked_for_by_name(name):
    tx, grads = with_extra_args_support(CASES[name](OURS)), tree_of(np.float32, 0)
    with pytest.raises(MissingParamsError, match=f"^{name} reads the parameters"):
        jax.eval_shape(lambda: tx.update(grads, tx.init(grads)))


@pytest.mark.parametrize("name", CASES)
def test_none_leaves_pass(name):
    tx = with_extra_args_support(CASES[name](OURS))
    params = (jnp.ones((2, 3)), {"frozen": None, "w": jnp.ones((2, 3))})
    updates, _ = tx.update(params, tx.init(params), params, value=1.0)
    assert jax.tree.structure(updates) == jax.tree.structure(params)


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda o: o.masked(o.MultiSteps(o.trace(0.9), 2), (True, False)), "masked/inner/opt/decay"),
        (lambda o: o.apply_if_finite(o.scale(0.9), 2), "apply_if_finite/inner/step_size"),
        (lambda o: o.conditionally_mask(o.scale(0.9), bool), "conditionally_mask/inner/step_size"),
        (lambda o: o.flatten(o.scale(0.9)), "flatten/inner/step_size"),
        (lambda o: o.lookahead(o.scale(0.9), 2, 0.5), "lookahead/fast_optimizer/step_size"),
        (lambda o: o.partition({"a": o.scale(0.9)}, "a"), "partition/a/step_size"),
        (lambda o: o.split_real_and_imaginary(o.scale(0.9)), "split_real_and_imaginary/inner/step_size"),
        (lambda o: o.monitor({"m": o.measure_with_ema(jnp.sum, 0.9)}), "monitor/m/decay"),
        (lambda o: o.add_noise(0.9, 0.55, 0), "add_noise/eta"),
        (
            lambda o: o.differentially_private_aggregate(0.9, 1.0, 0),
            "differentially_private_aggregate/l2_norm_clip",
        ),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_hyperparameters_inside_wrappers_are_reachable(make, path):
    tx = make(OURS)
    found = hyperparams(tx)
    assert found[path] == 0.9
    assert hyperparams(with_hyperparams(tx, {path: 0.25})) == {**found, path: 0.25}


def test_a_new_hyperparameter_is_used():
    tx = with_hyperparams(OURS.MultiSteps(OURS.scale(1.0), 1), {"MultiSteps/opt/step_size": -3.0})
    updates, _ = tx.update(jnp.ones(2), tx.init(jnp.ones(2)))
    np.testing.assert_array_equal(updates, [-3.0, -3.0])
    noisy = with_hyperparams(OURS.add_noise(1.0, 0.5, 0), {"add_noise/eta": 0.0})
    np.testing.assert_array_equal(noisy.update(jnp.ones(2), noisy.init(None))[0], [1.0, 1.0])


@pytest.mark.parametrize("outer", ["ours", "theirs"])
def test_wrappers_mix_with_optax(outer):
    """Extra arguments reach the inner part through wrappers of either library."""
    plateau = (optax.contrib if outer == "ours" else OURS).reduce_on_plateau(factor=0.5, patience=1)
    o = OURS if outer == "ours" else optax
    tx = o.chain(o.apply_if_finite(o.masked(plateau, True), 1), o.scale(1.0))
    state = tx.init(jnp.ones(2))
    for _ in range(3):
        updates, state = tx.update(jnp.ones(2), state, jnp.ones(2), value=jnp.array(1.0))
    np.testing.assert_array_equal(updates, [0.25, 0.25])
