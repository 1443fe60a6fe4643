"""One trace for all shapes: what the first tier makes of it must be what a trace of each shape makes."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd
from nablax.autograd._ground._aval import intern
from nablax.autograd._operation import _general, _numbers
from nablax.autograd._operation._call import ALIKE, Call, intern_call
from nablax.autograd._operation._general import kind
from nablax.autograd._operation._same import equal

F32 = np.dtype("float32")

FUNCTIONS = {
    "sin": (jnp.sin, "ab"),
    "mean": (jnp.mean, "ab"),
    "variance": (lambda x: x.var(0), "ab"),
    "variance by hand": (lambda x: jnp.mean((x - jnp.mean(x, 0)) ** 2, 0), "ab"),
    "product": (jnp.matmul, "ab bc"),
    "softmax": (jax.nn.softmax, "ab"),
    "log_softmax": (lambda x: jax.nn.log_softmax(x, 0), "ab"),
    "broadcast": (jnp.multiply, "ab b"),
    "outer": (lambda x, y: x[:, None] * y, "a b"),
    "largest": (lambda x: jnp.max(x, 1), "ab"),
    "transposed": (lambda x: x.T.reshape(-1), "ab"),
    "joined": (lambda x, y: jnp.concatenate([x, y], 0), "ab cb"),
    "sorted": (lambda x: jnp.sort(x, 0), "ab"),
    "cumulative": (lambda x: jnp.cumsum(x, 1), "ab"),
    "batched": (lambda x, y: jnp.einsum("bij,bkj->bik", x, y), "abc adc"),
    "scaled": (lambda x: x / np.float32(np.sqrt(3)), "ab"),
    "mean of a mask": (lambda x: jnp.where(x > 0, x, 0.0).sum() / x.shape[0], "ab"),
}
SIZES = [(4, 6, 3, 5), (7, 2, 9, 3), (3, 5, 2, 8), (8, 4, 7, 2), (9, 3, 5, 7), (6, 6, 6, 6), (1, 4, 2, 1)]


def avals(shapes, sizes):
    letters = dict(zip("abcd", sizes, strict=True))
    return tuple(intern(tuple(letters[c] for c in s), F32, False) for s in shapes.split())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_equations_of_a_shape_are_those_of_its_own_trace(name):
    known, shapes = FUNCTIONS[name]

    def fn(*args):  # no function that is written without a trace
        return known(*args)

    shared = Call(name, fn)
    for sizes in SIZES:
        at = avals(shapes, sizes)
        wants = tuple(range(len(at)))
        got, alone = shared.traced(at, wants, False), Call(name, fn).traced(at, wants, False)
        assert equal(got.jaxpr, alone.jaxpr), (got.jaxpr, alone.jaxpr)
        assert got[1:] == alone[1:]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_many_shapes_take_few_traces(name):
    fn, shapes = FUNCTIONS[name]
    seen = []

    def counted(*args):
        seen.append([x.shape for x in args])
        return fn(*args)

    call = Call(name, counted)
    for n in range(2, 10):
        call.traced(avals(shapes, (n + 9, n, n + 18, n + 27)), (0,), False)
    assert len(seen) == _general.ALONE + 1


def calls_of(module, monkeypatch):
    """Arithmetic as tensors record it: name, function and `shapes` of each."""
    found = {}

    def noted(spec, build):
        made = intern_call(spec, build)
        found[made.name] = made
        return made

    monkeypatch.setattr("nablax.autograd._path._record.intern_call", noted)
    monkeypatch.setattr("nablax.autograd._tensor._recording.intern_call", noted)
    x = autograd.tensor(np.full((3, 4), 0.5, np.float32), requires_grad=True)
    for name in sorted(module):
        with contextlib.suppress(autograd.ShapeError):  # integers only
            getattr(x, name)()
    _ = x + x, x - x, x * x, x / x, x // x, x % x, x**x, x @ x.T, x < x, x == x, -x, abs(x)
    _ = x + 1, 2.0 - x, x * 3, 4.5 / x, x**2, x**0.5, x**-1, x // 2, x % 2.0, x > 1, x != 0
    k = autograd.tensor(np.arange(12).reshape(3, 4))
    _ = k & k, k | k, k ^ k, k << k, k >> k, ~k, k + 1, k / 2, k * 2.5
    return found


def test_arithmetic_is_alike_for_all_shapes(monkeypatch):
    from nablax.autograd._tensor._torch._table import UNARY

    autograd.cache_clear()
    found = {name: call for name, call in calls_of(UNARY, monkeypatch).items() if call._shapes == ALIKE}
    assert len(found) > 60
    for name, call in found.items():
        seen = [key[0] for key in call._typed]
        for given in seen:
            for sizes in ((5, 7), (2, 6), (4, 3), (8, 9), (7, 3)):
                like = dict(zip(sorted({n for a in given for n in a.shape}), sizes, strict=False))
                at = tuple(intern(tuple(like[n] for n in a.shape), a.dtype, a.weak) for a in given)
                wants = tuple(k for k, a in enumerate(at) if a.inexact)
                if call.stubborn:
                    wants = ()
                got = call.traced(at, wants, False)
                alone = Call(name, call.fn).traced(at, wants, False)
                assert str(got.jaxpr) == str(alone.jaxpr), name  # abs and its like have rules of their own
                assert got[1:] == alone[1:]


def test_equal_and_small_sizes_are_kinds_of_their_own():
    def of(*shapes):
        return kind([intern(s, F32, False) for s in shapes])

    assert of((3, 4), (4, 5)) == of((7, 2), (2, 9))
    assert of((3, 4), (4, 5)) != of((3, 4), (3, 5))
    assert of((3, 3)) != of((3, 4))
    assert of((1, 4)) != of((3, 4))
    assert of((0, 4)) != of((1, 4))


def test_a_function_that_a_size_decides_is_traced_for_each_shape():
    def odd(x):
        return x * 2 if x.shape[0] > 4 else x * 3

    call = Call("odd", odd)
    for n in (3, 5, 2, 7, 4, 8):
        at = (intern((n,), F32, False),)
        assert equal(call.traced(at, (0,), False).jaxpr, Call("odd", odd).traced(at, (0,), False).jaxpr)


def test_users_functions_may_ask_shapes_whatever_they_like():
    odd = autograd.lift(lambda x: x * 100 if x.shape[0] == 4 else x)
    for n in (3, 5, 2, 6, 4, 7, 4):
        x = autograd.tensor(np.ones(n, np.float32), requires_grad=True)
        odd(x).sum().backward()
        assert x.grad.numpy().tolist() == [100.0 if n == 4 else 1.0] * n


def test_a_trace_that_gives_other_equations_is_not_used(monkeypatch):
    monkeypatch.setattr(
        _numbers, "_literal", lambda value, aval: jax.extend.core.Literal(np.float32(7), aval)
    )
    call = Call("mean", jnp.mean)
    for n in (3, 5, 6, 7, 8):
        at = (intern((n, n + 1), F32, False),)
        text = str(call.traced(at, (0,), False).jaxpr)
        assert f"{float(n * (n + 1))}:f32" in text


def test_gradients_over_many_lengths_agree_with_jax():
    w = autograd.tensor(np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3), requires_grad=True)

    def loss(module, x, w):
        h = module.tanh(x @ w)
        return (module.exp(h) / module.exp(h).sum(0)).mean() + (h * h).sum()

    for n in (5, 8, 2, 11, 4, 3, 1):
        x = np.cos(np.arange(4 * n, dtype=np.float32)).reshape(n, 4)
        w.grad = None
        loss(autograd.numpy, autograd.tensor(x), w).backward()
        want = jax.grad(lambda v: loss(jnp, x, v))(jnp.asarray(w.detach().numpy()))  # noqa: B023
        np.testing.assert_allclose(w.grad.numpy(), want, rtol=2e-5, atol=1e-5)
