"""A lifted function is what it is at its line: whatever it reads from elsewhere, and whenever the value is computed."""

import functools
import gc
import types
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd
from nablax.autograd import lift, tensor

scale = 1.0
table = {"scale": 1.0, "deep": [1.0]}
array = np.ones((), np.float32)  # of 64 bits, JAX itself would keep a copy of 32
rng = np.random.default_rng(0)
module = types.ModuleType("my_settings")


class Config:
    scale = 1.0


class Model:
    rate = 1.0

    def __init__(self, scale):
        self.scale = scale
        self.inner = types.SimpleNamespace(scale=scale)
        self.calls = 0

    def method(self, v):
        self.calls += 1
        return v * self.scale

    def other(self, v):
        return self.helper(v)

    def helper(self, v):
        return v * self.inner.scale * self.rate * scale

    def __call__(self, v):
        return v * self.inner.scale


class Slotted:
    __slots__ = ("scale",)

    def __call__(self, v):
        return v * self.scale


model, slotted = Model(1.0), Slotted()


def helper(v):
    return v * scale


def by_global(v):
    return v * scale


def by_helper(v):
    return jnp.sum(helper(v))


def by_inner(v):
    return jax.vmap(lambda u: u * scale)(v[None])[0]


def by_default(v, f=helper):
    return f(v)


def by_comprehension(v):
    return sum([v * scale for _ in range(1)])


def by_model(v):
    return v * model.inner.scale


def body(carry, _):
    return carry * scale, None


def set_all(value):
    global scale, array
    scale = table["scale"] = table["deep"][0] = Config.scale = module.scale = value
    slotted.scale = model.scale = model.inner.scale = value
    array[...] = value


READERS = {
    "global": by_global, "helper": by_helper, "inner": by_inner, "default": by_default,
    "comprehension": by_comprehension, "dict": lambda v: v * table["scale"], "list": lambda v: v * table["deep"][0],
    "array": lambda v: v * array, "class": lambda v: v * Config.scale, "module": lambda v: v * module.scale,
    "partial": functools.partial(lambda k, v: v * k["scale"], table), "instance": by_model, "method": model.method,
    "called": model, "slots": slotted,
}  # fmt: skip


@pytest.mark.parametrize("flushed", ["at once", "at the end"])
@pytest.mark.parametrize("name", READERS)
def test_values_that_are_read(name, flushed):
    once = lift(READERS[name])
    found = []
    values = (1.0, 3.0, 1.0, 5.0, 7.0, 9.0)
    for value in values:
        set_all(value)
        for f in (once, lift(READERS[name])):
            y = f(tensor(2.0))
            found.append(y.item() if flushed == "at once" else y)
    assert [float(y) for y in found] == [2 * v for v in values for _ in range(2)]
    x = tensor(2.0, requires_grad=True)
    for value in (2.0, 4.0):
        set_all(value)
        x.grad = None
        once(x).backward()
        assert x.grad.item() == value


def test_what_a_method_calls_and_the_class_has():
    set_all(1.0)
    f = lift(model.other)
    assert f(tensor(2.0)).item() == 2
    try:
        Model.rate = 4.0
        assert f(tensor(2.0)).item() == 8
    finally:
        Model.rate = 1.0


def test_nonlocals_and_functions_bound_anew():
    k = 1.0
    f = lift(lambda v: v * k)
    assert f(tensor(2.0)).item() == 2
    k = 5.0
    assert f(tensor(2.0)).item() == 10

    def first(v):
        return v + 1

    def second(v):
        return v + 2

    inner = first
    h = lift(lambda v: inner(v))
    assert h(tensor(1.0)).item() == 2
    inner = second
    assert h(tensor(1.0)).item() == 3


def test_what_cannot_be_seen_into_is_traced_anew():
    f = lift(lambda v: v * rng.random())
    assert len({f(tensor(2.0)).item() for _ in range(4)}) == 4
    values = iter(range(1, 10))
    g = lift(lambda v: v * next(values))
    assert [g(tensor(2.0)).item() for _ in range(3)] == [2, 4, 6]


class Body:
    def step(self, carry, _):
        return carry * scale, None


@pytest.mark.parametrize("body", [body, Body().step, functools.partial(body)])
def test_a_body_of_scan(body):
    x = tensor(2.0, requires_grad=True)
    for value in (1.0, 3.0, 2.0):
        set_all(value)
        x.grad = None
        y, _ = autograd.lax.scan(body, x, None, length=2)
        y.backward()
        assert (y.item(), x.grad.item()) == (2 * value**2, value**2)


def test_float64_without_x64():
    with jax.enable_x64(True):
        x = tensor(np.array([1.0, 2.0]))
    for _ in range(2):
        y = lift(lambda v: v * 2)(x)
        assert y.dtype == np.float64
        assert y.tolist() == [2, 4]


def test_second_derivatives_and_shapes_are_unaffected():
    set_all(3.0)
    f = lift(lambda p, n: {"out": (p["a"] ** 3 * scale, n)})
    x = tensor([1.0, 2.0], requires_grad=True)
    out, n = f({"a": x}, 4)["out"]
    assert n.item() == 4
    g = autograd.grad(out.sum(), x, create_graph=True)
    g.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [18, 36])
    with pytest.raises(autograd.ShapeError, match="test_reading"):
        lift(lambda a, b: a @ b)(tensor([1.0, 2.0]), tensor([1.0]))


def test_a_counter_beside_it_costs_no_compilation():
    set_all(1.0)
    f = lift(model.method)
    x = tensor([1.0, 2.0])
    for _ in range(3):
        f(x).realize()
    before = autograd.cache_info()
    for _ in range(5):
        f(x).realize()
    after = autograd.cache_info()
    assert (after.compilations, after.operations) == (before.compilations, before.operations)
    assert model.calls >= 8


def test_pure_functions_are_not_traced_again():
    before = None
    for i in range(5):
        lift(lambda v: jnp.tanh(v) * 2 + 1)(tensor(2.0)).item()
        if i == 2:
            before = autograd.cache_info()
    after = autograd.cache_info()
    assert (after.compilations, after.inferences) == (before.compilations, before.inferences)


@pytest.mark.parametrize("make", [np.full, jnp.full])
def test_an_array_that_is_read_and_changes_is_an_input(make):
    """It makes one program more, not one each time, and the old ones are let go."""
    x = autograd.tensor(np.ones(50_000, np.float32), requires_grad=True)
    place, gone = types.SimpleNamespace(), []

    def scaled(v):
        return v * place.array

    for i in range(12):
        if i == 4:
            before = autograd.cache_info()
        place.array = make(50_000, float(i), np.float32)
        gone.append(weakref.ref(place.array))
        y = autograd.lift(scaled)(x)
        again = autograd.lift(scaled)(x)
        place.array = None
        (y + again).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), np.full(50_000, 2.0 * i))
        assert y[0].item() == i
        x.grad = y = again = None
    after = autograd.cache_info()
    assert after.programs - before.programs <= 1
    gc.collect()
    alive = [i for i, ref in enumerate(gone) if ref() is not None]
    assert len(alive) <= 2, alive  # the first, a constant; the latest
    # Another input in the place of the array, in a recording that is the same until then.
    place.array = make(50_000, 7.0, np.float32)
    w = autograd.tensor(np.zeros(50_000, np.float32))
    for fn, given in ((scaled, (x,)), (lambda v, w: v + w[:3], (x, w))):
        try:
            y = lift(fn)(*given)
        except autograd.ShapeError:
            y = lift(scaled)(x)
        assert y.numpy(force=True)[0] == 7


WITHIN = {
    "the function": lambda n: lambda v: v * n,
    "a jitted function": lambda n: lambda v: jax.jit(lambda u: u * n)(v),
    "a jitted one within another": lambda n: lambda v: jax.jit(lambda u: jax.jit(lambda w: w * n)(u))(v),
    "a loop": lambda n: lambda v: jax.lax.scan(lambda c, _: (c * n, None), v, None, length=1)[0],
    "a branch": lambda n: lambda v: jax.lax.cond(v[0] > 0, lambda u: u * n, lambda u: u, v),
    "a checkpoint": lambda n: lambda v: jax.checkpoint(lambda u: u * n)(v),
}


@pytest.mark.parametrize("shape", [(), (2,)], ids=["no axes", "one axis"])
@pytest.mark.parametrize("where", WITHIN)
def test_an_array_that_was_read_is_what_it_was_then(where, shape):
    n = np.full(shape, 2, np.float32)
    x = tensor([1.0, 2.0], requires_grad=True)
    y = lift(WITHIN[where](n))(x)
    n[...] = 7
    y.sum().backward()
    assert y.tolist() == [2, 4]
    assert x.grad.tolist() == [2, 2]
