"""What runs often is written out as one function: it gives the bits that the calls one by one give."""

import contextlib
import signal
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autograd.test_numpy_tier import NATIVE
from nablax import autograd
from nablax.autograd._ground._aval import aval_of
from nablax.autograd._ground._quiet import quietly
from nablax.autograd._operation._numpy import Lowered
from nablax.autograd._program._compose import LARGE, OFTEN, composed
from nablax.autograd._program._program import _PROGRAMS

RNG = np.random.default_rng(0)


def bits(values):
    return [(v.shape, v.dtype, np.asarray(v).tobytes()) for v in values]


def both(fn, args):
    """Results of the calls one by one, and of the function."""
    args = [np.asarray(a) for a in args]
    lowered = Lowered(jax.make_jaxpr(fn)(*args))
    run = composed(lowered, [aval_of(a) for a in args], {*range(len(lowered.outs))})
    if run is None:
        pytest.skip("XLA computes some of it")
    before = bits(args)
    one_by_one = quietly(lowered, args)
    found = run(args)
    assert bits(args) == before
    return one_by_one, found


@pytest.mark.parametrize("name", NATIVE)
def test_every_native_function_written_out_gives_the_same_bits(name):
    fn, args = NATIVE[name]
    one_by_one, found = both(fn, args)
    assert bits(found) == bits(one_by_one)


def test_single_numbers_are_computed_alike():
    def fn(x, y):
        z = jnp.sqrt(x * x + y) / (x - y)
        return z, -z, z < x, abs(z) + jnp.maximum(x, y), x / (y - y)

    for dtype in (np.float32, np.float16):
        one_by_one, found = both(fn, (dtype(0.7), dtype(-0.3)))
        assert bits(found) == bits(one_by_one)


def test_memory_is_used_again_only_where_nothing_reads_it():
    def fn(x, y):
        a = x * y
        turned = a.reshape(64, -1).T  # a view: what it shows may not be written over
        b = a + y
        c = jnp.exp(b) - b
        d = jnp.tanh(c * c + b)
        return turned.reshape(-1) * d, b, (d - c) / y

    x, y = (RNG.uniform(0.5, 1, 2 * LARGE).astype(np.float32) for _ in "xy")
    one_by_one, found = both(fn, (x, y))
    assert bits(found) == bits(one_by_one)
    for k, a in enumerate(found):
        assert not any(np.shares_memory(a, b) for b in (*found[:k], x, y))


def test_a_row_that_meets_one_column_less_is_not_written_over():
    def fn(x, y):
        return (jnp.tanh(jnp.exp(x) + y),)

    x, y = RNG.uniform(0.5, 1, 2 * LARGE).astype(np.float32), np.ones((1, 2 * LARGE), np.float32)
    one_by_one, found = both(fn, (x, y))
    assert [v.shape for v in found] == [y.shape]
    assert bits(found) == bits(one_by_one)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 3e38])
def test_a_gradient_of_an_embedding_that_is_not_finite_stays_in_its_row(bad):
    w = autograd.Parameter(RNG.standard_normal((5, 3)).astype(np.float32))
    at = np.array([0, 1, 4, 1, -1, 0, 1, 1, 4, -3], np.int32)
    ct = RNG.standard_normal((10, 3)).astype(np.float32)
    ct[3, 1] = ct[6, 1] = bad
    want = np.zeros((5, 3), np.float32)
    with np.errstate(all="ignore"):
        np.add.at(want, at, ct)
    w[at].backward(ct)
    np.testing.assert_allclose(w.grad.numpy(), want, rtol=1e-5, atol=1e-6)


def test_a_program_that_is_written_out_goes_on_with_the_same_bits():
    autograd.cache_clear()
    w = autograd.Parameter(RNG.standard_normal((40, 60)).astype(np.float32))
    s = autograd.Parameter(0.3)
    x = RNG.standard_normal((50, 40)).astype(np.float32)
    seen = {1: set(), 2: set()}
    for step in range(OFTEN + 20):
        h = (autograd.tensor(x) @ w * s).tanh()
        h.sum().item()  # so that the way back goes through a node
        factor = 1 + step % 2  # varies, so it is an input
        loss = (h * h).mean() * factor
        loss.backward()
        seen[factor].add((loss.item() / factor, s.grad.item() / factor, (w.grad.numpy() / factor).tobytes()))
        w.grad = s.grad = None
    assert seen[1] == seen[2]
    assert len(seen[1]) == 1
    often = [p for p in _PROGRAMS.values() if p.hot.runs > OFTEN]
    assert often
    assert all(p._written is not None for p in often)
    ways = [way.pull for p in often for way in p._ways.values() if way.pull._runs >= OFTEN]
    assert ways
    assert all(pull._written is not None for pull in ways)


def test_warnings_of_numpy_are_as_they_were_outside():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = autograd.tensor([0.0, 1.0])
        for _ in range(OFTEN + 5):
            assert x.log().tolist() == [-np.inf, 0.0]
        with pytest.raises(RuntimeWarning):
            np.log(np.zeros(2))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs a timer that interrupts")
def test_an_interrupt_leaves_warnings_of_numpy_as_they_were():
    args = (np.float32(0.5), np.float32(2))
    lowered = Lowered(jax.make_jaxpr(lambda x, y: x * y + x)(*args))
    written = composed(lowered, [aval_of(a) for a in args], ())
    arrays = [np.asarray(a) for a in args]

    def interrupt(*_):
        raise KeyboardInterrupt

    outside = np.geterr()
    handler = signal.signal(signal.SIGALRM, interrupt)
    try:
        for run in (written, lambda values: quietly(lowered, values)):
            for turn in range(400):
                with contextlib.suppress(KeyboardInterrupt):
                    signal.setitimer(signal.ITIMER_REAL, 5e-5 + 1e-7 * turn)
                    while True:
                        run(arrays)
                assert np.geterr() == outside, turn
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        np.seterr(**outside)


def test_calls_with_axes_and_flags_are_told_apart():
    x = autograd.tensor(np.arange(6.0, dtype=np.float32).reshape(2, 3), requires_grad=True)
    for axis, keep in [(0, False), (1, False), (0, True), (None, True), (1, True), (0, False)] * 2:
        y = x * 1.0
        found = y.sum(axis, keepdim=keep)
        want = np.arange(6.0, dtype=np.float32).reshape(2, 3).sum(axis, keepdims=keep)
        assert found.shape == want.shape
        assert found.tolist() == want.tolist()
