"""Ready pairs of every optimizer and of every part that scales: one call, made by nablax and by Optax.

Where a rounding is amplified (a difference of parameters, a cube root, an estimate that divides small sums) the float32
tolerance is larger, and float64 shows that the formulas agree.
"""

import warnings

import jax
import optax
from optax import contrib

import nablax.optimizers as ours
from nablax.transforms import normalize
from parity.stepping import Case, table

MASK = {"w": True, "v": False, "rest": True}


def rate(count):
    return 0.1 / (1.0 + count)


# Optax holds Adafactor's decay, Muon's coefficients and GaLore's projections in float32 in float64 runs too.
COARSE = {"float64": 1e-6}


def _case(name, *args, label="", tol=1e-6, float64=1e-12, states=True, start=None, **kwargs):
    """`start`: changes the state that Optax begins with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # optimistic_adam
        mine = getattr(ours, name)(*args, **kwargs)
        theirs = getattr(contrib if hasattr(contrib, name) else optax, name)(*args, **kwargs)
    if start is not None:
        theirs = theirs._replace(init=lambda params, init=theirs.init: start(init(params)))
    return name + label, Case(mine, theirs, tol, float64, states)


def _wrap(label, mine, theirs, **options):
    """Optax's wrappers do not take the extra arguments that every case is given."""
    bare = optax.GradientTransformation(theirs.init, lambda u, s, p: theirs.update(u, s, p))
    return label, Case(mine, bare, **options)


def _from_zero(state):
    """Optax starts yogi's mu at 1e-6, as it does nu: parameters drift where gradients are zero."""
    if not hasattr(state, "mu"):
        return (_from_zero(state[0]), *state[1:])
    return state._replace(mu=optax.tree.zeros_like(state.mu))


def _scalar_sums(state):
    """Optax's sums have shape (1,), and so have its updates of scalars."""
    return state._replace(grad_sum_of_squares=jax.tree.map(lambda x: x[0], state.grad_sum_of_squares))


def _at_once(tx):
    """Optax's rprop hands out the step before, and that not always; the one just computed is in its state."""

    def update(updates, state, params):
        state = tx.update(updates, state, params)[1]
        return state.prev_updates, state

    return tx._replace(update=update)


def _of_the_matrix(tx):
    """What takes matrices only; vectors and the rest pass."""

    def update(updates, state, params):
        w, state = tx.update(updates["w"], state, params["w"])
        return {**updates, "w": w}, state

    return optax.GradientTransformation(lambda params: tx.init(params["w"]), update)


CASES = table(
    _case("acprop", 0.1, weight_decay=0.1, mask=MASK),
    _case("adabelief", rate, nesterov=True, eps=1e-8, eps_root=1e-8),
    _case("adabelief", 0.1, label="-defaults"),
    _case("adadelta", 0.5, weight_decay=0.1, weight_decay_mask=MASK),
    _case("adafactor", 0.1, min_dim_size_to_factor=2, momentum=0.9, weight_decay_rate=0.01, **COARSE),
    _case("adafactor", rate, label="-whole", **COARSE),
    _case(
        "adafactor", clipping_threshold=None, multiply_by_parameter_scale=False, decay_offset=-5,
        min_dim_size_to_factor=2, label="-bare", **COARSE,
    ),
    _case("adagrad", rate),
    _case("adam", rate, nesterov=True),
    _case("adamax", 0.1),
    _case("adamaxw", 0.1, weight_decay=0.1, mask=MASK),
    _case("adamw", 0.1, weight_decay=rate, mask=MASK, eps_root=1e-6),
    _case("adan", rate, weight_decay=0.1, mask=MASK),
    _case("ademamix", 0.1, weight_decay=0.1, alpha=rate, b3=lambda t: 0.9 - rate(t)),
    _case("adopt", 0.1, tol=1e-4),
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
    _case("galore", 0.1, rank=1, update_proj_gap=7, scale=0.5, weight_decay=0.1, tol=1e-5, **COARSE),
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
        tol=1e-4, label="-aol", **COARSE,
    ),
    _case("muon", 0.1, preconditioning="spectral", ns_coeffs="dion", tol=1e-4, label="-spectral"),
    _case(
        "muon", 0.1, preconditioning="schatten", ns_coeffs=((3.0, -4.0, 2.0), (2.0, -1.5, 0.5)), tol=1e-5,
        label="-schatten", **COARSE,
    ),
    _case("noisy_sgd", rate, eta=0.3, gamma=0.4, key=jax.random.key(3)),
    _case("nadam", rate, b1=0.8),
    _case("nadamw", 0.1, weight_decay=0.1, mask=MASK),
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
    _wrap(
        "rprop",
        ours.rprop(0.1, eta_minus=0.4, min_step_size=0.01, max_step_size=0.3),
        optax.chain(
            _at_once(optax.scale_by_rprop(0.1, eta_minus=0.4, min_step_size=0.01, max_step_size=0.3)),
            optax.scale(-1.0),
        ),
    ),
    _wrap(
        "schedule_free",
        ours.schedule_free(ours.momentum(0.1), 0.1, b1=0.8, weight_lr_power=1.5),
        contrib.schedule_free(optax.sgd(0.1, momentum=0.9), 0.1, b1=0.8, weight_lr_power=1.5),
        tol=5e-6,
        states=False,
    ),
    _case("schedule_free_sgd", 0.1, weight_decay=0.1, tol=5e-6, states=False),
    _case("schedule_free_adamw", 0.1, weight_decay=0.1, tol=5e-6, states=False),
    _case("sgd", rate, momentum=0.9, nesterov=True),
    _case("sign_sgd", 0.1),
    _case("signum", rate),
    _case("simplified_ademamix", 0.1, weight_decay=0.1, alpha=rate),
    _case("sm3", 0.1),
    _case("sophia", 0.1, update_interval=3, states=False, tol=1e-4),  # another stream of random numbers
    _case("yogi", rate, b1=0.8, start=_from_zero),
    _wrap(
        "mechanize",
        ours.mechanize(ours.adam(1.0), s_init=1e-2),
        contrib.mechanize(optax.adam(1.0), s_init=1e-2),
        tol=1e-3,
        float64=1e-9,  # differences of almost equal parameters over a small scale
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
)  # fmt: skip

PARTS = table(
    _case("hutchinson_estimator_diag_hessian", states=False),  # another stream of random numbers
    _case("scale_by_acprop", b2=0.9),
    _case("scale_by_adadelta", rho=0.8),
    _case("scale_by_adam", b1=0.8, eps_root=1e-6, nesterov=True),
    _case("scale_by_adamax", b1=0.8),
    _case("scale_by_adan", b1=0.9),
    _case("scale_by_ademamix", b3=0.99, alpha=3.0),
    _case("scale_by_adopt", b2=0.99, tol=1e-4),
    _case("scale_by_amsgrad", b1=0.8),
    _case("scale_by_belief", nesterov=True),
    _wrap("scale_by_cocob", ours.scale_by_cocob(50.0), contrib.scale_by_cocob(50.0), tol=2e-5),
    _case("scale_by_distance_over_gradients", reps_rel=1e-3, eps=1e-2, start=_scalar_sums),
    _case("scale_by_factored_rms", min_dim_size_to_factor=2, decay_rate=0.7, **COARSE),
    _case("scale_by_galore", rank=1, update_proj_gap=7, scale=0.5, tol=1e-5, **COARSE),
    _case("scale_by_lion", b1=0.8),
    _case("scale_by_madgrad", 0.1, momentum=0.8, tol=3e-5),
    _wrap(
        "scale_by_muon",
        _of_the_matrix(ours.scale_by_muon(beta=0.9, nesterov=False)),
        _of_the_matrix(contrib.scale_by_muon(beta=0.9, nesterov=False)),
        tol=1e-5,
    ),
    _case("scale_by_novograd", b1=0.8, weight_decay=0.1),
    _case("scale_by_optimistic_gradient", alpha=0.7, beta=0.4),
    _case("scale_by_polyak", f_min=0.1, eps=0.1),
    _case("scale_by_radam", b2=0.9, threshold=3.0),
    _case("scale_by_rms", decay=0.8, initial_scale=0.5, eps_in_sqrt=False, bias_correction=True),
    _wrap(
        "scale_by_rprop", ours.scale_by_rprop(0.1, 0.4, 1.3), _at_once(optax.scale_by_rprop(0.1, 0.4, 1.3))
    ),
    _case("scale_by_rss", initial_accumulator_value=0.2),
    _case("scale_by_simplified_ademamix", b1=0.9, alpha=0.3),
    _case("scale_by_sm3", b2=0.9),
    _case("scale_by_stddev", decay=0.8, initial_scale=1.0),
    _case("scale_by_yogi", b1=0.8, start=_from_zero),
)

# What Optax cannot take. tests/optimizers run ours on all of it.
NO_SCALARS = {"sm3", "scale_by_sm3"}
NO_NONES = {"galore", "scale_by_galore"}
_SQUARE = "squares the gradient where its size is meant"
_INNER = "inner products keep their imaginary part"
_CLAMP = "raises: complex numbers have no order"
NOT_COMPLEX = {
    "adadelta": _SQUARE,
    "adafactor": "its momentum is held in float32: imaginary parts are dropped",
    "adopt": _CLAMP,
    "cocob": "the largest of complex numbers is taken by their real parts",
    "dadapt_adamw": _SQUARE,
    "galore": "projects with the transpose instead of the adjoint",
    "madgrad": "raises: no cube root of complex numbers",
    "mechanize": _CLAMP,
    "momo": _INNER,
    "momo-bound": _INNER,
    "momo_adam": _SQUARE,
    "momo_adam-bound": _SQUARE,
    "muon-schatten": "x x^T where x x^H is meant",
    "prodigy": _SQUARE,
    "prodigy-warmup": _SQUARE,
    "rprop": _CLAMP,
    "simplified_ademamix": _SQUARE,
    "sm3": "raises: real parameters only",
    "sophia": _CLAMP,
}
"""What Optax does there with complex gradients; docs/differences.md says what ours do."""
