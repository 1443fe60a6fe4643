"""What must not reach into a recording, nor out of one: arrays of the user's, tracers, functions that JAX traces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd


def leaf(*values):
    return autograd.tensor(np.array(values, np.float32), requires_grad=True)


def test_a_numpy_array_is_taken_as_it_is_when_the_operation_is_recorded():
    x, n, i = leaf(1.0, 2.0, 3.0), np.ones(3, np.float32), np.array([0, 1])
    y, z = x * n, x[i]
    w = autograd.tensor([1.0, 2.0, 3.0])
    w[:2] = n[:2]
    n[:], i[:] = 100, 2
    assert y.tolist() == [1, 2, 3]
    assert z.tolist() == [1, 2]
    assert w.tolist() == [1, 1, 3]
    y.sum().backward()
    assert x.grad.tolist() == [1, 1, 1]
    shown = np.asarray(autograd.tensor(np.ones(2, np.float32)))
    with pytest.raises(ValueError, match="read-only"):
        shown[0] = 5


def test_a_pure_function_differentiates_under_no_grad():
    f = autograd.functional(lambda x: (x * x).sum())
    with autograd.no_grad():
        assert jax.grad(f)(jnp.array([1.0, 2.0])).tolist() == [2, 4]


def test_pure_functions_inside_lifted_ones():
    x = leaf(1.0, 2.0)
    f = autograd.functional(lambda c, a: (c + a * a, c))
    total, before = autograd.lax.scan(f, autograd.tensor(0.0), x)
    assert total.item() == 5
    assert before.tolist() == [0, 1]
    y = autograd.lift(autograd.functional(lambda a: (a * a).sum()))(x)
    y.backward()
    assert x.grad.tolist() == [2, 4]


@pytest.mark.parametrize("wrap", [autograd.lift, jax.jit])
def test_a_lost_tape_loses_nothing_else(wrap):
    x, w = leaf(2.0), leaf(3.0)
    pending = x * x
    with pytest.raises((autograd.LostTapeError, TypeError)):
        wrap(lambda a: a * w)(x if wrap is autograd.lift else jnp.ones(1))
    assert pending.tolist() == [4]
    pending.sum().backward()
    assert x.grad.tolist() == [4]


def test_tangents_have_the_shape_of_their_primals():
    x = leaf(1.0, 2.0)
    with pytest.raises(
        autograd.ShapeError, match=r"jvp: tangent 0 must have the shape of its primal, \(2,\)"
    ):
        autograd.jvp(lambda a: a * a, (x,), (np.ones((2, 2)),))
    with pytest.raises(autograd.ShapeError, match="hvp: v"):
        autograd.hvp(lambda a: (a**3).sum(), x, np.ones((3, 2)))


def test_gradcheck_refuses_complex_numbers():
    with jax.enable_x64(True):
        z = autograd.tensor(np.array([1 + 2j]), requires_grad=True)
        with pytest.raises(ValueError, match="complex128; split it"):
            autograd.gradcheck(lambda z: (z * z).real, z)
        x = autograd.tensor(np.array([1.0]), requires_grad=True)
        with pytest.raises(ValueError, match="an output is complex"):
            autograd.gradcheck(lambda x: autograd.numpy.exp(1j * x), x)


def test_no_grad_as_a_decorator_without_parentheses():
    @autograd.no_grad
    def double(x):
        return x * 2

    assert not double(leaf(1.0)).requires_grad
    assert (leaf(1.0) * 2).requires_grad


def test_hooks_keep_shape_and_dtype():
    x = leaf(1.0, 2.0)
    handle = x.register_hook(lambda g: g.sum())
    with pytest.raises(
        autograd.ShapeError, match=r"a hook must return None or a gradient of shape \(2,\), got \(\)"
    ):
        (x * x).sum().backward()
    handle.remove()
    x.register_hook(lambda g: np.array([1, 2]))
    (x * x).sum().backward()
    assert (x.grad.dtype, x.grad.tolist()) == (np.float32, [1, 2])
    x.grad = np.array([3, 4])
    assert x.grad.dtype == np.float32


def test_in_place_operations_refuse_what_the_tensor_cannot_hold():
    whole, real = autograd.tensor([1, 2]), autograd.tensor([1.0, 2.0])
    with pytest.raises(autograd.ShapeError, match="float32, which the tensor's int32 cannot hold"):
        whole += 0.5
    with pytest.raises(autograd.ShapeError, match="cannot hold"):
        real += 1j
    assert whole.tolist() == [1, 2]
    real += 1
    assert real.tolist() == [2, 3]


def test_a_tensor_left_behind_by_a_transformation_says_so():
    kept = []

    @jax.jit
    def f(x):
        kept.append(autograd.lift(jnp.sin)(autograd.tensor(1.0)) * x)
        return x

    f(1.0)
    assert (autograd.tensor(2.0) * 3).item() == 6
    with pytest.raises(
        autograd.FailedError, match="the transformation of JAX that it was recorded in is over"
    ):
        kept[0].item()
