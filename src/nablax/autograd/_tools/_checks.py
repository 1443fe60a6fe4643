"""Derivatives against finite differences.

(f(x + h e_i) - f(x - h e_i)) / (2 h) = d f / d x_i + O(h^2) + O(rounding / h)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._ground._answers import must_be_callable
from .._ground._errors import GradcheckError, ShapeError
from .._path._recorded import Recorded
from .._tensor._grad_mode import enable_grad, no_grad
from .._tensor._tensor import Tensor, tensor
from ._functional import grad, jacobian


def gradcheck(
    fn: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    low_precision: bool = False,
    raise_exception: bool = True,
) -> bool:
    """Compare the derivatives of `fn` with central differences.

    Args:
      fn: from tensors to a tensor or a sequence of tensors.
      inputs: a tensor or a sequence of them; those that require grad are checked.
      eps: step h of the differences.
      atol, rtol: |analytic - numeric| <= atol + rtol |numeric|.
      low_precision: check although an input is below float64; then choose eps and tolerances to fit (1e-2 or so).
      raise_exception: raise, rather than return False, where they differ.

    Raises:
      GradcheckError: they differ; says which input and element.
      ValueError: an input below float64, a complex input or output, or none that requires grad.
    """
    xs = _inputs("gradcheck", fn, inputs)
    checked = [i for i, x in enumerate(xs) if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise ValueError("gradcheck: none of the inputs requires grad.")
    for i in checked:
        if np.finfo(xs[i].dtype).eps > np.finfo(np.float64).eps and not low_precision:
            raise ValueError(
                f"gradcheck: input {i} is {xs[i].dtype}; finite differences need float64 (jax.enable_x64(True)). Pass "
                "low_precision=True, and eps and tolerances to fit, to check all the same."
            )
        if np.iscomplexobj(np.zeros((), xs[i].dtype)):
            raise ValueError(
                f"gradcheck: input {i} is {xs[i].dtype}; split it into real and imaginary parts."
            )
    points = [np.array(x.detach()) if isinstance(x, Tensor) else x for x in xs]

    def outputs_at(values: list[Any]) -> list[np.ndarray]:
        with no_grad():
            found = [np.array(y.detach()) for y in _outputs(fn(*map(_leafless, values)))]
        if any(map(np.iscomplexobj, found)):
            raise ValueError("gradcheck: an output is complex; return its real and imaginary parts.")
        return [y.astype(np.float64) for y in found]

    with enable_grad():
        leaves = [
            tensor(p, requires_grad=i in checked) if isinstance(xs[i], Tensor) else p
            for i, p in enumerate(points)
        ]
        results = _outputs(fn(*leaves))
        for n, y in enumerate(results):
            for i in checked:
                numeric = _differences(outputs_at, points, i, n, eps)
                if y.requires_grad:
                    analytic = np.array(jacobian(y, leaves[i]).detach(), np.float64)
                else:
                    analytic = np.zeros(y.shape + points[i].shape)
                error = np.abs(analytic - numeric) - rtol * np.abs(numeric)
                if not np.all(error <= atol):  # NaN fails, too
                    worst = np.unravel_index(np.argmax(np.where(np.isnan(error), np.inf, error)), error.shape)
                    if not raise_exception:
                        return False
                    raise GradcheckError(
                        f"gradcheck: output {n}, input {i}: d y{[*map(int, worst[: y.ndim])]} / "
                        f"d x{[*map(int, worst[y.ndim :])]} is "
                        f"{analytic[worst]:.6g} by backward, {numeric[worst]:.6g} by finite differences."
                    )
    return True


def gradgradcheck(fn: Callable[..., Any], inputs: Any, **options: Any) -> bool:
    """Compare second derivatives with differences of first ones: gradcheck of x -> v^T J(x), v random.

    Takes the options of gradcheck.
    """
    xs = _inputs("gradgradcheck", fn, inputs)
    checked = [i for i, x in enumerate(xs) if isinstance(x, Tensor) and x.requires_grad]
    rng = np.random.default_rng(0)

    def first(*args: Any) -> list[Any]:
        with enable_grad():
            leaves = [
                a if i not in checked or a.requires_grad else a.requires_grad_() for i, a in enumerate(args)
            ]
            outputs = [y for y in _outputs(fn(*leaves)) if y.requires_grad]
            wanted = [leaves[i] for i in checked]
            for y in outputs:
                if len(weights) < len(outputs):
                    weights.append(rng.standard_normal(y.shape).astype(y.dtype))
            found = grad(outputs, wanted, weights, create_graph=True, allow_unused=True)
        return [g for g in found if g is not None]

    weights: list[np.ndarray] = []
    return gradcheck(first, xs, **options)


def _inputs(who: str, fn: Any, inputs: Any) -> list[Any]:
    must_be_callable(who, "fn", fn)
    if not isinstance(inputs, Recorded | Sequence):
        raise ShapeError(
            f"{who}: inputs must be a tensor or several, got {type(inputs).__name__}: {inputs!r}."[:300]
        )
    return [inputs] if isinstance(inputs, Recorded) else list(inputs)


def _outputs(results: Any) -> Sequence[Any]:
    return [results] if isinstance(results, Recorded) else list(results)


def _leafless(value: Any) -> Any:
    return tensor(value) if isinstance(value, np.ndarray) else value


def _differences(fn: Callable[..., Any], points: list[Any], i: int, n: int, eps: float) -> np.ndarray:
    columns = []
    for j in range(points[i].size):
        sides = []
        for step in (eps, -eps):
            moved = points[i].copy()
            moved.flat[j] += step
            sides.append(fn([*points[:i], moved, *points[i + 1 :]])[n])
        columns.append((sides[0] - sides[1]) / (2 * eps))
    return np.stack(columns, -1).reshape(sides[0].shape + points[i].shape)
