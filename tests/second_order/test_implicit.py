"""Implicit derivatives against unrolled ones and against closed forms."""

import functools

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


@functools.cache
def unrolled():
    with jax.enable_x64(True):
        jacobian = jax.jit(jax.jacfwd(descend, argnums=1))({"a": jnp.zeros(3)}, {"l2": jnp.asarray(0.3)})
        return np.asarray(jacobian["a"]["l2"])


@pytest.mark.parametrize(
    "solve", ["cg", "gmres", "bicgstab", lambda mv, b: jax.scipy.sparse.linalg.cg(mv, b)[0]]
)
def test_it_differentiates_like_the_unrolled_solver(solve):
    with jax.enable_x64(True):
        implicit = custom_root(jax.grad(ridge), solve=solve)(descend)
        both = jax.jit(
            lambda *given: [mode(implicit, argnums=1)(*given) for mode in (jax.jacrev, jax.jacfwd)]
        )
        for jacobian in both({"a": jnp.zeros(3)}, {"l2": jnp.asarray(0.3)}):
            np.testing.assert_allclose(
                jacobian["a"]["l2"], unrolled(), rtol=1e-4 if callable(solve) else 1e-8
            )


def quartic(x, theta):
    """Its minimum solves x + x^3 = theta: dx = 1 / (1 + 3 x^2), d2x = -6 x dx^3."""
    return x**4 / 4 + x**2 / 2 - theta * x


def test_through_minimize_whose_loop_has_no_reverse_mode():
    @custom_root(jax.grad(quartic), solve="cg")
    def solver(x0, theta):
        return minimize(quartic, x0, args=(theta,), tol=1e-12).x

    with jax.enable_x64(True):
        x, pullback = jax.vjp(jax.jit(solver), jnp.zeros(()), jnp.asarray(2.0))
        np.testing.assert_allclose(x, 1.0, rtol=1e-12)
        np.testing.assert_allclose(pullback(jnp.ones(()))[1], 0.25, rtol=1e-10)
        assert float(pullback(jnp.ones(()))[0]) == 0.0  # the solution does not depend on the start


def test_first_and_second_derivatives_under_vmap():
    @custom_root(jax.grad(quartic), solve="cg")
    def solver(x0, theta):
        return jax.lax.fori_loop(0, 60, lambda _, x: x - (x + x**3 - theta) / (1 + 3 * x**2), x0)

    def of(theta):
        return solver(jnp.zeros(()), theta)

    @jax.jit
    def derivatives(thetas):
        each = [of, jax.grad(of), jax.grad(jax.grad(of)), jax.jacfwd(jax.jacfwd(of))]
        return [jax.vmap(f)(thetas) for f in each], jax.grad(lambda t: jax.vmap(of)(t).sum())(thetas)

    with jax.enable_x64(True):
        (x, first, *second), of_sum = jax.tree.map(np.asarray, derivatives(jnp.array([-3.0, 0.5, 2.0])))
    slope = 1 / (1 + 3 * x**2)
    np.testing.assert_allclose(x + x**3, [-3.0, 0.5, 2.0], rtol=1e-12)
    np.testing.assert_allclose(first, slope, rtol=1e-10)
    np.testing.assert_allclose(of_sum, slope, rtol=1e-10)
    for curvature in second:
        np.testing.assert_allclose(curvature, -6 * x * slope**3, rtol=1e-9)


@pytest.mark.parametrize("make_key", [jax.random.key, jax.random.PRNGKey])
def test_integers_and_random_keys_among_the_arguments(make_key):
    """x = n theta + noise: they have no derivative, and theta's passes by them, jitted and mapped."""

    def noisy(x, theta, n, key):
        return x - n * theta - jax.random.uniform(key, x.shape)

    @custom_root(noisy, solve=lambda matvec, b: b)
    def solver(x0, theta, n, key):
        return x0 - noisy(x0, theta, n, key)

    def square(theta, n, key):
        x = solver(jnp.zeros(2), theta, n, key)
        return jnp.sum(x**2), x

    theta, n = jnp.array([1.0, -2.0]), jnp.arange(3)
    slope, x = jax.jit(jax.vmap(jax.grad(square, has_aux=True), (None, 0, 0)))(
        theta, n, jax.random.split(make_key(0), 3)
    )
    assert np.all(x - n[:, None] * theta > 0)
    np.testing.assert_allclose(slope, 2 * x * n[:, None], rtol=1e-6)


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
    jacobian = jax.jit(jax.vmap(jax.jacrev(lambda t: solver(jnp.zeros(2), t, 2), has_aux=True)))
    slope, aux = jacobian(jnp.stack([theta, 2 * theta]))
    np.testing.assert_array_equal(aux["steps"], 100)
    for i, x in enumerate(aux["x"]):
        expected = 2 * np.linalg.inv(np.eye(2) - np.asarray(a) * (1 - np.tanh(x) ** 2))
        np.testing.assert_allclose(slope[i], expected, rtol=1e-5)


def penalized(w, theta):
    """Its equation of the bias, and that of the scale, do not depend on theta."""
    out = X.astype(w["a"].dtype) @ w["a"] + w["bias"] - Y.astype(w["a"].dtype)
    return (
        jnp.mean(out**2)
        + theta * jnp.sum(w["a"] ** 2 + 0.1 * w["a"] ** 4)
        + 0.3 * (w["scale"] - w["bias"]) ** 4
        + (w["scale"] ** 2)
    )


def differences(f, x, h):
    above, below = jnp.split(f(jnp.concatenate([x + h, x - h])), 2)
    return (above - below) / (2 * h)


@pytest.mark.parametrize("solve", ["cg", lambda mv, b: jax.scipy.sparse.linalg.cg(mv, b, tol=1e-13)[0]])
def test_where_a_leaf_of_the_equation_does_not_depend_on_the_argument(solve):
    """Forward, reverse, mapped and second derivatives of one loss, against central differences of its solver."""

    @custom_root(jax.grad(penalized), solve=solve)
    def solver(w, theta):
        flat, unravel = jax.flatten_util.ravel_pytree(w)

        def newton(v, _):
            slope = jax.grad(lambda v: penalized(unravel(v), theta))
            return v - jnp.linalg.solve(jax.jacfwd(slope)(v), slope(v)), None

        return unravel(jax.lax.scan(newton, flat, length=12)[0])

    def held_out(theta):
        w = solver({"a": jnp.zeros(3), "bias": jnp.zeros(()), "scale": jnp.zeros(())}, theta)
        return jnp.sum(jnp.sin(w["a"])) + w["bias"] ** 2 + w["scale"]

    with jax.enable_x64(True):
        thetas = jnp.array([0.2, 0.5], jnp.float64)

        @jax.jit
        def derivatives(t):
            functions = (
                jax.grad(held_out),
                jax.jacfwd(held_out),
                jax.jacrev(held_out),
                lambda x: jax.jvp(held_out, (x,), (jnp.ones_like(x),))[1],
                jax.hessian(held_out),
                jax.grad(jax.grad(held_out)),
            )
            along = [differences(jax.vmap(f), t, 1e-5) for f in (held_out, functions[1])]
            return *along, *(jax.vmap(f)(t) for f in functions)

        along, slopes_along, slopes, *others, second, seconds = derivatives(thetas)
        np.testing.assert_allclose(jax.grad(held_out)(thetas[0]), slopes[0], rtol=1e-9)
    np.testing.assert_allclose(slopes, along, rtol=1e-7)
    for other in others:
        np.testing.assert_allclose(other, slopes, rtol=1e-8)
    for curvature in (second, seconds):
        np.testing.assert_allclose(curvature, slopes_along, rtol=1e-6)


def test_a_fixed_point_of_which_one_part_is_free_of_the_argument():
    def step(x, theta):
        return {"free": 0.5 * x["free"] + 1.0, "bound": 0.5 * x["bound"] + theta * x["free"]}

    @custom_fixed_point(step)
    def solver(x0, theta):
        return {"free": jnp.full_like(theta, 2.0), "bound": 4 * theta}

    start = {"free": jnp.zeros(2), "bound": jnp.zeros(2)}
    both = jax.jit(lambda *given: [mode(solver, argnums=1)(*given) for mode in (jax.jacfwd, jax.jacrev)])
    for jacobian in both(start, jnp.ones(2)):
        np.testing.assert_allclose(jacobian["bound"], 4 * np.eye(2), rtol=1e-5)
        np.testing.assert_array_equal(jacobian["free"], 0)


def test_bad_arguments():
    with pytest.raises(
        ArgumentError, match="custom_root: solve must be one of 'cg', 'gmres', 'bicgstab' or a function"
    ):
        custom_root(jax.grad(ridge), solve="lu")
    solver = custom_root(lambda x, t: jnp.sum(x) - t)(lambda x0, t: x0)
    with pytest.raises(StructureError, match="as many equations as unknowns"):
        jax.grad(lambda t: solver(jnp.zeros(2), t).sum())(1.0)
    whole = custom_root(lambda x, t: x - t)(lambda x0, t: x0)
    with pytest.raises(
        ArgumentError, match="custom_root: a solution with derivatives must be of a floating dtype"
    ):
        jax.grad(lambda t: 1.0 * whole(jnp.zeros(2, int), t).sum())(jnp.ones(2))
    with pytest.raises(ArgumentError, match="custom_root: arguments of the solver .* got str in t: 'fast'"):
        whole(jnp.zeros(2), "fast")


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
