"""Second derivatives of what Python and JAX make of a program: loops, branches, writes, hooks, rules of one's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd

V = np.array([0.4, -0.3, 0.9], np.float32)


def loop(a):
    b = a * a
    while b.norm() < 1000:
        b = b * 2
    return b if b.sum() > 0 else 100 * b


def doublings(v):
    b, n = v * v, 0
    while np.linalg.norm(b) < 1000:
        b, n = b * 2, n + 1
    return 2.0**n


def writes(x):
    y = x * x
    y[0] = x[1] ** 3
    y[1:] *= x[:2]
    y += y.sin()
    y.mul_(x)
    return y


def writes_jax(x):
    y = (x * x).at[0].set(x[1] ** 3)
    y = y.at[1:].multiply(x[:2])
    return (y + jnp.sin(y)) * x


@jax.custom_vjp
def cube(x):
    return x**3


cube.defvjp(lambda x: (x**3, x), lambda x, g: (3 * x * x * g,))

PROGRAMS = {
    "while loop": (loop, lambda x: doublings(V) * x * x),
    "in place": (writes, writes_jax),
    "custom_vjp": (lambda x: autograd.lift(cube)(x) * x, lambda x: x**4),
    "branch": (lambda x: x**3 if x.sum() > 0 else x, lambda x: x**3),
    "gather": (lambda x: x[autograd.tensor([2, 0, 2])] ** 3, lambda x: x[np.array([2, 0, 2])] ** 3),
    "mask": (lambda x: x[x > 0] ** 3, lambda x: x[np.array([0, 2])] ** 3),
    "detach": (lambda x: x.detach() * x**3, lambda x: jax.lax.stop_gradient(x) * x**3),
    "scan": (
        lambda x: autograd.lax.scan(lambda c, v: (c * v + v, c), autograd.numpy.ones(()), x)[1] * x,
        lambda x: jax.lax.scan(lambda c, v: (c * v + v, c), jnp.ones(()), x)[1] * x,
    ),
}


@pytest.mark.parametrize("look", [False, True])
def test_second_derivatives(look):
    weights = np.array([1.0, -2.0, 0.5], np.float32)
    for name, (ours, theirs) in PROGRAMS.items():

        def scalar(x, f=theirs):
            y = f(x)
            return (y * weights[: y.shape[0]]).sum()

        x = autograd.tensor(V, requires_grad=True)
        y = ours(x)
        loss = (y * weights[: y.shape[0]]).sum()
        if look:
            loss.item()
        (first,) = autograd.grad(loss, [x], create_graph=True)
        np.testing.assert_allclose(first.numpy(force=True), jax.grad(scalar)(V), rtol=2e-5, err_msg=name)
        if look:
            first.realize()
        (first * first).sum().backward()
        second = jax.grad(lambda x: (jax.grad(scalar)(x) ** 2).sum())(V)
        np.testing.assert_allclose(x.grad.numpy(), second, rtol=1e-4, err_msg=name)


def test_hooks_and_retain_grad_in_a_second_derivative():
    x = autograd.tensor(V, requires_grad=True)
    x.register_hook(lambda g: g * 2)
    y = x**3
    y.retain_grad()
    (first,) = autograd.grad(y.sum(), [x], create_graph=True)
    np.testing.assert_allclose(first.numpy(force=True), 6 * V**2, rtol=1e-6)
    first.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * 12 * V, rtol=1e-5)  # the hook once more


@pytest.mark.parametrize("look", [False, True])
def test_a_second_derivative_leaves_alone_what_the_first_does_not_depend_on(look):
    a, b = (autograd.tensor(V, requires_grad=True) for _ in range(2))
    y, z = (a.sin() * 2).sum(), b * 3
    if look:  # then both are results of one node
        float(y + z.sum())
    (g,) = autograd.grad(y, [a], create_graph=True)
    (g**2).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), -4 * np.sin(2 * V), rtol=1e-5)
    assert b.grad is None
