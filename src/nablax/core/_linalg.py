"""Linear algebra that optimizers are built with: leading eigenvalues, inverse roots, non-negative least squares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nablax import tree
from nablax.core._checks import check_number
from nablax.core._errors import ArgumentError, StructureError
from nablax.core._kinds import ARRAY, INTEGER, is_array, of_kind, refusing


@refusing(matrix=of_kind("an array of numbers or a function", lambda x: callable(x) or is_array(x)))
def power_iteration(
    matrix: Any | Callable[[Any], Any],
    *,
    v0: Any = None,
    num_iters: Any = 100,
    error_tolerance: Any = 1e-6,
    precision: lax.Precision = lax.Precision.HIGHEST,
    key: jax.Array | None = None,
) -> tuple[jax.Array, Any]:
    """The eigenvalue of largest size of a diagonalizable matrix, and its eigenvector.

        v <- A v / |A v|,     lambda = <v, A v>

    It stops when lambda changes by less than a fraction `error_tolerance`, or after `num_iters` products.

    Args:
      matrix: square matrix of shape (n, n), or a function of a tree that returns A times it.
      v0: where to start: a vector of shape (n,), or a tree that the function takes. None draws one for a matrix.
      num_iters: largest number of products, at least 1.
      error_tolerance: relative change of the eigenvalue at which to stop.
      precision: of the matrix products.
      key: to draw v0 with; None is `jax.random.PRNGKey(0)`.

    Returns:
      The eigenvalue, a scalar, and the eigenvector, of norm 1, like v0.

    Raises:
      ArgumentError: matrix is a function and v0 is None.
      StructureError: matrix is not square.

    Source: von Mises & Pollaczek-Geiringer 1929, doi:10.1002/zamm.19290090206.

    Example:
      >>> value, vector = power_iteration(jnp.diag(jnp.array([1.0, -3.0, 2.0])))
      >>> print(round(float(value), 4))
      -3.0
    """
    check_number("power_iteration", "num_iters", num_iters, 1)
    if callable(matrix):
        product = matrix
        if v0 is None:
            raise ArgumentError(
                "power_iteration: a matrix given as a function needs v0, a tree to start from."
            )
    else:
        matrix = jnp.asarray(matrix)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise StructureError(f"power_iteration: matrix must be square, got shape {matrix.shape}.")

        def product(v: Any) -> jax.Array:
            return jnp.matmul(matrix, v, precision=precision)

        if v0 is None:
            key = jax.random.PRNGKey(0) if key is None else key
            v0 = jax.random.uniform(key, matrix.shape[-1:], jnp.result_type(matrix, jnp.float32), -1.0, 1.0)

    def unit(v: Any) -> Any:
        norm = tree.norm(v)
        return jax.tree.map(lambda x: (x / jnp.where(norm == 0, 1.0, norm)).astype(x.dtype), v)

    def goes_on(carry: Any) -> Any:
        count, _, value, before = carry
        # Written so that a NaN stops the loop.
        return (count < num_iters) & (jnp.abs(value - before) > error_tolerance * jnp.abs(value))

    def step(carry: Any) -> Any:
        count, v, value, _ = carry
        image = product(v)
        return count + 1, unit(image), tree.vdot(v, image).astype(value.dtype), value

    v0 = unit(jax.tree.map(jnp.asarray, v0))
    first = step((0, v0, tree.vdot(v0, v0), None))
    start = (jnp.asarray(1), first[1], first[2], jnp.full_like(first[2], jnp.inf))
    _, vector, value, _ = lax.while_loop(goes_on, step, start)
    return value, vector


def matrix_inverse_pth_root(
    matrix: Any,
    p: Any,
    num_iters: Any = 100,
    ridge_epsilon: Any = 1e-6,
    error_tolerance: Any = 1e-6,
    precision: lax.Precision = lax.Precision.HIGHEST,
) -> tuple[jax.Array, jax.Array]:
    """A^(-1/p) of a symmetric positive semi-definite matrix, by Newton's iteration in its coupled form.

        T_k = ((p + 1) I - M_k) / p,   X_{k+1} = X_k T_k,   M_{k+1} = T_k^p M_k

    from X_0 = z^(1/p) I and M_0 = z A with z = (1 + p) / (2 lambda_max). M tends to I and X to A^(-1/p).
    It stops when max |M - I| is below `error_tolerance`, or grows.

    Args:
      matrix: symmetric and positive semi-definite, shape (n, n).
      p: positive integer.
      num_iters: largest number of iterations.
      ridge_epsilon: multiple of the largest eigenvalue added to the diagonal, so that the inverse exists.
      error_tolerance: where to stop.
      precision: of the matrix products.

    Returns:
      The root, shape (n, n), in at least float32, and the error max |M - I|, a float32 scalar.

    Raises:
      HyperparameterError: p is less than 1.
      StructureError: matrix is not square.

    Source: Higham 2008, "Functions of Matrices", section 7.2, doi:10.1137/1.9780898717778.

    Example:
      >>> root, error = matrix_inverse_pth_root(jnp.diag(jnp.array([4.0, 16.0])), 2)
      >>> print(jnp.round(jnp.diag(root), 3))
      [0.5  0.25]
    """
    check_number("matrix_inverse_pth_root", "p", p, 1)
    matrix = jnp.asarray(matrix)
    matrix = matrix.astype(jnp.promote_types(tree.at_least_float32(matrix.dtype), jnp.float32))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise StructureError(f"matrix_inverse_pth_root: matrix must be square, got shape {matrix.shape}.")
    identity = jnp.eye(matrix.shape[0], dtype=matrix.dtype)
    if matrix.shape[0] == 1:
        return (matrix + ridge_epsilon) ** (-1 / p), jnp.zeros((), jnp.float32)
    largest, _ = power_iteration(matrix, precision=precision)
    ridge = ridge_epsilon * jnp.maximum(largest, 1e-16)
    damped = matrix + ridge * identity

    def power(x: jax.Array) -> jax.Array:
        """x^p by squaring."""

        def square(carry: Any) -> Any:
            left, base, out = carry
            out = jnp.where(left % 2 == 1, jnp.matmul(out, base, precision=precision), out)
            return left // 2, jnp.matmul(base, base, precision=precision), out

        return lax.while_loop(lambda c: c[0] > 0, square, (jnp.asarray(p, jnp.int32), x, identity))[2]

    def goes_on(carry: Any) -> Any:
        count, _, _, _, error, before = carry
        return (count < num_iters) & (error > error_tolerance) & (error < 1.2 * before)

    def step(carry: Any) -> Any:
        count, m, x, _, error, _ = carry
        t = ((p + 1) * identity - m) / p
        m_next = jnp.matmul(power(t), m, precision=precision)
        x_next = jnp.matmul(x, t, precision=precision)
        return count + 1, m_next, x_next, x, jnp.max(jnp.abs(m_next - identity)), error

    # All eigenvalues of M_0 in (0, (1 + p) / 2]: from there the iteration converges.
    z = (1 + p) / (2 * (largest + ridge))
    m0, x0 = damped * z, identity * z ** (1 / p)
    error0 = jnp.max(jnp.abs(m0 - identity))
    start = (jnp.asarray(0), m0, x0, x0, error0, jnp.full_like(error0, jnp.inf))
    _, _, x, x_before, error, before = lax.while_loop(goes_on, step, start)
    # Rounding makes the error grow in the end: then the iterate before was the better one.
    better = error < 1.2 * before
    return jnp.where(better, x, x_before), jnp.where(better, error, before).astype(jnp.float32)


@refusing(A=ARRAY, b=ARRAY, iters=INTEGER)
def nnls(A: Any, b: Any, iters: int, unroll: int | bool = 1, L: Any = None) -> jax.Array:
    """Non-negative least squares: argmin |A x - b| over x >= 0, by accelerated projected gradient steps.

        x_{k+1} = max(0, y_k - A^T (A y_k - b) / L),   y_{k+1} = x_{k+1} + beta_k (x_{k+1} - x_k)

    Args:
      A: matrix of shape (m, n).
      b: vector of shape (m,), or matrix of shape (m, k) for k problems at once.
      iters: number of steps.
      unroll: of the loop, as in `jax.lax.scan`.
      L: upper bound on the largest eigenvalue of A^T A; None bounds it by the Frobenius norm of A^T A.

    Returns:
      x, of shape (n,) or (n, k).

    Raises:
      StructureError: A is no matrix, or b has another number of rows.

    Source: Nesterov 1983; Beck & Teboulle 2009, doi:10.1137/080716542; Polyak 2015.

    Example:
      >>> x = nnls(jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([5.0, 6.0]), 1000)
      >>> print(round(float(x[0]), 2), round(float(x[1]), 2))
      0.0 1.7
    """
    A, b = jnp.asarray(A), jnp.asarray(b)
    if A.ndim != 2 or b.ndim not in (1, 2) or b.shape[0] != A.shape[0]:
        raise StructureError(
            f"nnls: A of shape (m, n) and b of shape (m,) or (m, k), got {A.shape} and {b.shape}."
        )
    gram, target = jnp.matmul(A.T, A), jnp.matmul(A.T, b)
    bound = jnp.linalg.norm(gram) if L is None else jnp.asarray(L)
    rate = 1 / jnp.where(bound > 0, bound, 1.0)

    def step(carry: Any, _: Any) -> Any:
        x, y, t = carry
        x_next = jnp.maximum(y - rate * (jnp.matmul(gram, y) - target), 0).astype(x.dtype)
        t_next = (1 + jnp.sqrt(1 + 4 * t * t)) / 2
        y_next = x_next + (((t - 1) / t_next) * (x_next - x)).astype(x.dtype)
        # Where the momentum points uphill it starts anew (O'Donoghue & Candes 2015), which keeps strongly convex
        # problems from oscillating.
        uphill = jnp.sum((y - x_next) * (x_next - x)) > 0
        return (x_next, jnp.where(uphill, x_next, y_next), jnp.where(uphill, 1.0, t_next)), None

    start = jnp.zeros_like(target)
    (x, _, _), _ = lax.scan(step, (start, start, jnp.ones((), rate.dtype)), None, length=iters, unroll=unroll)
    return x
