"""Random programs with control flow, reuse, detach, no_grad and in-place writes, against pure jax.grad."""

import jax
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from autograd.programs import REGISTERS, OnArrays, OnTensors, instructions
from nablax import autograd

START = np.random.default_rng(1).uniform(-1.5, 1.5, (REGISTERS, 3)).astype(np.float32)


def _leaves():
    return [autograd.tensor(x, requires_grad=True) for x in START]


@settings(max_examples=30)
@given(instructions())
def test_values_and_gradients_of_random_programs(program):
    want, grads = jax.value_and_grad(lambda xs: OnArrays().run(program, xs))(
        [jax.numpy.asarray(x) for x in START]
    )
    leaves = _leaves()
    y = OnTensors().run(program, leaves)
    np.testing.assert_allclose(y.item(), want, rtol=2e-4, atol=1e-4)
    if y.requires_grad:
        y.backward()
    for leaf, g in zip(leaves, grads, strict=True):
        got = np.zeros(3) if leaf.grad is None else leaf.grad.numpy()
        np.testing.assert_allclose(got, g, rtol=2e-3, atol=1e-3)


@settings(max_examples=8)
@given(instructions(), st.booleans())
def test_second_derivatives_of_random_programs(program, look_between):
    def penalty(xs):
        grads = jax.grad(lambda xs: OnArrays().run(program, xs))(xs)
        return sum((jax.numpy.sin(g) ** 2).sum() for g in grads)

    want = jax.grad(penalty)([jax.numpy.asarray(x) for x in START])
    leaves = _leaves()
    y = OnTensors().run(program, leaves)
    if not y.requires_grad:
        return
    found = autograd.grad(y, leaves, create_graph=True, allow_unused=True)
    if look_between:
        [float(g.sum()) for g in found if g is not None]
    total = sum((g.sin() ** 2).sum() for g in found if g is not None)
    if total.requires_grad:
        total.backward()
    for leaf, g in zip(leaves, want, strict=True):
        got = np.zeros(3) if leaf.grad is None else leaf.grad.numpy()
        np.testing.assert_allclose(got, g, rtol=5e-3, atol=5e-3)


@settings(max_examples=6)
@given(instructions())
def test_a_short_max_segment_changes_nothing(program):
    leaves, short = _leaves(), _leaves()
    y = OnTensors().run(program, leaves)
    with autograd.max_segment(5):
        z = OnTensors().run(program, short)
        z_value = z.item()
        if z.requires_grad:
            z.backward()
    np.testing.assert_allclose(z_value, y.item(), rtol=1e-4, atol=1e-4)
    if y.requires_grad:
        y.backward()
    for a, b in zip(leaves, short, strict=True):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=2e-3, atol=1e-3)
