"""Implicit derivatives against unrolled ones and against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax.core import ArgumentError, StructureError
from nablax.linesearch import minimize
from nablax.second_order import custom_fixed_point, custom_root

X = jax.random.normal(jax.random.key(0), (12, 3))
Y = jax.random.normal(jax.random.key(1), (12,))


def ridge(w, theta):
    return jnp.mean((X.astype(w["a"].dtype) @ w["a"] - Y.astype(w["a"].dtype)) ** 2) + theta["l2"] * jnp.sum(
        w["a"] ** 2 + 0.1 * w["a"] ** 4
    )


def descend(w, theta):
    """500 plain steps: far beyond where rounding stops them."""
    return jax.lax.scan(
        lambda w, _: (jax.tree.map(lambda a, g: a - 0.2 * g, w, jax.grad(ridge)(w, theta)), None),
        w, None, length=500,
    )[0]  # fmt: skip


@pytest.mark.parametrize(
    "solve", ["cg", "gmres", "bicgstab", lambda mv, b: jax.scipy.sparse.linalg.cg(mv, b)[0]]
)
def test_it_differentiates_like_the_unrolled_solver(solve):
    with jax.enable_x64(True):
        w0, theta = {"a": jnp.zeros(3)}, {"l2": jnp.asarray(0.3)}
        implicit = custom_root(jax.grad(ridge), solve=solve)(descend)
        unrolled = jax.jit(jax.jacobian(descend, argnums=1))(w0, theta)["a"]["l2"]
        for mode in (jax.jacrev, jax.jacfwd):
            jacobian = jax.jit(mode(implicit, argnums=1))(w0, theta)["a"]["l2"]
            np.testing.assert_allclose(jacobian, unrolled, rtol=1e-4 if callable(solve) else 1e-8)


def test_through_minimize_whose_loop_has_no_reverse_mode():
    with jax.enable_x64(True):

        @custom_root(jax.grad(ridge), solve="cg")
        def solver(w0, theta):
            return minimize(ridge, w0, args=(theta,), tol=1e-10).x

        w0, theta = {"a": jnp.zeros(3)}, {"l2": jnp.asarray(0.3)}
        slope = jax.grad(lambda t: jnp.sum(solver(w0, t)["a"] ** 2))(theta)["l2"]
        expected = jax.grad(lambda t: jnp.sum(descend(w0, t)["a"] ** 2))(theta)["l2"]
        np.testing.assert_allclose(slope, expected, rtol=1e-8)
        assert float(jax.grad(lambda w: jnp.sum(solver(w, theta)["a"]))(w0)["a"][0]) == 0.0


def test_fixed_point_of_a_map_that_is_not_symmetric():
    a = jnp.array([[0.2, 0.5], [-0.3, 0.1]])

    def step(x, theta, n):
        return a @ jnp.tanh(x) + theta * n

    @custom_fixed_point(step, has_aux=True)
    def solver(x0, theta, n):
        x, k = jax.lax.while_loop(
            lambda c: c[1] < 100, lambda c: (step(c[0], theta, n), c[1] + 1), (x0, jnp.asarray(0))
        )
        return x, {"steps": k, "x": x}

    theta = jnp.array([0.4, -0.7])
    (x, aux), pullback = jax.vjp(lambda t: solver(jnp.zeros(2), t, 2), theta)
    assert int(aux["steps"]) == 100
    expected = 2 * np.linalg.inv(np.eye(2) - np.asarray(a) * (1 - np.tanh(x) ** 2))
    cotangent = (jnp.ones(2), {"steps": np.zeros((), jax.dtypes.float0), "x": jnp.zeros(2)})
    np.testing.assert_allclose(pullback(cotangent)[0], expected.sum(0), rtol=1e-5)
    thetas = jnp.stack([theta, 2 * theta])
    batched = jax.vmap(jax.jacobian(lambda t: solver(jnp.zeros(2), t, 2)[0]))(thetas)
    np.testing.assert_allclose(batched[0], expected, rtol=1e-5)


def test_bad_arguments():
    with pytest.raises(
        ArgumentError, match="custom_root: solve must be one of 'cg', 'gmres', 'bicgstab' or a function"
    ):
        custom_root(jax.grad(ridge), solve="lu")
    solver = custom_root(lambda x, t: jnp.sum(x) - t)(lambda x0, t: x0)
    with pytest.raises(StructureError, match="as many equations as unknowns"):
        jax.grad(lambda t: solver(jnp.zeros(2), t).sum())(1.0)


def test_in_bfloat16_and_with_keywords():
    @custom_root(lambda x, theta, power=1.0: x - theta**power)
    def solver(x0, theta, power=1.0):
        return theta**power

    theta = jnp.array([2.0, 3.0], jnp.bfloat16)
    slope = jax.grad(lambda t: jnp.sum(solver(jnp.zeros_like(t), t)))(theta)
    assert slope.dtype == jnp.bfloat16
    np.testing.assert_allclose(slope.astype(jnp.float32), 1.0, rtol=1e-2)
    np.testing.assert_allclose(
        jax.grad(lambda t: jnp.sum(solver(t, theta=t, power=2.0)))(jnp.ones(2)), 2.0, rtol=1e-5
    )

    @custom_root(lambda x, theta: x - theta)
    def strict(x0, *, theta):
        return theta

    with pytest.raises(ArgumentError, match="custom_root: .* got the keyword-only theta"):
        strict(jnp.ones(1), theta=jnp.ones(1))
