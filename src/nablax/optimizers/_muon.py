"""Muon: momentum whose singular values are all set to about 1.

    m_t = beta m_{t-1} + (1 - beta) g_t,   bias-corrected, with Nesterov's look ahead by default
    X_0 = m / |m|,   X <- a X + (b A + c A^2) X  with A = X X^T,  ns_steps times         (Newton-Schulz)
    u_t = -lr_t (sqrt(max(1, outputs / inputs)) X + weight_decay p_t)

Matrices map inputs (reduction axes) to outputs; further axes are batches of matrices. Everything that is no matrix is
left to Adam.

Sources: Jordan et al. 2024, kellerjordan.github.io/posts/muon; Bernstein & Newhouse 2024, arXiv:2409.20325; Liu et al.
2025, arXiv:2502.16982 (consistent_rms); Boissin et al. 2025, arXiv:2512.04632 ("aol"); Grishina et al. 2025,
arXiv:2506.10935 ("schatten"); Ahn et al. 2025, arXiv:2504.05295 (the coefficients "dion").
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import (
    ARRAY,
    ArgumentError,
    Field,
    GradientTransformation,
    GradientTransformationExtraArgs,
    HyperparameterError,
    MaskOrFn,
    ScalarOrSchedule,
    StructureError,
    abs_sq,
    as_array,
    chain,
    choice,
    count,
    fields,
    first_moment,
    leafwise,
    lerp,
    of_whole,
)
from nablax.optimizers._adam import adamw
from nablax.optimizers._arguments import checked, one_of
from nablax.optimizers._matrix_axes import Axes, AxesPerLeaf, axes_of, check_numbers_of
from nablax.transforms import add_decayed_weights, partition, scale_by_learning_rate
from nablax.tree import at_least_float32, is_none

_PRESETS: dict[str, Any] = {
    "standard": (3.4445, -4.7750, 2.0315),
    "muon": (3.4445, -4.7750, 2.0315),
    "dion": (
        (4.0848, -6.8946, 2.9270),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ),
}
_PRECONDITIONINGS = ("frobenius", "spectral", "aol", "schatten")


class MuonDimensionNumbers(NamedTuple):
    """Which axes of an array make a matrix; the others are batches of matrices.

    Attributes:
      reduction_axis: axis or axes of the inputs.
      output_axis: axis or axes of the outputs.
    """

    reduction_axis: int | tuple[int, ...] = 0
    output_axis: int | tuple[int, ...] = 1


class MuonState(NamedTuple):
    """count: updates so far, int32. mu: m_t, like params or in mu_dtype. ns_coeffs: (3,) or (steps, 3)."""

    count: jax.Array  # type: ignore[assignment]
    mu: Any
    ns_coeffs: jax.Array


def _axes(numbers: Any) -> Any:
    return Axes() if numbers is None else axes_of(numbers, MuonDimensionNumbers)


def _to_matrices(x: jax.Array, axes: Axes) -> jax.Array:
    """x as (batch, inputs, outputs)."""
    ndim = x.ndim
    inputs, outputs = ([a % ndim for a in side] for side in (axes.inputs, axes.outputs))
    batch = [a for a in range(ndim) if a not in inputs + outputs]
    x = x.transpose(batch + inputs + outputs)
    sizes = [math.prod(x.shape[: len(batch)]), math.prod(x.shape[len(batch) : len(batch) + len(inputs)]), -1]
    return (
        x.reshape(sizes) if x.size else x.reshape(*sizes[:2], math.prod(x.shape[len(batch) + len(inputs) :]))
    )


def _from_matrices(matrices: jax.Array, like: jax.Array, axes: Axes) -> jax.Array:
    ndim = like.ndim
    inputs, outputs = ([a % ndim for a in side] for side in (axes.inputs, axes.outputs))
    order = [a for a in range(ndim) if a not in inputs + outputs] + inputs + outputs
    return matrices.reshape([like.shape[a] for a in order]).transpose(np.argsort(order))


def _gram(x: jax.Array) -> jax.Array:
    """The smaller of the two products with the conjugate transpose. XLA would copy what `swapaxes` gives it."""
    if _is_tall(x):
        return jnp.einsum("...ji,...jk->...ik", jnp.conj(x), x)
    return jnp.einsum("...ij,...kj->...ik", x, jnp.conj(x))


def _is_tall(x: jax.Array) -> bool:
    return x.shape[-2] > x.shape[-1]


def _normalized(x: jax.Array, eps: Any, preconditioning: str) -> jax.Array:
    """x with singular values of at most about 1."""
    gram = _gram(x)
    if preconditioning == "aol":
        return x * jax.lax.rsqrt(jnp.sum(jnp.abs(gram), -2 if _is_tall(x) else -1, keepdims=True) + eps)
    if preconditioning == "spectral":
        size = jnp.linalg.norm(x, ord=2, axis=(-2, -1), keepdims=True)
    elif preconditioning == "schatten":
        size = jnp.sum(abs_sq(gram), (-2, -1), keepdims=True) ** 0.25
    else:
        size = jnp.sqrt(jnp.sum(abs_sq(x), (-2, -1), keepdims=True))
    return x / (size + eps)


def _orthogonalize(x: jax.Array, coefficients: Any, eps: Any, steps: int, preconditioning: str) -> jax.Array:
    """Newton-Schulz on the last two axes."""
    if not x.size:
        return x
    x = _normalized(x, eps, preconditioning)
    for i in range(steps):
        a, b, c = coefficients[i] if coefficients.ndim == 2 else coefficients
        gram = _gram(x)
        factor = b * gram + c * gram @ gram
        x = a * x + (x @ factor if _is_tall(x) else factor @ x)
    return x


def orthogonalize_via_newton_schulz(
    x: jax.Array,
    ns_coeffs: Any,
    ns_steps: int = 5,
    preconditioning: str = "frobenius",
    eps: float = 1e-8,
    dimension_numbers: MuonDimensionNumbers | None = None,
) -> jax.Array:
    """Sets all singular values of a matrix to about 1: Muon's direction without its momentum.

    Args:
      x: a matrix; with `dimension_numbers`, an array of matrices. Computed in at least float32.
      ns_coeffs: three coefficients for every step, or an array of shape (steps, 3) with three for each.
      ns_steps: number of steps; ignored where there is a triple for each.
      preconditioning, eps: as in `scale_by_muon`.
      dimension_numbers: which axes make a matrix; None takes axis 0 for inputs and axis 1 for outputs.

    Returns:
      Array of x's shape and dtype.

    Raises:
      StructureError: x is no matrix and dimension_numbers are missing, or coefficients of another shape.
      HyperparameterError: an unknown preconditioning.

    Defaults: ns_steps is that of the source; eps as in `muon`.

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon.

    Example:
      >>> x = jnp.diag(jnp.array([3.0, 0.5]))
      >>> y = orthogonalize_via_newton_schulz(x, (2.0, -1.5, 0.5), 12)
      >>> bool(jnp.allclose(y, jnp.eye(2), atol=1e-5))
      True
    """
    who = "orthogonalize_via_newton_schulz"
    ARRAY(who, "x", x)
    ARRAY(who, "ns_coeffs", ns_coeffs)
    x, coefficients = jnp.asarray(x), jnp.asarray(ns_coeffs)
    if x.ndim != 2 and dimension_numbers is None:
        raise StructureError(f"{who}: an array of shape {x.shape} is no matrix; it needs dimension_numbers.")
    if coefficients.ndim not in (1, 2) or coefficients.shape[-1] != 3:
        raise StructureError(
            f"{who}: ns_coeffs must have shape (3,) or (steps, 3), got shape {coefficients.shape}."
        )
    if preconditioning not in _PRECONDITIONINGS:
        known = ", ".join(_PRECONDITIONINGS)
        raise HyperparameterError(f"{who}: preconditioning must be one of {known}, got {preconditioning!r}.")
    axes = Axes() if x.ndim == 2 else _axes(dimension_numbers)
    wide = x.astype(at_least_float32(x.dtype))
    steps = len(coefficients) if coefficients.ndim == 2 else int(ns_steps)
    matrices = _to_matrices(wide, axes)
    made = _orthogonalize(matrices, coefficients.astype(wide.dtype), eps, steps, preconditioning)
    return _from_matrices(made, x, axes).astype(x.dtype)


def _muon(
    g: jax.Array, mu: jax.Array, *, beta: Any, eps: Any, c1: Any, c1_next: Any, ns_coeffs: Any, steps: int,
    adaptive: bool, preconditioning: str, axes: Axes,
) -> tuple[jax.Array, jax.Array]:  # fmt: skip
    if g.ndim < 2:
        raise ArgumentError(f"scale_by_muon: a leaf of shape {g.shape} is no matrix.")
    mu = lerp(mu, g, beta)
    ahead = mu / c1 if c1_next is None else beta * (mu / c1_next) + (1 - beta) * (g / c1)
    given = {
        "coefficients": ns_coeffs,
        "eps": as_array(eps),
        "steps": steps,
        "preconditioning": preconditioning,
    }
    matrices = of_whole(_orthogonalize, _to_matrices(ahead, axes), **given)
    direction = _from_matrices(matrices, g, axes)
    if adaptive:
        direction = jnp.sum(jnp.real(jnp.conj(ahead) * direction)) * direction
    return direction, mu


def _corrections(count: jax.Array, beta: Any, nesterov: bool) -> dict[str, Any]:
    return {"c1": 1 - beta**count, "c1_next": 1 - beta ** (count + 1) if nesterov else None}


def _coefficients(ns_coeffs: Any) -> np.ndarray:
    return np.asarray(_PRESETS[ns_coeffs] if isinstance(ns_coeffs, str) else ns_coeffs, np.float64)


def _check_coefficients(who: str, name: str, value: Any, optional: bool) -> None:
    del optional
    try:
        coefficients = _coefficients(value)
        fits = (
            coefficients.ndim in (1, 2)
            and coefficients.shape[-1] == 3
            and bool(np.isfinite(coefficients).all())
        )
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise ArgumentError(
            f"{who}: {name} must be one of {', '.join(_PRESETS)}, or three numbers, or a tuple of such triples, "
            f"got {value!r}."[:300]
        )


@checked(
    ns_coeffs=_check_coefficients,
    preconditioning=choice(*_PRECONDITIONINGS),
    weight_dimension_numbers=check_numbers_of(MuonDimensionNumbers),
)
def scale_by_muon(
    ns_coeffs: Any = (3.4445, -4.7750, 2.0315),
    ns_steps: int = 5,
    beta: float = 0.95,
    eps: float = 1e-8,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: str = "frobenius",
    weight_dimension_numbers: Any = None,
) -> GradientTransformation:
    """Muon's direction, for leaves that are all matrices.

    Args:
      ns_coeffs: the three coefficients of a Newton-Schulz step, or such a triple for each step, or "muon" or "dion".
      ns_steps: number of steps; ignored where there is a triple for each.
      beta: decay of the momentum, in [0, 1).
      eps: added to norms, not negative.
      mu_dtype: dtype of the momentum; None follows each parameter's.
      nesterov: look one step ahead.
      adaptive: multiply by the dual norm of the momentum.
      preconditioning: what a matrix is divided by first: its "frobenius" norm, "spectral" norm, Schatten-4 norm
        ("schatten"), or row by row ("aol"). Sharper ones save steps.
      weight_dimension_numbers: `MuonDimensionNumbers` for all leaves, a tree of them, or a function of the parameters
        that returns one; None takes axis 0 for inputs and axis 1 for outputs.

    Raises:
      HyperparameterError: a number out of its range.
      ArgumentError: unknown coefficients or preconditioning; a leaf that is no matrix.

    Defaults: as in `muon`.

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon.
    """
    coefficients = _coefficients(ns_coeffs)

    state = fields(
        MuonState,
        count=count(),
        mu=first_moment(mu_dtype),
        ns_coeffs=Field("scalar", lambda params: jnp.array(coefficients, float), per_leaf=False),
    )

    return leafwise(
        _muon,
        state,
        hyperparams={"beta": beta, "eps": eps},
        options={
            "nesterov": nesterov,
            "adaptive": adaptive,
            "preconditioning": preconditioning,
            "steps": len(coefficients) if coefficients.ndim == 2 else int(ns_steps),
        },
        scalars=_corrections,
        flags={"axes": AxesPerLeaf(_axes(weight_dimension_numbers), "scale_by_muon")},
        stack=True,
    )


def _shape_factor(g: jax.Array, *, rms: Any, axes: Axes) -> jax.Array:
    _, inputs, outputs = jax.eval_shape(lambda x: _to_matrices(x, axes), g).shape
    factor = (
        math.sqrt(max(1, outputs / max(inputs, 1))) if rms is None else rms * math.sqrt(max(inputs, outputs))
    )
    return g * factor


def _scale_by_shape(rms: float | None, weight_dimension_numbers: Any) -> GradientTransformation:
    return leafwise(
        _shape_factor,
        name="scale_by_shape",
        hyperparams={"rms": rms},
        flags={"axes": AxesPerLeaf(_axes(weight_dimension_numbers), "muon")},
    )


@checked(
    ns_coeffs=_check_coefficients,
    preconditioning=choice(*_PRECONDITIONINGS),
    muon_weight_dimension_numbers=check_numbers_of(MuonDimensionNumbers),
)
def muon(
    learning_rate: ScalarOrSchedule,
    ns_coeffs: Any = (3.4445, -4.7750, 2.0315),
    ns_steps: int = 5,
    beta: float = 0.95,
    eps: float = 1e-8,
    weight_decay: ScalarOrSchedule = 0.0,
    weight_decay_mask: MaskOrFn | None = None,
    mu_dtype: Any = None,
    *,
    nesterov: bool = True,
    adaptive: bool = False,
    preconditioning: str = "frobenius",
    adam_b1: float = 0.9,
    adam_b2: float = 0.999,
    adam_eps_root: float = 0.0,
    adam_weight_decay: ScalarOrSchedule = 0.0,
    adam_learning_rate: ScalarOrSchedule | None = None,
    muon_weight_dimension_numbers: Any = None,
    consistent_rms: float | None = None,
    mask: MaskOrFn | None = None,
) -> GradientTransformationExtraArgs:
    """Muon for matrices, AdamW for the rest.

    Args:
      learning_rate: a number, a traced number or a schedule; a negative one ascends.
      ns_coeffs, ns_steps, beta, eps, mu_dtype, nesterov, adaptive, preconditioning: as in `scale_by_muon`.
      weight_decay: of matrices; multiplied by the learning rate.
      weight_decay_mask, mask: leaves that decay; see `add_decayed_weights`. Two names of one argument.
      adam_b1, adam_b2, adam_eps_root, adam_weight_decay: as in `adamw`, for the rest.
      adam_learning_rate: for the rest; None takes learning_rate.
      muon_weight_dimension_numbers: tree of `MuonDimensionNumbers`, None for leaves of Adam, or a function of the
        parameters that returns one; None takes the leaves with two axes.
      consistent_rms: scale steps to this root mean square, whatever the shape (0.2 is Adam's); None keeps Muon's.

    Raises:
      HyperparameterError: a number out of its range.
      ArgumentError: unknown coefficients or preconditioning.
      MissingParamsError: `update` without params.

    Defaults: as in Optax; ns_coeffs, ns_steps and beta are those of Jordan et al. 2024, adam_b1 and adam_b2 Adam's.

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon; Liu et al. 2025, arXiv:2502.16982.
    """
    decays = one_of("muon", weight_decay_mask=weight_decay_mask, mask=mask)
    numbers = muon_weight_dimension_numbers

    def labels(params: Any) -> Any:
        if numbers is None:
            return jax.tree.map(lambda p: "muon" if jnp.ndim(p) == 2 else "adam", params)
        axes = _axes(numbers)
        axes = axes(params) if callable(axes) else axes

        def label(a: Any, below: Any) -> Any:
            return jax.tree.map(lambda _: "adam" if a is None else "muon", below)

        # Of every leaf, not of a prefix: so states have Optax's layout, which checkpoints keep.
        return jax.tree.map(label, axes, params, is_leaf=is_none)

    matrices = chain(
        scale_by_muon(
            ns_coeffs,
            ns_steps,
            beta,
            eps,
            mu_dtype,
            nesterov=nesterov,
            adaptive=adaptive,
            preconditioning=preconditioning,
            weight_dimension_numbers=numbers,
        ),
        _scale_by_shape(consistent_rms, numbers),
        add_decayed_weights(weight_decay, decays),
        scale_by_learning_rate(learning_rate),
    )
    rest = adamw(
        learning_rate if adam_learning_rate is None else adam_learning_rate,
        adam_b1,
        adam_b2,
        eps,
        adam_eps_root,
        mu_dtype,
        adam_weight_decay,
        decays,
        nesterov=nesterov,
    )
    return partition({"muon": matrices, "adam": rest}, labels)
