"""What no size decides is found out once for all shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd
from nablax.autograd._ground._aval import intern
from nablax.autograd._operation._alike import shapes_of
from nablax.autograd._operation._call import ALIKE, Call, clear_calls
from nablax.autograd._operation._same import equal
from nablax.autograd._operation._written import beside
from nablax.autograd._tensor import _kinks

F32, BIG, LONG = np.dtype("float32"), (4, 3), (7,)
SHARED = {  # shapes at first, and then
    **{name: (fn, [BIG] * n, [LONG] * n) for name, fn, n in (
        ("add", jnp.add, 2), ("multiply", jnp.multiply, 2), ("divide", jnp.divide, 2), ("exp", jnp.exp, 1),
        ("tanh", jnp.tanh, 1), ("sqrt", jnp.sqrt, 1), ("by a number", beside(jnp.multiply, 0.9, True), 1),
        ("larger", jnp.greater, 2),
    )},
    "number and array": (jnp.multiply, [(), BIG], [(), LONG]),
    "matmul": (jnp.matmul, [BIG, (3, 2)], [(5, 1), (1, 6)]),
    "turned": (jnp.transpose, [BIG], [(2, 5)]),
}  # fmt: skip
ALONE = {
    "a row": (jnp.add, BIG, (3,)), "relu": (jax.nn.relu, BIG), "sum": (jnp.sum, BIG),
    "softmax": (jax.nn.softmax, BIG), "abs": (_kinks.abs, BIG), "numbers": (jnp.add, (), ()),
    "filled": (jnp.zeros_like, BIG), "vector": (jnp.matmul, (4, 3), (3,)),
    "batch": (jnp.matmul, (5, 4, 3), (5, 3, 2)), "mean": (jnp.mean, BIG),
}  # fmt: skip


def of(shape, dtype="float32"):
    return intern(shape, np.dtype(dtype), False)


@pytest.mark.parametrize("name", SHARED)
def test_another_shape_has_the_calls_of_the_first(name):
    fn, before, shapes = SHARED[name]
    call = Call(name, fn, ALIKE)
    wants = tuple(range(len(shapes))) if name != "larger" else ()
    first = call.on(tuple(map(of, before)), False, wants)
    then = call.on(tuple(map(of, shapes)), False, wants)
    fresh = Call(name, fn, ALIKE).on(tuple(map(of, shapes)), False, wants)
    assert then.kernel().code is first.kernel().code
    assert then.kernel().sizes == fresh.kernel().sizes
    assert (then.avals, then.tree, then.weight) == (fresh.avals, fresh.tree, fresh.weight)
    assert equal(then.traced.jaxpr, fresh.traced.jaxpr)
    args = [np.random.default_rng(k).uniform(0.5, 2, shape).astype(F32) for k, shape in enumerate(shapes)]
    np.testing.assert_array_equal(then.kernel()(args)[0], fresh.kernel()(args)[0])
    if not wants:
        return
    for again in (False, True):
        (mine, pull), (theirs, known) = then.joint(wants, again), fresh.joint(wants, again)
        assert (mine.reads, mine.given, pull.args, pull.avals) == (
            theirs.reads, theirs.given, known.args, known.avals,
        )  # fmt: skip
        made = [*args, *fresh.kernel()(args)]
        given = [*[made[r] for r in mine.reads], np.ones(then.avals[0].shape, F32)]
        for a, b in zip(pull.kernel()(given), known.kernel()(given), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ALONE)
def test_the_rest_is_found_out_for_each_shape(name):
    fn, *shapes = ALONE[name]
    call = Call(name, fn, ALIKE)
    first = call.on(tuple(map(of, shapes)), False)
    assert not first.each
    other = call.on(tuple(of(tuple(2 * n for n in shape)) for shape in shapes), False)
    assert shapes[0] == () or other.kernel().code is not first.kernel().code


def test_sizes_decide_more():
    x, s, row = np.ones(BIG, F32), np.float32(2), np.ones(3, F32)
    kept = [lambda x, s: x * s, lambda x, s: jax.lax.exp(x) + 1]
    left = [lambda x, s: x * (s + 1), lambda x, s: x + row, lambda x, s: x.sum(0), lambda x, s: jax.lax.erf(x),
            lambda x, s: jax.lax.exp(x, accuracy=jax.lax.AccuracyMode.HIGHEST)]  # fmt: skip

    def fits(f):
        found = shapes_of(jax.make_jaxpr(f)(x, s))
        return found is not None and found.of([BIG, ()]) is not None

    assert all(map(fits, kept))
    assert not any(map(fits, left))


def test_shapes_that_do_not_fit_raise_as_ever():
    call = Call("matmul", jnp.matmul, ALIKE)
    call.on((of(BIG), of((3, 2))), False)
    with pytest.raises(autograd.ShapeError):
        call.on((of(BIG), of((4, 2))), False)
    assert call.on((of((3,)), of((3, 2))), False).avals == (of((2,)),)


def test_a_precision_of_products_stays_with_its_shapes():
    call = Call("matmul", jnp.matmul, ALIKE)
    with jax.default_matmul_precision("highest"):
        call.on((of(BIG), of((3, 2))), False)
    then = call.on((of((5, 3)), of((3, 2))), False)
    assert then.traced.jaxpr.jaxpr.eqns[0].params["precision"] is None


def test_kinds_are_kept_apart():
    call = Call("multiply", jnp.multiply, ALIKE)
    call.on((of(BIG), of(BIG)), False)
    for dtypes, shapes in ((("float16",) * 2, (LONG, LONG)), (("float32",) * 2, (LONG, ()))):
        avals = tuple(map(of, shapes, dtypes))
        fresh = Call("multiply", jnp.multiply, ALIKE).on(avals, False)
        assert call.on(avals, False).avals == fresh.avals
        assert equal(call.on(avals, False).traced.jaxpr, fresh.traced.jaxpr)


def test_gradients_through_many_shapes_and_of_gradients():
    for shape in (BIG, LONG, (2, 1), (1,), (0, 3), (2, 3, 4)):
        x = np.random.default_rng(1).uniform(0.5, 2, shape).astype(F32)
        t = autograd.tensor(x, requires_grad=True)
        y = ((t * 3.0) / t.exp() - t.tanh()).sum()
        g = autograd.grad(y, t, create_graph=True)
        found = g.detach().numpy()
        (g * g).sum().backward()

        def f(x):
            return jnp.sum(x * 3.0 / jnp.exp(x) - jnp.tanh(x))

        np.testing.assert_allclose(found, jax.grad(f)(x), rtol=1e-5, atol=1e-6)
        want = jax.grad(lambda x: jnp.sum(jax.grad(f)(x) ** 2))(x)
        np.testing.assert_allclose(t.grad.numpy(), want, rtol=1e-4, atol=1e-5)


def test_what_hands_a_short_array_on_does_not_hand_on_a_matrix():
    for name, turn, made in (
        ("T", lambda x: x.T, (3, 2)),
        ("transpose", lambda x: x.transpose(0, -1), (3, 2)),
        ("swapaxes", lambda x: autograd.numpy.swapaxes(x, 0, -1), (3, 2)),
        ("reshape", lambda x: x.reshape(-1), (6,)),
    ):
        clear_calls()
        assert turn(autograd.ones(3)).numpy().shape == (3,)
        x = autograd.ones(2, 3, requires_grad=True)
        y = turn(x)
        assert y.shape == made, name
        y.sum().backward()
        assert x.grad.numpy().shape == (2, 3), name
