"""Every optimizer against the installed Optax: updates and states of 20 steps over random trees.

float32 to 1e-6, relative to the largest update of the leaf; float64 to 1e-12. Where a rounding is amplified (a
difference of parameters, a cube root, an estimate that divides small sums) the float32 tolerance is larger and float64
shows that the formulas agree. Where Optax is wrong the value is asserted that is right, and the test says so.
"""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optax import contrib

import nablax.optimizers as ours
from nablax.transforms import normalize

STEPS = 20
MASK = {"w": True, "v": False, "rest": True}
SHAPES = [(), (3,), (2, 3), (0,), (2, 0)]


def rate(count):
    return 0.1 / (1.0 + count)


def _case(name, *args, tol=1e-6, states=True, label="", **kwargs):
    theirs = getattr(optax, name, None)
    theirs = getattr(contrib, name) if theirs is None or name == "muon" else theirs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # optimistic_adam
        made = getattr(ours, name)(*args, **kwargs), theirs(*args, **kwargs)
    return pytest.param(*made, tol, states, id=name + label)


def _wrap(label, mine, theirs, tol=1e-6, states=True):
    full, theirs = theirs, optax.GradientTransformation(theirs.init, lambda u, s, p: full.update(u, s, p))
    return pytest.param(mine, theirs, tol, states, id=label)


CASES = [
    _case("acprop", 0.1, weight_decay=0.1, mask=MASK),
    _case("adabelief", rate, nesterov=True, eps=1e-8, eps_root=1e-8),
    _case("adabelief", 0.1, label="-defaults"),
    _case("adadelta", 0.5, weight_decay=0.1, weight_decay_mask=MASK),
    _case("adafactor", 0.1, min_dim_size_to_factor=2, momentum=0.9, weight_decay_rate=0.01),
    _case("adafactor", rate, label="-whole"),
    _case(
        "adafactor", clipping_threshold=None, multiply_by_parameter_scale=False, decay_offset=-5,
        min_dim_size_to_factor=2, label="-bare",
    ),
    _case("adagrad", rate),
    _case("adam", rate, nesterov=True),
    _case("adamax", 0.1),
    _case("adamaxw", 0.1, weight_decay=0.1, mask=MASK),
    _case("adamw", 0.1, weight_decay=rate, mask=MASK, eps_root=1e-6),
    _case("adan", rate, weight_decay=0.1, mask=MASK),
    _case("ademamix", 0.1, weight_decay=0.1, alpha=rate, b3=lambda t: 0.9 - rate(t)),
    _case("adopt", 0.1, tol=3e-6),
    _case("adopt", 0.1, nesterov=True, use_clipping=False, tol=1e-4, label="-nesterov"),
    _case("amsgrad", 0.1, bias_correction_mu=False),
    _case("cocob", 0.5, weight_decay=0.1, tol=2e-5),
    _case("dadapt_adamw", rate, weight_decay=0.1, states=False),  # its 1 - sqrt(b2) cancels in float32
    _case("dog", 0.5, weight_decay=0.1, mask=MASK),
    _case("dog", rate, init_step=("distance", 0.1), label="-distance"),
    _case("dog", 0.5, init_step=("learning_rate", 0.1), label="-rate"),
    _case("dowg", 0.5, weight_decay=0.1),
    _case("dowg", rate, init_estim_sq_dist=0.3, label="-distance"),
    _case("fromage", 0.1, tol=3e-6),  # Optax subtracts 1 from 1 / sqrt(1 + lr^2)
    _case("galore", 0.1, rank=1, update_proj_gap=7, scale=0.5, weight_decay=0.1, tol=1e-5),
    _case("lamb", rate, weight_decay=0.1, mask=MASK),
    _case("lars", rate, weight_decay=0.1, weight_decay_mask=MASK, trust_ratio_mask=MASK, nesterov=True),
    _case("lion", 0.1, weight_decay=0.1),
    _case("madgrad", rate, weight_decay=0.1, tol=3e-5),
    _case("momo", rate, tol=2e-5),
    _case("momo", 1.0, adapt_lower_bound=True, lower_bound=-1.0, tol=2e-5, label="-bound"),
    _case("momo_adam", rate, tol=2e-5),
    _case("momo_adam", 1.0, adapt_lower_bound=True, lower_bound=-1.0, tol=2e-5, label="-bound"),
    # Newton-Schulz steps multiply the rounding that compilation decides; float64 is compared below
    _case("muon", rate, weight_decay=0.1, adam_weight_decay=0.2, tol=1e-5),
    _case(
        "muon", 0.1, nesterov=False, adaptive=True, preconditioning="aol", consistent_rms=0.2, adam_learning_rate=0.3,
        tol=1e-4, label="-aol",
    ),
    _case("muon", 0.1, preconditioning="spectral", ns_coeffs="dion", tol=1e-4, label="-spectral"),
    _case(
        "muon", 0.1, preconditioning="schatten", ns_coeffs=((3.0, -4.0, 2.0), (2.0, -1.5, 0.5)), tol=1e-5,
        label="-schatten",
    ),
    _case("noisy_sgd", rate, eta=0.3, gamma=0.4, key=jax.random.key(3)),
    _case("novograd", 0.1, weight_decay=0.1),
    _case("optimistic_adam", 0.1),
    _case("optimistic_adam", 0.1, 0.5, label="-optimism"),
    _case("optimistic_adam_v2", rate, alpha=0.7, beta=0.4),
    _case("optimistic_gradient_descent", 0.1, alpha=0.7, beta=0.4),
    _case("polyak_sgd", f_min=0.1, eps=0.1),
    _case("polyak_sgd", variant="sps+", label="-plus"),
    _case("prodigy", rate, weight_decay=0.1, states=False, tol=3e-6),
    _case("prodigy", 1.0, safeguard_warmup=True, beta3=0.9, estim_lr_coef=2.0, tol=3e-6, label="-warmup"),
    _case("radam", 0.1, b2=0.9),
    _case("radam", rate, b2=0.99, nesterov=True, tol=5e-6, label="-nesterov"),
    _case("rmsprop", rate, centered=True, momentum=0.9, initial_scale=1.0),
    _case("schedule_free_sgd", 0.1, weight_decay=0.1, tol=5e-6, states=False),
    _case("schedule_free_adamw", 0.1, weight_decay=0.1, tol=5e-6, states=False),
    _case("sgd", rate, momentum=0.9, nesterov=True),
    _case("sign_sgd", 0.1),
    _case("signum", rate),
    _case("simplified_ademamix", 0.1, weight_decay=0.1, alpha=rate),
    _case("sm3", 0.1),
    _case("scale_by_sm3", b2=0.9),
    _case("sophia", 0.1, update_interval=3, states=False, tol=1e-4),  # another stream of random numbers
    _wrap(
        "mechanize",
        ours.mechanize(ours.adam(1.0), s_init=1e-2),
        contrib.mechanize(optax.adam(1.0), s_init=1e-2),
        tol=1e-3,
    ),
    _wrap(
        "sam",
        ours.sam(ours.adamw(0.1), ours.momentum(0.1), sync_period=3),
        contrib.sam(optax.adamw(0.1), optax.sgd(0.1, momentum=0.9), sync_period=3),
        tol=2e-6,
    ),
    _wrap(
        "sam-normalized",
        ours.sam(ours.sgd(0.1), optax.chain(normalize(), ours.momentum(0.1)), reset_state=False),
        contrib.sam(optax.sgd(0.1), optax.chain(contrib.normalize(), optax.sgd(0.1, 0.9)), reset_state=False),
        tol=2e-6,
    ),
]  # fmt: skip


def _is_shape(x):
    return isinstance(x, tuple) and all(isinstance(n, int) for n in x)


def _data(dtype, rest=(3,), seed=3):
    """Parameters, gradients of all steps, values of the loss. `rest`: a tree of shapes beside a matrix and a vector."""
    rng = np.random.default_rng(seed)

    def normal(shape):
        x = rng.normal(size=shape)
        if np.issubdtype(dtype, np.complexfloating):
            x = x + 1j * rng.normal(size=shape)
        return jnp.asarray(x, dtype)

    shapes = {"w": (2, 3), "v": (3,), "rest": rest}
    params = jax.tree.map(normal, shapes, is_leaf=_is_shape)
    grads = jax.tree.map(lambda s: normal((STEPS, *s)), shapes, is_leaf=_is_shape)
    return params, grads, jnp.asarray(1 + 0.3 * np.abs(rng.normal(size=STEPS)), np.finfo(dtype).dtype)


def _loss(params):
    return sum(jnp.sum((i + 1.0) * jnp.abs(x) ** 2) for i, x in enumerate(jax.tree.leaves(params)))


def _run(tx, params, grads, values):
    def step(carry, seen):
        params, state = carry
        g, value = seen
        updates, state = optax.with_extra_args_support(tx).update(g, state, params, value=value, obj_fn=_loss)
        return (optax.apply_updates(params, updates), state), updates

    (_, state), updates = jax.lax.scan(step, (params, tx.init(params)), (grads, values))
    return updates, state


def _error(mine, theirs):
    return np.max(np.abs(mine - theirs), initial=0) / max(np.max(np.abs(theirs), initial=0), 1e-30)


def _compare(mine, theirs, data, tol, states):
    both = jax.jit(lambda data: (_run(mine, *data), _run(theirs, *data)))(data)
    (updates, state), (their_updates, their_state) = jax.device_get(both)
    for what, left, right, bound in (
        ("updates", updates, their_updates, tol),
        ("state", state, their_state, 10 * tol if states else None),
    ):
        left, right = (jax.tree.flatten_with_path(t)[0] for t in (left, right))
        assert [jax.tree_util.keystr(p) for p, _ in left] == [jax.tree_util.keystr(p) for p, _ in right], what
        for (path, a), (_, b) in zip(left, right, strict=True):
            where = what + jax.tree_util.keystr(path)
            assert np.shape(a) == np.shape(b), where
            if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
                np.testing.assert_array_equal(jax.random.key_data(a), jax.random.key_data(b), where)
            elif bound is not None:
                assert _error(np.asarray(a, complex), np.asarray(b, complex)) < bound, where


# What Optax cannot take; contracts in tests/optimizers run ours on all of it.
_NO_SCALARS = ("sm3", "scale_by_sm3")
_NO_NONES = ("galore",)
# Optax raises, or squares a complex gradient where its size is meant.
_REAL_ONLY = (
    "adadelta", "adafactor", "adopt", "cocob", "dadapt_adamw", "galore", "madgrad", "mechanize", "momo",
    "muon-schatten", "prodigy", "scale_by_sm3", "simplified_ademamix", "sm3", "sophia",
)  # fmt: skip


def _trees(case):
    """Nestings of shapes and Nones."""
    shapes = [s for s in SHAPES if s or not case.startswith(_NO_SCALARS)]
    leaf = st.sampled_from(shapes) if case.startswith(_NO_NONES) else st.sampled_from(shapes) | st.none()
    return st.recursive(
        leaf,
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2)
        ),
        max_leaves=3,
    )


@pytest.mark.parametrize(("mine", "theirs", "tol", "states"), CASES)
def test_random_trees_in_float32(mine, theirs, tol, states, request):
    @settings(max_examples=2)
    @given(rest=_trees(request.node.callspec.id), seed=st.integers(0, 99))
    def check(rest, seed):
        _compare(mine, theirs, _data(jnp.float32, rest, seed), tol, states)

    check()


# Optax holds Adafactor's decay, Muon's coefficients and GaLore's projections in float32 there too.
_COARSE = ("adafactor", "galore", "muon", "mechanize")


@pytest.mark.parametrize(("mine", "theirs", "tol", "states"), CASES)
def test_float64(mine, theirs, tol, states, request):
    coarse = request.node.callspec.id.startswith(_COARSE)
    with jax.enable_x64(True):
        _compare(mine, theirs, _data(jnp.float64), 1e-6 if coarse else 1e-12, False)


@pytest.mark.parametrize(("mine", "theirs", "tol", "states"), CASES)
def test_complex64(mine, theirs, tol, states, request):
    if request.node.callspec.id.startswith(_REAL_ONLY):
        pytest.skip(
            "Optax does not take complex parameters there, or treats them otherwise: docs/differences.md"
        )
    _compare(mine, theirs, _data(jnp.complex64), max(tol, 3e-6), states)


def test_dpsgd_on_gradients_of_single_examples():
    params, grads, _ = _data(jnp.float32, [(), (2,)])
    arguments = {"l2_norm_clip": 0.8, "noise_multiplier": 0.3, "seed": 5, "momentum": 0.9, "nesterov": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        mine, theirs = ours.dpsgd(rate, **arguments), contrib.dpsgd(rate, **arguments)
    state, their_state = mine.init(params), theirs.init(params)
    for t in range(4):
        batch = jax.tree.map(lambda g, t=t: g[5 * t : 5 * t + 5], grads)  # five examples
        updates, state = mine.update(batch, state, params)
        their_updates, their_state = theirs.update(batch, their_state, params)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), updates, their_updates
        )
