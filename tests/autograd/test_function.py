"""autograd.Function and checkpoint beside torch's: values, what requires grad, first and second derivatives."""

import jax
import numpy as np
import pytest

from nablax import autograd
from nablax.autograd import nn

A, B = np.array([0.3, -0.7, 1.9]), np.array([0.5, 1.2, -0.4])


def of(library):
    """Functions written alike with both: a name, and what is differentiated twice."""
    base = library.Function if library is autograd else library.autograd.Function
    once = (
        library.once_differentiable if library is autograd else library.autograd.function.once_differentiable
    )
    seen = []

    class Cube(base):  # saves an argument, and keeps a number
        @staticmethod
        def forward(ctx, x, scale):
            ctx.save_for_backward(x)
            ctx.scale = scale
            return scale * x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * ctx.scale * 3 * x**2, None

    class TwiceExp(base):  # saves a result, whose derivative is that of this function
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0]

    class Mul(base):  # asks which gradients are needed, and keeps its arguments as attributes
        @staticmethod
        def forward(ctx, a, b):
            ctx.both = [a, b]
            ctx.save_for_backward(a, None)
            seen.append(tuple(ctx.needs_input_grad))
            return a * b

        @staticmethod
        def backward(ctx, g):
            assert ctx.saved_tensors[1] is None
            a, b = ctx.both
            return (g * b if ctx.needs_input_grad[0] else None), (g * a if ctx.needs_input_grad[1] else None)

    class Round(base):  # straight through
        @staticmethod
        def forward(ctx, x):
            return x.round()

        @staticmethod
        def backward(ctx, g):
            return g

    class Split(base):  # several results, two of them without gradient
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            square, sign, order = x * x, x.sign(), x.argsort()
            ctx.mark_non_differentiable(sign, order)
            return square, sign, order, x.sin()

        @staticmethod
        def backward(ctx, square, sign, order, sine):
            assert tuple(sign.shape) == tuple(order.shape) == (3,)
            (x,) = ctx.saved_tensors
            return 2 * x * square + sine * x.cos() + sign

    class Modern(base):  # forward without a context
        @staticmethod
        def forward(x, n):
            return x**n, x + n

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.n = inputs
            ctx.save_for_backward(x, output[1])

        @staticmethod
        def backward(ctx, g, h):
            x, more = ctx.saved_tensors
            return g * ctx.n * x ** (ctx.n - 1) + h * more, None

    class Once(base):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        @once
        def backward(ctx, g):
            return g * ctx.saved_tensors[0].cos()

    programs = {
        "cube": lambda a, b: Cube.apply(a, 2.0) * b,
        "a saved result": lambda a, b: TwiceExp.apply(a * b),
        "both needed": lambda a, b: Mul.apply(a, b) ** 2,
        "one needed": lambda a, b: Mul.apply(a.detach(), b) ** 2,
        "straight through": lambda a, b: Round.apply(a * 3) * a * b,
        "several": lambda a, b: Split.apply(a * b),
        "setup_context": lambda a, b: Modern.apply(a * b, 3),
        "inside itself": lambda a, b: Cube.apply(TwiceExp.apply(a), 0.5) * b,
    }
    return programs, seen, Once


def derivatives(library, program):
    """Results, which of them require grad, and the first and second derivatives of their squares."""
    grad = library.grad if library is autograd else library.autograd.grad
    a, b = (library.tensor(v, requires_grad=True) for v in (A, B))
    found = program(a, b)
    found = found if isinstance(found, tuple | list) else (found,)
    total = sum((x**2).sum() for x in found if x.requires_grad)
    first = grad(total, [a, b], create_graph=True, allow_unused=True)
    second = grad(sum((g**2).sum() for g in first if g is not None), [a, b], allow_unused=True)
    needs = [x.requires_grad for x in found]
    return needs, [None if x is None else x.detach().numpy() for x in (*found, *first, *second)]


@pytest.mark.parametrize("name", of(autograd)[0])
def test_a_function_is_torchs(name):
    torch = pytest.importorskip("torch")
    with jax.enable_x64(True):
        programs, seen, _ = of(autograd)
        needs, ours = derivatives(autograd, programs[name])
    programs, their_seen, _ = of(torch)
    their_needs, theirs = derivatives(torch, programs[name])
    assert needs == their_needs
    assert set(seen) == set(their_seen)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None) or not np.any(a if b is None else b)
        if a is not None and b is not None:
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_once_differentiable():
    *_, once = of(autograd)
    x = autograd.tensor(A, requires_grad=True)
    once.apply(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.cos(A), rtol=1e-6)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        autograd.grad(autograd.grad(once.apply(x).sum(), [x], create_graph=True)[0].sum(), [x])


def test_a_function_in_a_loop_is_one_operation():
    scale = [2.0]

    class Scaled(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * scale[0]

        @staticmethod
        def backward(ctx, g):
            return g * scale[0]

    def gradient():
        x = autograd.tensor(A, requires_grad=True)
        Scaled.apply(x).sum().backward()
        return x.grad.tolist()

    for _ in range(5):
        gradient()
    before = autograd.cache_info().operations
    for _ in range(20):
        assert gradient() == [2.0] * 3
    assert autograd.cache_info().operations == before
    scale[0] = 5.0  # what the methods read has changed
    assert gradient() == [5.0] * 3


def test_check_compares_with_differences():
    class Wrong(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0]

    *_, once = of(autograd)
    with jax.enable_x64(True):
        x = autograd.tensor(A, requires_grad=True)
        assert once.check(x)
        with pytest.raises(autograd.GradcheckError):
            Wrong.check(x)


def test_functions_in_a_pure_function():
    programs, *_ = of(autograd)
    f = autograd.functional(
        lambda a: (programs["both needed"](a, a) + programs["a saved result"](a, a)).sum()
    )
    with jax.enable_x64(True):
        a = jax.numpy.asarray(A)
        g = jax.jit(jax.grad(f))(a)
    np.testing.assert_allclose(g, 4 * A**3 + 4 * A * np.exp(A**2), rtol=1e-10)


def test_what_a_function_refuses():
    class Short(autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            return a * b

        @staticmethod
        def backward(ctx, g):
            return g

    a, b = (autograd.tensor(v, requires_grad=True) for v in (A, B))
    with pytest.raises(TypeError, match=r"Short\.backward: 2 arguments need as many gradients"):
        Short.apply(a, b).sum().backward()

    class Dirty(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x.add_(1)

    with pytest.raises(NotImplementedError, match="mark_dirty: forward's arguments are not changed"):
        Dirty.apply(a)


# -- checkpoint -------------------------------------------------------------------------------------------------------


def trained(wrap, steps=3):
    """A network with dropout and batch norm, trained through `wrap`, and its second derivative."""
    autograd.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.3), nn.Linear(4, 1))
    x = autograd.tensor(np.random.default_rng(0).normal(size=(6, 3)), requires_grad=True)
    found = []
    for _ in range(steps):
        loss = (wrap(lambda v: model(v).exp(), x * 2) ** 2).mean()
        (slope,) = autograd.grad(loss, [x], create_graph=True)
        (loss + (slope**2).sum()).backward()
        with autograd.no_grad():
            for p in model.parameters():
                p -= 0.05 * p.grad
        model.zero_grad()
        found.append(loss.item())
    return found, [v.numpy() for v in (*model.state_dict().values(), x.grad)]


def test_a_checkpoint_changes_nothing_but_memory():
    plain = trained(lambda f, *args: f(*args))
    kept = trained(autograd.checkpoint)
    np.testing.assert_allclose(plain[0], kept[0], rtol=1e-5)
    for a, b in zip(plain[1], kept[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_checkpoint_computes_again():
    counted = []

    class Counted(autograd.Function):
        """A sine that counts how often it is computed; its backward needs what forward computed."""

        @staticmethod
        def forward(ctx, x):
            def sine(v):
                counted.append(1)
                return np.sin(v)

            call = autograd.lift(lambda v: jax.pure_callback(sine, jax.ShapeDtypeStruct(v.shape, v.dtype), v))
            y = call(x)
            ctx.save_for_backward(y + 0)
            return y

        @staticmethod
        def backward(ctx, g):
            return g * (1 - ctx.saved_tensors[0] ** 2).sqrt()

    def layer(x, w):
        return Counted.apply(x @ w).exp()

    w = autograd.tensor(np.eye(3), requires_grad=True)
    x = autograd.tensor(np.ones((2, 3)), requires_grad=True)
    times, grads = [], []
    for wrap in (lambda f, *args, **kwargs: f(*args, **kwargs), autograd.checkpoint):
        counted.clear()
        w.grad = None
        y = wrap(layer, x, w=w)
        y.realize()
        y.sum().backward()
        times.append(len(counted))
        grads.append(w.grad.numpy())
    assert times == [1, 2]
    np.testing.assert_allclose(*grads, rtol=1e-6)
    with autograd.no_grad():
        assert not autograd.checkpoint(layer, x, w).requires_grad
    seen = []
    y = autograd.checkpoint(lambda v: [v * 2, v.sum().item(), v.argmax()], x)  # reads a value
    y[0].register_hook(seen.append)
    y[0].sum().backward()
    assert (y[1], y[2].item(), len(seen)) == (6.0, 0, 1)
    with pytest.raises(ZeroDivisionError):
        autograd.checkpoint(lambda v: 1 // 0, x)
