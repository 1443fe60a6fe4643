"""What a tensor holds is its own: no caller's array or tensor changes it, and it changes none of theirs."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd
from nablax.autograd import Parameter, assign, tensor


def leaf(*values):
    return tensor(list(values), requires_grad=True)


@pytest.mark.parametrize("recorded", [False, True])
def test_a_cotangent_stays_the_callers(recorded):
    x, ct = leaf(1.0, 2.0), tensor([1.0, 1.0])
    if recorded:
        ct = ct * 1
    for n in range(3):
        x.backward(ct)
        assert x.grad.tolist() == [n + 1, n + 1]
    assert ct.tolist() == [1, 1]
    x.grad.zero_()
    assert ct.tolist() == [1, 1]


@pytest.mark.parametrize("recorded", [False, True])
def test_hooks_that_return_one_tensor(recorded):
    a, b, one = leaf(1.0), leaf(2.0), tensor([1.0])
    if recorded:
        one = one * 1
    for x in (a, b):
        x.register_hook(lambda g: one)
    for _ in range(2):
        (a * b).sum().backward()
    assert a.grad.tolist() == b.grad.tolist() == [2]
    assert one.tolist() == [1]


def test_arrays_of_numpy_are_copied():
    x, w, n = leaf(1.0, 2.0), leaf(1.0, 2.0), np.ones(2, np.float32)
    x.grad = n
    w.backward(n)
    v = leaf(5.0, 5.0)
    assign([v], [n])
    y = leaf(1.0, 2.0)
    z = y * 2
    z.register_hook(lambda g: n)
    z.sum().backward()
    n[:] = 9
    for t in (x.grad, w.grad, v, y.grad / 2):
        assert t.tolist() == [1, 1]


def test_a_cotangent_takes_the_dtype_of_its_tensor():
    x = leaf(1.0, 2.0)
    x.backward(np.array([1, 2]))
    assert x.grad.dtype == np.float32
    x.grad = None
    y = x * 2
    y.realize()
    y.backward(tensor([1, 2]), create_graph=True)
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [2, 4]


def test_assign_takes_numbers_and_tensors():
    w = Parameter(1.0)
    assign([w], [2.0])
    assert w.item() == 2
    assert w.value.dtype == np.float32
    (w * w).backward()
    assert w.grad.item() == 4
    assign([w], [tensor(3.0)])
    assert w.item() == 3


@pytest.mark.parametrize("view", ["shard", "numpy", "slice", "dlpack"])
def test_a_buffer_that_is_seen_through_a_view_is_not_donated(view):
    def look(t):
        if view == "shard":
            return t.value.addressable_data(0)
        if view == "numpy":
            return np.asarray(t)
        return t[0:2] if view == "slice" else np.from_dlpack(t)

    x = Parameter(np.arange(4.0, dtype=np.float32))
    for n in range(3):
        (x * x).sum().backward()
        (x * x).sum().backward()
        seen = look(x.grad)
        before = np.array(seen)
        (x * x).sum().backward()
        np.testing.assert_array_equal(np.asarray(seen), before, err_msg=str(n))
        x.grad = None


def test_an_array_given_as_gradient_is_not_donated():
    x = Parameter([1.0, 2.0])
    for _ in range(3):
        g = jnp.ones(2)
        shard = g.addressable_data(0)
        x.grad = g
        del g
        x.sum().backward()
        assert x.grad.tolist() == [2, 2]
        assert shard.tolist() == [1, 1]


def test_deepcopy_keeps_the_gradient():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    y = copy.deepcopy(x)
    assert y.grad.tolist() == [2, 4]
    x.grad.zero_()
    assert y.grad.tolist() == [2, 4]


def test_in_place_on_integers_and_truth_values():
    i, b = tensor([1, 2]), tensor([True, False])
    assert i.zero_().tolist() == [0, 0]
    assert i.fill_(2.7).tolist() == [2, 2]
    assert i.copy_(tensor([3.9, 4.0])).tolist() == [3, 4]
    assert i.dtype == np.int32
    assert b.fill_(True).tolist() == [True, True]
    assert b.zero_().tolist() == [False, False]
    i += 1
    assert i.tolist() == [4, 5]
    assert bool(tensor([3]))
    assert not tensor(0)
    with pytest.raises(TypeError):
        len(tensor(0))
    x = leaf(1.0, 2.0)
    y = (x * 1).copy_(x * 3)
    y.sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_a_mask_without_axes():
    x = tensor([1.0, 2.0])
    for yes in (tensor(True), jnp.array(True), np.array(True)):
        assert x[yes].tolist() == [[1, 2]]
    assert x[tensor(False)].shape == (0, 2)
    assert autograd.where(tensor(True), x, 0).tolist() == [1, 2]


def test_a_host_callback_runs_once_in_a_step():
    calls = []

    @jax.custom_vjp
    def f(x):
        return jax.pure_callback(
            lambda v: calls.append(1) or np.asarray(v) * 2, jax.ShapeDtypeStruct((), x.dtype), x
        )

    f.defvjp(lambda x: (f(x), None), lambda _, g: (g * 2,))
    g = autograd.lift(f)
    x = Parameter(3.0)
    for look in (True, False, True, False):
        calls.clear()
        y = g(x) * x
        if look:
            y.item()
        y.backward()
        assert len(calls) == 1
        assert x.grad.item() == 12
        x.grad = None


@pytest.mark.parametrize("tier", ["interpreted", "compiled"])
def test_a_clone_is_a_tensor_of_its_own_and_records_nothing_without_a_gradient(tier):
    with autograd.tiers(tier):
        x = leaf(1.0, 2.0)
        (x * x).sum().backward()
        states = autograd.cache_info().states
        grad, kept = x.grad.clone(), x.detach().clone()
        with autograd.no_grad():
            also = copy.copy(x)
            assert not also.requires_grad
        assert autograd.cache_info().states == states
        assert not kept.requires_grad
        (x * x).sum().backward()  # into the buffer of `.grad`, which nobody else may hold
        kept += 5
        np.array(also)[:] = 9
        assert x.clone().requires_grad
        (x.clone() * 3).sum().backward()
        assert [x.grad.tolist(), grad.tolist()] == [[7, 11], [2, 4]]
        assert [x.tolist(), also.tolist(), kept.tolist()] == [[1, 2], [1, 2], [6, 7]]
        assert (also.dtype, also.shape) == (x.dtype, x.shape)
