"""What sizes decide by a formula is written once, with letters for sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd
from nablax.autograd._ground._aval import intern
from nablax.autograd._operation import _call
from nablax.autograd._operation._call import Call
from nablax.autograd._operation._letters import ALONE, LARGE, Numbered, Sizes
from nablax.autograd._operation._written import by
from nablax.autograd._operation._written._elementwise import larger
from nablax.autograd._operation._written._picking import picked
from nablax.autograd._operation._written._rule import Unwritten
from nablax.autograd._tensor import _kinks
from nablax.autograd._tensor._parts import Start

from .test_written import row

SIZES = [(4, 3), (6, 7), (9, 8), (40, 70), (3, 11)]  # of p and q, one pair after the other


def index(*parts):
    """x[parts], an array in the place of each "i"."""

    def given(at):
        entering = iter(at)
        return tuple([next(entering) if p == "i" else p for p in parts])

    return by(lambda w, x, *at: picked(w, x, given(at)), lambda x, *at: x[given(at)])


LETTERED = {  # function, and shapes of its arguments
    "a row": (jnp.add, lambda p, q: [(p, q), (q,)]), "a column": (jnp.multiply, lambda p, q: [(p, q), (p, 1)]),
    "sum": (jnp.sum, lambda p, q: [(p, q)]), "mean": (jnp.mean, lambda p, q: [(p, q)]),
    "mean(0)": (row("mean", 0), lambda p, q: [(p, q)]), "sum(1)": (row("sum", 1, keepdim=True), lambda p, q: [(p, q)]),
    "max": (row("amax", 0), lambda p, q: [(p, q)]), "softmax": (jax.nn.softmax, lambda p, q: [(p, q)]),
    "softmax of squares": (jax.nn.softmax, lambda p, q: [(p, p)]),
    "log_softmax": (jax.nn.log_softmax, lambda p, q: [(p, q)]),
    "logsumexp": (row("logsumexp", -1), lambda p, q: [(p, q)]),
    "relu": (jax.nn.relu, lambda p, q: [(p, q)]), "abs": (_kinks.abs, lambda p, q: [(p, q)]),
    "vector": (jnp.matmul, lambda p, q: [(p, q), (q,)]), "batch": (jnp.matmul, lambda p, q: [(5, p, q), (5, q, 2)]),
    "flat": (row("reshape", -1), lambda p, q: [(p, q)]), "one more": (row("unsqueeze", 1), lambda p, q: [(p, q)]),
    "rows": (index("i"), lambda p, q: [(p, q), (5,)]), "elements": (index("i", "i"), lambda p, q: [(p, q), (p,), (p,)]),
    "between": (index(slice(None), None), lambda p, q: [(p, q)]), "first": (index(0), lambda p, q: [(p, q)]),
}  # fmt: skip


def avals_of(shapes, name):
    indices = name in ("rows", "elements")
    return tuple(
        [intern(s, np.dtype("int32" if k and indices else "float32"), False) for k, s in enumerate(shapes)]
    )


def arrays_of(avals, rng):
    return [
        (rng.integers(0, 2, a.shape) if a.dtype.kind == "i" else rng.uniform(0.5, 2, a.shape)).astype(a.dtype)
        for a in avals
    ]


@pytest.mark.parametrize("name", LETTERED)
def test_numbers_for_letters_give_what_is_written_for_numbers(name):
    fn, shapes = LETTERED[name]
    call, rng, numbered = Call(name, fn), np.random.default_rng(0), 0
    for p, q in SIZES:
        avals = avals_of(shapes(p, q), name)
        wants = tuple([i for i, a in enumerate(avals) if a.inexact])
        made, fresh = call.on(avals, False, wants), Call(name, fn).on(avals, False, wants)
        numbered += isinstance(made._like, Numbered)
        assert (made.avals, made.tree, made.weight) == (fresh.avals, fresh.tree, fresh.weight)
        args = arrays_of(avals, rng)
        (out,), (known,) = made.kernel()(args), fresh.kernel()(args)
        assert made.kernel().sizes == fresh.kernel().sizes
        np.testing.assert_array_equal(out, known)
        (joint, pull), (theirs, right) = made.joint(wants, False), fresh.joint(wants, False)
        assert joint[4:] == theirs[4:]
        assert (pull.args, pull.avals) == (right.args, right.avals)
        known = [*args, out]
        given = [*[known[r] for r in joint.reads], np.asarray(rng.uniform(size=out.shape), np.float32)]
        for a, b in zip(pull.kernel()(given), right.kernel()(given), strict=True):
            np.testing.assert_array_equal(a, b)
        assert [v.aval for v in made.traced.jaxpr.jaxpr.outvars] == [
            v.aval for v in fresh.traced.jaxpr.jaxpr.outvars
        ]
        assert [v.aval for v in pull.traced.jaxpr.jaxpr.outvars] == [
            v.aval for v in right.traced.jaxpr.jaxpr.outvars
        ]
    assert numbered == len(SIZES) - ALONE


def test_what_the_larger_size_decides_is_written_for_each_shape():
    for parts in ((slice(1, 5),), (-1,), (2,), (slice(None), slice(None, None, 2))):
        call = Call("getitem", index(*parts))
        for n in (9, 8, 7, 6, 4):
            made = call.on(avals_of([(n, n - 1)], ""), False)
            assert made._like is None
            assert made.avals[0].shape == np.zeros((n, n - 1))[parts].shape


def test_another_formula_than_a_product_is_seen():
    def less(w, x):
        return w.scaled(w.sum(x, (0,)), 1 / (x.aval.shape[0] - 1))

    def at_least(w, x):
        return larger(w, w.sum(x, (0,)), float(min(x.aval.shape[0], 5)))

    for rule in (less, at_least):
        call = Call("rule", by(rule, lambda x: jnp.sin(x)))
        for n in (4, 6, 9, 3, 8):
            made = call.on(avals_of([(n,)], ""), False)
            assert made._like is None
            x = np.full(n, 0.5, np.float32)
            want = n / 2 / (n - 1) if rule is less else max(n / 2, min(n, 5))
            np.testing.assert_allclose(made.kernel()([x])[0], want, rtol=1e-6)


def test_more_sizes_than_letters_and_sizes_that_are_letters():
    for shapes in (
        [tuple(range(2 + k, 22 + k)) for k in range(5)],
        [tuple(range(2 + k, 10 + k)) for k in range(5)],
        [(2003, 5), (7, 5), (9, 5), (11, 5)],
    ):
        call = Call("sum", row("sum", 0))
        for shape in shapes:
            made = call.on(avals_of([shape], ""), False)
            assert made.avals[0].shape == shape[1:]
            assert made._like is None


def test_letters_are_told_from_numbers():
    sizes = Sizes((16, 5))
    assert [sizes.size(n) for n in (0, 7, 2003, 2503, 2003 * 2503, 2 * 2003, -2003)] == [
        0,
        7,
        16,
        5,
        80,
        32,
        -16,
    ]
    for n in (LARGE, 2003 + 1, 2003 + 2503, 3001):
        with pytest.raises(Unwritten):
            sizes.size(n)


def test_gradients_of_gradients_through_many_lengths():
    def of(x, w, lib):
        y = lib.softmax(x @ w)
        return (y * x @ w).mean() + (x.mean(0) * w.sum(1)).sum()

    class Jax:
        softmax = staticmethod(jax.nn.softmax)

    w0 = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    for n in (2, 4, 5, 7, 6, 3, 9):
        x0 = np.random.default_rng(n).normal(size=(n, 3)).astype(np.float32)
        x, w = autograd.tensor(x0, requires_grad=True), autograd.tensor(w0, requires_grad=True)
        g = autograd.grad(of(x, w, autograd.nn), [w], create_graph=True)[0]
        (g**2).sum().backward()

        def second(x, w):
            return jnp.sum(jax.grad(lambda w: of(x, w, Jax))(w) ** 2)

        for found, want in zip((x.grad, w.grad), jax.grad(second, (0, 1))(x0, w0), strict=True):
            np.testing.assert_allclose(found.numpy(), want, rtol=2e-4, atol=1e-5)


def test_slices_of_many_lengths_are_one_family():
    letters = {}
    autograd.cache_clear()

    def loss(x, n, start):
        return (x[start : start + n] ** 2).sum() + x[n, 1]

    x0 = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
    for n in (5, 8, 11, 6, 9, 3, 12, 7):
        x = autograd.tensor(x0, requires_grad=True)
        y = loss(x, n, n % 4)
        y.backward()
        want, slope = jax.value_and_grad(lambda x, n=n: loss(x, n, n % 4))(jnp.asarray(x0))
        np.testing.assert_allclose(y.item(), want, rtol=1e-5)
        np.testing.assert_array_equal(x.grad.numpy(), slope)
    for call in _call._CALLS.values():
        if call._sized is not None and call._sized.family[1:] == ((Start, 0, False),):
            letters.update({id(known): known for known in call._letters.values()})
    (known,) = [v for v in letters.values() if v._model is not None]
    assert known._seen == ALONE
    assert all(found is not None for found in known._pulls.values())
