"""Smoothing a function by noise: f_sigma(x) = E f(x + sigma z), its value and its derivatives of every order.

    estimator          reads       derivative of first order, for Normal noise
    score              values      mean of (f(x + sigma z) - h) z / sigma, with a control h
    antithetic         values      mean of (f(x + sigma z) - f(x - sigma z)) z / (2 sigma)
    pathwise           gradients   mean of grad f(x + sigma z); f must be differentiable, twice for Hessians
    measure_valued     values      (f(.. x_j + sigma W ..) - f(.. x_j - sigma W ..)) / (sigma sqrt(2 pi)), axis by
                                   axis, W ~ Rayleigh

Sources: Berthet et al. 2020, arXiv:2002.08676; Mohamed et al. 2020, arXiv:1906.10652; Salimans et al. 2017,
arXiv:1703.03864.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import FUNCTION, ArgumentError, HyperparameterError, StructureError

from ._checks import check_positive, positive_int
from ._layout import Layout, fingerprint
from ._likelihood_ratio import likelihood_ratio_estimate
from ._measure_valued import family_of, measure_valued_estimate
from ._noise import Gumbel
from ._sampling import accumulate, as_key, draw

_GUMBEL = Gumbel()
_WHO = "make_perturbed_fun"
_ESTIMATORS = ("score", "antithetic", "pathwise", "measure_valued")
_BASELINES = ("none", "value", "leave_one_out", "linear")


def make_perturbed_fun(
    fun: Callable[[Any], Any],
    num_samples: int = 1000,
    sigma: Any = 0.1,
    noise: Any = _GUMBEL,
    use_baseline: bool = True,
    *,
    estimator: str | None = None,
    baseline: str | None = None,
    batch_size: int | None = None,
    common_random_numbers: bool = True,
) -> Callable[[jax.Array, Any], Any]:
    """Makes a differentiable function of any function: the mean of f(x + sigma z) over noise z.

        f_sigma(x) = E f(x + sigma z),     z ~ noise

    Values, Jacobians, Hessians and so on, taken by JAX's transformations (jit, vmap, grad, jacfwd, jacrev,
    hessian), are each unbiased estimates of those of f_sigma, made of evaluations of `fun` alone (unless the
    estimator is "pathwise").

    Args:
      fun: from a tree of real or complex floating arrays to a tree of arrays. It must be traceable by JAX,
        but need not be differentiable. The mean of an integer or Boolean output is a float.
      num_samples: evaluations of `fun` that are averaged, >= 1; even for "antithetic". (With
        `baseline="value"`, or in batches with a baseline, there is one more, at x; "measure_valued" takes 2 D a sample
        for a derivative.)
      sigma: scale of the noise, > 0: a number, or a tree like x with a number (or a broadcastable array) for
        each leaf. It may be traced and, for "score", "antithetic" and "pathwise", differentiated.
      noise: the law of z: `Normal()`, `Gumbel()`, `Laplace()`, `Rademacher()`, `UniformSphere()`, or any
        object with `sample(key, shape, dtype)` and an elementwise `log_prob(z)`. Gumbel noise has mean
        0.5772, so it shifts by 0.5772 sigma. A complex leaf gets independent noise in its real and its
        imaginary part.
      use_baseline: reduce the variance of "score" and "antithetic". No baseline ever changes a mean.
      estimator: "score" (likelihood ratios), "antithetic" (likelihood ratios over pairs of a sample and its
        reflection: -z for symmetric laws, the mirrored quantile for Gumbel), "pathwise" (gradients of `fun`),
        "measure_valued" (Normal, Gumbel and Laplace), or None: "score" without `use_baseline` or with a `baseline`
        of your own; otherwise "antithetic" where pairs are possible (an even number of samples of noise that has
        `reflect`), else "score".
      baseline: "none", "value" (f(x)), "leave_one_out" (the mean of the other samples), "linear" (a linear
        fit to the other half of the samples), or None: "none" without `use_baseline`; otherwise the best that
        is cheap, which is "linear" for functions with at most 64 outputs and known noise.
      batch_size: samples evaluated at once; None is all. It bounds memory, in derivatives too, and changes
        results by rounding only.
      common_random_numbers: with True, the noise depends on the key alone: two points see the same noise, and
        differences between them are far less noisy than each. With False it depends on the point too.

    Returns:
      A function of a key and of x, with the structure of `fun`'s output, averaged in at least float32.

    Raises:
      HyperparameterError: num_samples < 1 or odd for pairs, sigma not positive, an estimator that the noise
        does not allow.
      ArgumentError: an argument of the wrong kind; a `fun` that needs concrete values.
      StructureError: x has leaves that no noise can be added to; `fun`'s output has not one structure.

    Defaults: as in Optax.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from nablax.perturbations import Normal
      >>> steps = make_perturbed_fun(lambda x: jnp.sum(jnp.sign(x)), 10_000, 0.5, Normal())
      >>> g = jax.jit(jax.grad(steps, argnums=1))(jax.random.key(0), jnp.zeros(2))
      >>> bool(jnp.allclose(g, 1.6, atol=0.1))
      True
    """
    FUNCTION(_WHO, "fun", fun)
    plan = _Plan(num_samples, sigma, noise, use_baseline, estimator, baseline, batch_size)
    estimator = plan.estimator

    def perturbed(key: jax.Array, x: Any) -> Any:
        key = as_key(key, _WHO)
        x = jax.tree.map(jnp.asarray, x)
        layout = Layout(x)
        _check_perturbable(layout)
        vector = layout.flatten(x)
        scale = layout.spread(sigma, _WHO)
        if not common_random_numbers:
            key = jax.random.fold_in(key, fingerprint(vector))
        out = Layout(_shape_of(fun, x))

        def flat_value(point: Any) -> jax.Array:
            value = fun(point)
            if Layout(value) != out:
                raise StructureError(
                    f"{_WHO}: fun must return one structure whatever its input, got "
                    f"{jax.tree.structure(value)} after {out.treedef}, "
                    "or other shapes or dtypes."
                )
            return out.flatten(value)

        def evaluate(x: jax.Array, delta: jax.Array, salt: jax.Array, coarse: Any = True) -> jax.Array:
            return flat_value(layout.perturb(x, delta, salt, coarse))

        if estimator == "pathwise":
            _check_differentiable(out)
            mean = _pathwise(flat_value, layout, vector, scale, key, plan)
        elif estimator == "measure_valued":
            mean = measure_valued_estimate(
                evaluate,
                vector,
                scale,
                key,
                family=family_of(noise, _WHO),
                num_samples=plan.num_samples,
                batch_size=plan.batch_size,
            )
        else:
            mean = likelihood_ratio_estimate(
                evaluate,
                lambda: flat_value(jax.lax.stop_gradient(x)),
                vector,
                scale,
                key,
                sigma_moves=any(isinstance(s, jax.core.Tracer) for s in jax.tree.leaves(sigma)),
                coarse=layout.coarse,
                outputs=out.size,
                noise=noise,
                num_samples=plan.num_samples,
                pairs=estimator == "antithetic",
                baseline=plan.choose_baseline(layout.size, out.size),
                batch_size=plan.batch_size,
            )
        return out.unflatten(mean)

    return perturbed


class _Plan:
    """The arguments, checked."""

    def __init__(
        self,
        num_samples: int,
        sigma: Any,
        noise: Any,
        use_baseline: bool,
        estimator: str | None,
        baseline: str | None,
        batch_size: int | None,
    ):
        self.num_samples = positive_int(_WHO, "num_samples", num_samples)
        self.batch_size = None if batch_size is None else positive_int(_WHO, "batch_size", batch_size)
        check_positive(_WHO, "sigma", sigma)
        reflects = callable(getattr(noise, "reflect", None))
        if estimator is None:
            paired = use_baseline and baseline is None and reflects and num_samples % 2 == 0
            estimator = "antithetic" if paired else "score"
        if estimator not in _ESTIMATORS:
            raise HyperparameterError(
                f"{_WHO}: estimator must be None or one of {', '.join(_ESTIMATORS)}, got {estimator!r}."
            )
        if baseline is not None and baseline not in _BASELINES:
            raise HyperparameterError(
                f"{_WHO}: baseline must be None or one of {', '.join(_BASELINES)}, got {baseline!r}."
            )
        if not callable(getattr(noise, "sample", None)) or not callable(getattr(noise, "log_prob", None)):
            raise ArgumentError(f"{_WHO}: noise must have functions sample and log_prob, got {noise!r}.")
        if baseline not in (None, "none") and estimator in ("pathwise", "measure_valued"):
            raise HyperparameterError(
                f"{_WHO}: estimator={estimator!r} has no likelihood ratio that baseline={baseline!r} could "
                "reduce."
            )
        if estimator == "measure_valued":
            family_of(noise, _WHO)
        if estimator == "antithetic":
            if num_samples % 2:
                raise HyperparameterError(
                    f"{_WHO}: num_samples must be even for antithetic pairs, got {num_samples}."
                )
            if not reflects:
                raise HyperparameterError(
                    f"{_WHO}: estimator='antithetic' needs noise that says with reflect(z) which z' mirrors "
                    "z: -z would be biased "
                    f"for a skewed law. {noise!r} has none."
                )
        self.units = num_samples // 2 if estimator == "antithetic" else num_samples
        known = hasattr(noise, "mean") and hasattr(noise, "std")
        if baseline == "linear" and not known:
            raise HyperparameterError(
                f"{_WHO}: baseline='linear' needs noise with known mean and std, got {noise!r}."
            )
        if baseline in ("linear", "leave_one_out") and self.units < 2:
            raise HyperparameterError(
                f"{_WHO}: baseline={baseline!r} needs two samples (or pairs), got num_samples={num_samples}."
            )
        self.estimator, self.noise, self.baseline = estimator, noise, baseline
        self.use_baseline, self.known = use_baseline, known

    def choose_baseline(self, inputs: int, outputs: int) -> str:
        """The baseline asked for, or the best that costs little beside drawing the noise."""
        if self.baseline is not None:
            return self.baseline
        if not self.use_baseline:
            return "none"
        if self.units < 8:
            return "value"
        cheap = outputs <= 64 and inputs * outputs <= 2**20
        return "linear" if self.known and cheap else "leave_one_out"


def _pathwise(
    evaluate_tree: Callable[[Any], jax.Array],
    layout: Layout,
    x: jax.Array,
    sigma: jax.Array,
    key: jax.Array,
    plan: _Plan,
) -> jax.Array:
    """The mean of f(x + sigma z) as a function that JAX differentiates sample by sample."""
    center = jax.lax.stop_gradient(evaluate_tree(layout.unflatten(x)))
    center = jnp.where(jnp.isfinite(center), center, 0)

    def one(z: jax.Array, salt: jax.Array) -> jax.Array:
        exact = layout.unflatten(x + sigma * z)
        rounded = layout.perturb(*jax.lax.stop_gradient((x, sigma * z)), salt)
        # The rounded point, with the derivative of the exact one.
        point = jax.tree.map(lambda a, b: a + jax.lax.stop_gradient(b - a), exact, rounded)
        return evaluate_tree(point) - center

    def sums(indices: jax.Array, live: jax.Array) -> jax.Array:
        z, salt = draw(plan.noise, key, indices, layout.size, layout.dtype)
        return jnp.sum(jnp.where(live[:, None], jax.vmap(one)(z, salt), 0), 0)

    return center + accumulate(sums, plan.num_samples, plan.batch_size) / plan.num_samples


def _shape_of(fun: Callable[[Any], Any], x: Any) -> Any:
    """The structure of fun(x), without running it."""
    try:
        return jax.eval_shape(fun, x)
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
        raise ArgumentError(
            f"{_WHO}: fun must not read the numbers in its input while it is traced, nor choose its output's "
            "structure by them: "
            "its values at all samples are computed in one program. Write conditions with jnp.where or "
            "jax.lax.cond, and keep "
            "shapes fixed; a function outside JAX goes through jax.pure_callback."
        ) from error
    except jax.errors.NonConcreteBooleanIndexError as error:
        raise ArgumentError(
            f"{_WHO}: fun must return arrays whose shapes do not depend on the numbers in its input; use "
            "jnp.where instead of "
            "a Boolean index."
        ) from error


def _check_perturbable(layout: Layout) -> None:
    for dtype in layout.dtypes:
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise StructureError(
                f"{_WHO}: x must have floating or complex leaves, since noise is added to each, got {dtype}. "
                "Convert the leaf, or "
                "close over what is not to be perturbed."
            )


def _check_differentiable(out: Layout) -> None:
    for dtype in out.dtypes:
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise StructureError(
                f"{_WHO}: estimator='pathwise' differentiates fun, whose output has dtype {dtype} and no "
                "derivative. "
                "Use estimator='score' or 'antithetic'."
            )
