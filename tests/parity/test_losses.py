"""Losses against the installed Optax: names, signatures, dtypes, values and gradients."""

import functools
import inspect
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax.losses as theirs
import pytest

import nablax.losses as ours

# An alias with a deprecation warning: one thing has one name here; the face has it.
ALIASES = {"convex_kl_divergence"}

RNG = np.random.default_rng(0)
X, Z = RNG.normal(size=(2, 4, 3)), RNG.normal(size=(2, 4, 3))
P = np.exp(Z) / np.exp(Z).sum(-1, keepdims=True)
LOG_P = np.log(P)
CLASSES = RNG.integers(0, 3, size=(2, 4))
ONE_HOT = np.eye(3)[CLASSES]
MASK = np.array([[[1, 1, 0]] * 4, [[1, 0, 1], [1, 1, 1], [0, 1, 1], [1, 1, 1]]], bool)
ROWS = np.array([[1, 0, 1, 1], [0, 1, 1, 1]], bool)
SIGNS = np.sign(Z)
LOGITS = RNG.normal(size=(3, 6, 5))
FRAMES = (np.arange(6) >= np.array([6, 5, 4])[:, None]).astype(float)
LABELS = np.array([[1, 1, 3], [2, 4, 0], [3, 1, 0]])
LENGTHS = (np.arange(3) >= np.array([3, 2, 1])[:, None]).astype(float)
REGIONS = np.eye(3)[RNG.integers(0, 3, size=(2, 2, 3))]
PIXELS = RNG.normal(size=(2, 2, 3, 3))

CASES = [
    ("softmax_cross_entropy", (X, P), {}),
    ("softmax_cross_entropy", (X, P), {"axis": (0, 2), "where": MASK}),
    ("softmax_cross_entropy", (X, P), {"where": ROWS}),
    ("softmax_cross_entropy", (X, P), {"axis": None}),
    ("safe_softmax_cross_entropy", (X, ONE_HOT), {}),
    ("poly_loss_cross_entropy", (X, P), {"axis": 1, "where": MASK}),
    ("softmax_cross_entropy_with_integer_labels", (X, CLASSES), {}),
    ("softmax_cross_entropy_with_integer_labels", (X, CLASSES), {"where": ROWS}),
    ("softmax_cross_entropy_with_integer_labels", (X, np.array([7, 11])), {"axis": (1, 2)}),
    ("softmax_cross_entropy_with_integer_labels", (X, CLASSES[:, :3] % 4), {"axis": 1}),
    ("sigmoid_binary_cross_entropy", (X, P), {}),
    ("sigmoid_focal_loss", (X, P), {}),
    ("sigmoid_focal_loss", (X, ONE_HOT), {"alpha": 0.25, "gamma": 1.5}),
    ("smooth_labels", (ONE_HOT, 0.1), {}),
    ("smooth_labels", (P, 0.2), {"axis": -1, "where": MASK}),
    ("kl_divergence", (LOG_P, np.flip(P, 0)), {"where": MASK}),
    ("kl_divergence", (LOG_P, ONE_HOT), {"axis": (1, 2)}),
    ("kl_divergence_with_log_targets", (LOG_P, np.flip(LOG_P, 0)), {"where": MASK}),
    ("generalized_kl_divergence", (X, np.exp(Z)), {"where": MASK}),
    ("hinge_loss", (X, SIGNS), {}),
    ("perceptron_loss", (X, SIGNS), {}),
    ("multiclass_hinge_loss", (X, CLASSES), {}),
    ("multiclass_perceptron_loss", (X, CLASSES), {}),
    ("sparsemax_loss", (3 * X, (SIGNS > 0).astype(int)), {}),
    ("multiclass_sparsemax_loss", (X[0], CLASSES[0]), {}),
    ("squared_error", (X, Z), {}),
    ("l2_loss", (X,), {}),
    ("huber_loss", (X, Z), {"delta": 0.7}),
    ("log_cosh", (X, 3 + Z), {}),
    ("cosine_similarity", (X, Z), {"epsilon": 1e-3}),
    ("cosine_distance", (X, Z), {"axis": (0, 1), "where": MASK}),
    ("ntxent", (X[0], np.array([0, 0, 1, 0])), {"temperature": 0.5}),
    ("triplet_margin_loss", (X, Z, X[::-1] + 0.1), {}),
    ("triplet_margin_loss", (X, Z, X[::-1] + 0.1), {"norm_degree": 4, "margin": 0.3, "eps": 0.2, "axis": 1}),
    ("ranking_softmax_loss", (X, P), {}),
    ("ranking_softmax_loss", (X, P), {"where": MASK, "weights": P[::-1], "reduce_fn": jnp.sum}),
    ("ranking_softmax_loss", (X, P), {"where": MASK & ROWS[..., None]}),
    ("dice_loss", (PIXELS, REGIONS), {}),
    (
        "dice_loss",
        (PIXELS, REGIONS),
        {"axis": 1, "reduction": "none", "alpha": 0.3, "beta": 0.7, "smooth": 0.1},
    ),
    (
        "dice_loss",
        (PIXELS, REGIONS),
        {"class_weights": np.array([1.0, 2.0, 3.0]), "ignore_background": True, "reduction": "sum"},
    ),
    ("dice_loss", (PIXELS[0, 0, 0], REGIONS[0, 0, 0]), {}),
    ("binary_dice_loss", (PIXELS[..., 0], REGIONS[..., :1]), {"smooth": 0.5}),
    ("multiclass_generalized_dice_loss", (PIXELS, REGIONS), {}),
    ("multiclass_generalized_dice_loss", (PIXELS, REGIONS), {"ignore_background": True}),
    ("ctc_loss", (LOGITS, FRAMES, LABELS, LENGTHS), {}),
]
FAST_COMPILE = {"xla_backend_optimization_level": 0}
IDS = [f"{name}-{i}" for i, (name, _, _) in enumerate(CASES)]


def public(module):
    return {n for n, v in vars(module).items() if not n.startswith("_") and not inspect.ismodule(v)}


def test_names():
    assert public(ours) == public(theirs) - ALIASES


def test_every_loss_has_a_case():
    elsewhere = {"make_fenchel_young_loss", "ctc_loss_with_forward_probs"}
    assert {name for name, _, _ in CASES} | elsewhere == public(ours)


@pytest.mark.parametrize("name", sorted(public(ours)))
def test_signature(name):
    mine, reference = (inspect.signature(getattr(m, name)).parameters.values() for m in (ours, theirs))
    assert [(p.name, p.default, p.kind) for p in mine] == [(p.name, p.default, p.kind) for p in reference]


def value_and_gradient(module, name, args, kwargs):
    """The value, and the gradients of its elements' weighted sum in all floating arguments that have one."""
    only_first = name.startswith(
        ("ctc", "ntxent", "sigmoid_focal")
    )  # Optax's focal loss cuts gradients in labels
    wanted = (
        (0,) if only_first else tuple(i for i, a in enumerate(args) if jnp.issubdtype(a.dtype, jnp.floating))
    )

    def scalar(*args):
        value = getattr(module, name)(*args, **kwargs)
        return jnp.sum(value * jnp.cos(jnp.arange(value.size, dtype=value.dtype)).reshape(value.shape)), value

    (_, value), gradient = jax.value_and_grad(scalar, wanted, has_aux=True)(*args)
    return value, gradient


@functools.cache
def results(module, dtype):
    """Those of all cases, by one compiled program: one for each case takes ten times as long."""

    def every(inputs):
        return [
            value_and_gradient(module, name, x, kw) for (name, _, kw), x in zip(CASES, inputs, strict=True)
        ]

    with jax.enable_x64(dtype == jnp.float64):
        inputs = [
            [jnp.asarray(a, dtype) if np.asarray(a).dtype.kind == "f" else jnp.asarray(a) for a in args]
            for _, args, _ in CASES
        ]
        return jax.tree.map(np.asarray, jax.jit(every, compiler_options=FAST_COMPILE)(inputs))


def close(mine, expected, rtol):
    """Relative to the largest element: a sum's small elements are only known to the rounding of its terms."""
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        assert np.all(np.isfinite(a))
        known = np.isfinite(b)  # Optax's gradients are NaN in labels that are left out, and at 0 log 0
        scale = max(float(np.max(np.abs(b[known]), initial=0.0)), 1.0)
        np.testing.assert_allclose(a[known], b[known], rtol=0, atol=rtol * scale)


@pytest.mark.parametrize("case", range(len(CASES)), ids=IDS)
def test_values_and_gradients(case):
    expected = results(theirs, jnp.float64)[case]
    precise = results(ours, jnp.float64)[case]
    assert precise[0].dtype == expected[0].dtype
    assert precise[0].shape == expected[0].shape
    close(precise, expected, 1e-12)
    close(results(ours, jnp.float32)[case], expected, 1e-6)


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES, ids=IDS)
def test_dtype_in_half_precision(name, args, kwargs):
    args = [jnp.asarray(a, jnp.bfloat16) if np.asarray(a).dtype.kind == "f" else jnp.asarray(a) for a in args]
    kwargs = {
        k: jnp.asarray(v, jnp.bfloat16) if isinstance(v, np.ndarray) and v.dtype.kind == "f" else v
        for k, v in kwargs.items()
    }
    dtypes = [jax.eval_shape(lambda m=m: getattr(m, name)(*args, **kwargs)).dtype for m in (ours, theirs)]
    assert dtypes[0] == dtypes[1]


@pytest.mark.parametrize(("dtype", "tolerance"), [(jnp.float64, 1e-12), (jnp.float32, 1e-6)])
def test_what_returns_more_or_has_no_arguments_of_its_own(dtype, tolerance):
    """Fenchel-Young losses, the deprecated alias, and CTC's forward probabilities, with their gradients.

    At the last frame Optax returns blanks and labels added up: compared before that, where they are possible.
    """

    def every(m, x, p, logits):
        def forward(logits):
            loss, *log_a = m.ctc_loss_with_forward_probs(logits, FRAMES, LABELS, LENGTHS)
            possible = [jnp.where(a[:-1] > -1e4, a[:-1], 0.0) for a in log_a]
            return jnp.sum(loss) + sum(jnp.sum(jnp.sin(a)) for a in possible), (loss, possible)

        fenchel_young = m.make_fenchel_young_loss(jax.nn.logsumexp)
        divergence = getattr(m, "convex_kl_divergence", m.generalized_kl_divergence)
        for f in (fenchel_young, divergence):
            yield f(x, p), jax.grad(lambda x, f=f: jnp.sum(jnp.sin(f(x, p))))(x)
        yield jax.grad(forward, has_aux=True)(logits)

    def computed(m, dtype):
        with jax.enable_x64(dtype == jnp.float64), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            inputs = [jnp.asarray(a, dtype) for a in (X, P, LOGITS)]
            return jax.tree.map(np.asarray, jax.jit(lambda *a: list(every(m, *a)))(*inputs))

    close(computed(ours, dtype), computed(theirs, jnp.float64), tolerance)


WEAK = ["squared_error", "l2_loss", "huber_loss", "log_cosh", "hinge_loss", "perceptron_loss"]
KINDS = {
    "python": lambda x: x,
    "numpy32": np.float32,
    "vector": lambda x: np.full(3, x, np.float32),
    "float32": lambda x: jnp.full(3, x, jnp.float32),
    "bfloat16": lambda x: jnp.full(3, x, jnp.bfloat16),
    "weak": jnp.asarray,
    "integers": lambda x: jnp.array([1, 0, 1]),
}


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("first", list(KINDS)[:-1])
@pytest.mark.parametrize("name", WEAK)
def test_weak_types(name, first, x64):
    """Where Optax takes the arguments at all, dtype, weak type and shape of the loss are the same."""
    with jax.enable_x64(x64):
        compared = 0
        for second in KINDS:
            args = KINDS[first](0.3), KINDS[second](0.7)
            try:
                expected = getattr(theirs, name)(*args)
            except (AttributeError, ValueError, AssertionError, TypeError):
                continue
            mine = getattr(ours, name)(*args)
            assert jax.typeof(mine) == jax.typeof(jnp.asarray(expected)), (second, expected)
            compared += 1
        assert compared or (name, first) == ("squared_error", "python")


@pytest.mark.parametrize(
    "name", ["softmax_cross_entropy", "safe_softmax_cross_entropy", "poly_loss_cross_entropy"]
)
def test_one_row_of_logits_against_a_batch_of_labels(name):
    logits, labels = jnp.array([0.3, -1.0, 2.0]), jnp.eye(3)[jnp.array([[0, 2], [1, 1]])]
    mine, expected = (getattr(m, name)(logits, labels) for m in (ours, theirs))
    assert mine.shape == expected.shape == (2, 2)
    np.testing.assert_allclose(mine, expected, rtol=1e-6)


def test_second_derivatives_of_the_focal_loss_at_large_logits():
    logits, labels = jnp.array([100.0, -100.0, 75.0, 50.0, -50.0]), jnp.array([0.9, 0.1, 0.8, 1.0, 0.0])
    curvature = jax.hessian(lambda x: jnp.sum(ours.sigmoid_focal_loss(x, labels, gamma=0.5)))(logits)
    assert np.all(np.isfinite(curvature))


def test_dice_loss_where_one_argument_has_no_axis_for_its_one_class():
    predictions, targets = jnp.asarray(X), jnp.asarray(ONE_HOT)
    for pair in ((predictions, targets[..., None]), (predictions[..., None], targets)):
        np.testing.assert_allclose(ours.dice_loss(*pair), theirs.dice_loss(*pair), rtol=1e-6)
