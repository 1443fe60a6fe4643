"""Derivatives as functions, and functional() inside jit, grad and vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd

X = np.array([0.5, -1.0, 2.0], np.float32)


def f(x):
    return autograd.numpy.sin(x) * x.sum() + x**3


def f_jax(x):
    return jnp.sin(x) * x.sum() + x**3


def close(a, b, rtol=1e-5):
    np.testing.assert_allclose(
        a.detach().numpy() if isinstance(a, autograd.Tensor) else a, b, rtol=rtol, atol=1e-5
    )


@pytest.mark.parametrize("like", [autograd.numpy.zeros_like, autograd.numpy.ones_like, np.zeros_like])
def test_an_array_like_an_argument_under_transformations(like):
    fn, x = autograd.functional(lambda x: (x * like(x) + x).sum()), jnp.arange(3.0)
    one = float(like(np.ones(1))[0])
    np.testing.assert_array_equal(jax.grad(fn)(x), [1 + one] * 3)
    assert jax.jit(fn)(x) == 3 * (1 + one)
    np.testing.assert_array_equal(jax.vmap(fn)(x[None]), [3 * (1 + one)])


def test_jacobian_of_a_tensor_and_of_a_function():
    want = jax.jacobian(f_jax)(X)
    x = autograd.tensor(X, requires_grad=True)
    close(autograd.jacobian(f(x), x), want)
    close(autograd.jacobian(f, x), want)
    close(autograd.jacobian(f, autograd.tensor(X)), want)
    assert x.grad is None
    a, b = autograd.jacobian(lambda a, b: a * b.sum(), [autograd.tensor(X), autograd.tensor(X)])
    close(a, X.sum() * np.eye(3))
    close(b, np.outer(X, np.ones(3)))


def test_jacobian_of_numbers_and_its_refusals():
    assert autograd.jacobian(lambda x: x**2, 3.0).item() == 6
    assert [j.item() for j in autograd.jacobian(lambda x, y: x * y, [2.0, 3.0])] == [3, 2]
    x = autograd.tensor([1.0, 2.0], requires_grad=True)

    def pair(x):
        return x, x

    for refused in (
        lambda: autograd.jacobian(pair, 3.0),
        lambda: autograd.vjp(pair, x),
        lambda: autograd.jvp(pair, x, x),
        lambda: autograd.hvp(pair, x, x),
        lambda: autograd.hessian(pair, x),
    ):
        with pytest.raises(
            TypeError, match=r"(jacobian|vjp|jvp|hvp|hessian): .* must be a tensor, got a tuple of 2"
        ):
            refused()
    with pytest.raises(TypeError, match="grad: inputs must be a tensor, got a str"):
        autograd.grad(x.sum(), "x")
    with pytest.raises(TypeError, match="grad: outputs must be a tensor, got a float"):
        autograd.grad(3.0, x)
    with pytest.raises(TypeError, match="grad: 2 outputs need as many grad_outputs, got 1"):
        autograd.grad([x, x], x, [x])


def test_hessian_hvp_jvp_vjp():
    v = np.array([1.0, 0.5, -2.0], np.float32)

    def loss(x):
        return (f(x) ** 2).sum()

    def loss_jax(x):
        return (f_jax(x) ** 2).sum()

    x, t = autograd.tensor(X), autograd.tensor(v)
    hessian = jax.hessian(loss_jax)(X)
    close(autograd.hessian(loss, x), hessian, 1e-4)
    value, product = autograd.hvp(loss, x, t)
    close(value, loss_jax(X))
    close(product, hessian @ v, 1e-4)
    value, tangent = autograd.jvp(f, x, t)
    want_value, want = jax.jvp(f_jax, (X,), (v,))
    close(value, want_value)
    close(tangent, want)
    value, pull = autograd.vjp(f, x)
    close(value, want_value)
    close(pull(t)[0], jax.vjp(f_jax, X)[1](v)[0])
    close(pull(t * 2)[0], 2 * jax.vjp(f_jax, X)[1](v)[0])


def test_of_linear_functions_second_derivatives_are_zero():
    x = autograd.tensor(X)
    close(autograd.hessian(lambda x: x.sum(), x), np.zeros((3, 3)))
    close(autograd.hvp(lambda x: (2 * x).sum(), x, x)[1], np.zeros(3))
    close(autograd.jvp(lambda x: x.detach() * 1, x, x)[1], np.zeros(3))


def test_derivatives_can_be_differentiated():
    x = autograd.tensor(X, requires_grad=True)
    h = autograd.hessian(lambda x: (x**4).sum(), x, create_graph=True)
    h.sum().backward()
    close(x.grad, 24 * X)
    x.zero_grad()
    autograd.jacobian(x**3, x, create_graph=True).sum().backward()
    close(x.grad, 6 * X)
    x.zero_grad()
    autograd.hvp(lambda x: (x**4).sum(), x, autograd.tensor(np.ones(3)), create_graph=True)[
        1
    ].sum().backward()
    close(x.grad, 24 * X)
    x.zero_grad()
    autograd.jvp(lambda x: x**3, x, autograd.tensor(np.ones(3)), create_graph=True)[1].sum().backward()
    close(x.grad, 6 * X)
    x.zero_grad()
    autograd.vjp(lambda x: x**3, x, create_graph=True)[1](autograd.tensor(np.ones(3)))[0].sum().backward()
    close(x.grad, 6 * X)
    assert not autograd.hessian(lambda x: (x**4).sum(), x).requires_grad


@pytest.mark.parametrize("look", [False, True])
def test_grad(look):
    x = autograd.tensor(X, requires_grad=True)
    w = autograd.tensor(2.0, requires_grad=True)
    y = x * w
    z = (y * y).sum()
    if look:
        z.item()
        y.sum().item()
    gy, gs = autograd.grad(z, [y, {"x": x, "w": w}], retain_graph=True)
    close(gy, 4 * X)
    close(gs["x"], 8 * X)
    close(gs["w"], 4 * (X**2).sum())
    assert x.grad is None
    with pytest.raises(autograd.NoGradientError, match="allow_unused"):
        autograd.grad(z, autograd.tensor(1.0, requires_grad=True), retain_graph=True)
    assert autograd.grad(
        z, [autograd.tensor(1.0, requires_grad=True)], retain_graph=True, allow_unused=True
    ) == [None]
    with pytest.raises(autograd.NoGradientError):
        autograd.grad(z, autograd.tensor(1.0), retain_graph=True)
    close(autograd.grad([z, y], x, [None, autograd.tensor(np.ones(3))]), 8 * X + 2)


@pytest.mark.parametrize("look", [False, True])
def test_create_graph(look):
    x = autograd.tensor(X, requires_grad=True)
    y = (x**3).sum()
    if look:
        y.item()
    y.backward(create_graph=True)
    g = x.grad
    if look:
        g.sum().item()
    x.grad = None
    (g**2).sum().backward(create_graph=True)
    close(x.grad, 36 * X**3)
    again = x.grad
    x.grad = None
    again.sum().backward()
    close(x.grad, 108 * X**2)


def test_gradient_penalty_with_an_update():
    w = autograd.Parameter(X)
    for _ in range(3):
        (g,) = autograd.grad((w**3).sum(), [w], create_graph=True)
        ((w**2).sum() + (g**2).sum()).backward()
        with autograd.no_grad():
            w -= 0.001 * w.grad
        w.zero_grad()
    want = X.copy()
    for _ in range(3):
        want = want - 0.001 * (2 * want + 36 * want**3)
    close(w, want)


def test_functional_under_jit_grad_and_vmap():
    pure = autograd.functional(lambda x: (f(x) ** 2).sum())
    want = (f_jax(X) ** 2).sum()
    close(pure(X), want)
    close(jax.jit(pure)(X), want)
    close(jax.jit(jax.grad(pure))(X), jax.grad(lambda x: (f_jax(x) ** 2).sum())(X))
    close(jax.vmap(pure)(np.stack([X, 2 * X])), [(f_jax(a) ** 2).sum() for a in (X, 2 * X)], 1e-4)
    close(jax.hessian(pure)(jnp.asarray(X)), jax.hessian(lambda x: (f_jax(x) ** 2).sum())(X), 1e-4)


def test_functional_with_trees_detach_and_backward_inside():
    def g(p, x):
        h = (p["w"] * x).tanh()
        return {"loss": (h * h.detach()).sum()}

    pure = autograd.functional(g)
    got = jax.grad(lambda p: pure(p, X)["loss"])({"w": jnp.asarray(2.0)})
    want = jax.grad(lambda w: (jnp.tanh(w * X) * jax.lax.stop_gradient(jnp.tanh(w * X))).sum())(2.0)
    close(got["w"], want)

    @autograd.functional
    def step(x):
        x = x.requires_grad_()
        (x**3).sum().backward()
        return x - 0.1 * x.grad

    close(jax.jit(step)(X), X - 0.3 * X**2)
    close(jax.jacobian(step)(jnp.asarray(X)), np.diag(1 - 0.6 * X))


def test_functional_reads_what_was_recorded_outside():
    w = autograd.tensor(X) * 3  # still recorded
    assert not isinstance(jax.jit(autograd.functional(lambda x: x + w))(X), jax.core.Tracer)
    close(w, 3 * X)
    u = autograd.tensor(X) * 5
    jax.jit(lambda x: x + u.value)(X)  # read inside somebody's jit
    close(u, 5 * X)
    with pytest.raises(jax.errors.TracerBoolConversionError):
        jax.jit(autograd.functional(lambda x: x if x.sum() > 0 else -x))(X)
    close(autograd.tensor(X) * 2, 2 * X)  # the recording survived
