"""In-place looking operations and indexing, against jax.grad of `.at[].set`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd


def test_in_place_operators_are_functional_underneath():
    x = autograd.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * 2
    before = y * 1
    y += x
    y *= 2
    y -= 1
    y /= 2
    (y * before).sum().backward()
    want = jax.grad(lambda x: (((x * 2 + x) * 2 - 1) / 2 * (x * 2)).sum())(x.value)
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-6)


def test_writes():
    x = autograd.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * x
    y[0] = 5.0
    y[1:] = x[:2]
    y[autograd.tensor([2])] = x[0] * 3
    (y * y).sum().backward()

    def f(x):
        y = (x * x).at[0].set(5.0).at[1:].set(x[:2]).at[jnp.array([2])].set(x[0] * 3)
        return (y * y).sum()

    np.testing.assert_allclose(x.grad.numpy(), jax.grad(f)(x.value), rtol=1e-6)
    buffer = autograd.tensor(np.zeros(3))
    buffer[1] = x[0] * 2  # a tensor without gradient gets one
    assert buffer.requires_grad
    x.zero_grad()
    buffer.sum().backward()
    assert x.grad.tolist() == [2, 0, 0]
    counts = autograd.tensor([1, 2, 3])
    counts[0] = 7.9
    counts += 1
    assert counts.tolist() == [8, 3, 4]


def test_named_methods():
    x = autograd.tensor([1.0, -2.0], requires_grad=True)
    y = x * 1
    same = y.add_(x, alpha=2).mul_(3).sub_(1).div_(2)
    assert same is y
    np.testing.assert_allclose(y.numpy(force=True), (np.array([3.0, -6.0]) * 3 - 1) / 2)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [4.5, 4.5])
    z = x * 1
    assert z.relu_().tolist() == [1, 0]
    assert z.fill_(2.0).tolist() == [2, 2]
    assert z.zero_().tolist() == [0, 0]
    assert z.copy_(x).tolist() == [1, -2]
    assert z.clamp_(0, 0.5).tolist() == [0.5, 0]
    assert (x * 1).neg_().exp_().sqrt_().tanh_().sigmoid_().pow_(2).shape == (2,)


def test_a_leaf_that_requires_grad_refuses():
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(autograd.InPlaceError, match="no_grad"):
        x += 1
    with pytest.raises(autograd.InPlaceError):
        x[0] = 3.0
    with pytest.raises(autograd.InPlaceError):
        x.add_(1)
    assert issubclass(autograd.InPlaceError, RuntimeError)
    assert x.tolist() == [1, 2]
    with autograd.no_grad():
        x += 1
        x[0] = 3.0
        x.mul_(2)
    assert x.tolist() == [6, 6]
    assert x.is_leaf
    (x * x).sum().backward()
    assert x.grad.tolist() == [12, 12]


def test_a_leaf_updated_and_used_in_one_recording_is_a_leaf_again():
    w = autograd.Parameter([1.0, 2.0])
    with autograd.no_grad():
        w *= 3
    (w * w).sum().backward()  # the update is still recorded
    assert w.grad.tolist() == [6, 12]


def test_what_was_recorded_keeps_the_old_value():
    w = autograd.Parameter([1.0, 2.0])
    y = (w * w).sum()
    with autograd.no_grad():
        w.zero_()
    y.backward()
    assert w.grad.tolist() == [2, 4]
    assert w.tolist() == [0, 0]


def test_in_place_must_keep_the_shape():
    y = autograd.tensor([1.0, 2.0]) * 1
    with pytest.raises(autograd.ShapeError, match="in"):
        y += autograd.tensor([[1.0], [2.0]])


INDICES = {
    "integer": 1,
    "negative": -1,
    "slice": slice(None, None, 2),
    "reversed": slice(None, None, -1),
    "none": (None, slice(1, 3)),
    "ellipsis": (..., 0),
    "integers": ([2, 0],),
    "array": np.array([[0, 1], [2, 2]]),
    "mixed": (slice(0, 2), np.array([1, 0])),
    "pairs": (np.array([0, 1]), np.array([2, 0])),
    "mask": np.array([True, False, True]),
    "mask of elements": np.array([[True, False, True], [False, False, True], [True, True, False]]),
}


@pytest.mark.parametrize("index", INDICES.values(), ids=INDICES.keys())
@pytest.mark.parametrize("wrapped", [False, True])
def test_indexing(index, wrapped):
    def wrap(i):
        if isinstance(i, tuple):
            return tuple(map(wrap, i))
        return autograd.tensor(i) if wrapped and isinstance(i, np.ndarray) else i

    values = np.arange(9.0, dtype=np.float32).reshape(3, 3) + 1
    plain = (
        index
        if not isinstance(index, tuple)
        else tuple(np.array(i) if isinstance(i, list) else i for i in index)
    )
    x = autograd.tensor(values, requires_grad=True)
    y = x[wrap(index)]
    assert y.shape == values[plain].shape
    np.testing.assert_array_equal(
        autograd.tensor(values)[wrap(index)].numpy(), values[plain]
    )  # without gradient
    np.testing.assert_array_equal(
        (autograd.tensor(values) * 1)[wrap(index)].numpy(), values[plain]
    )  # recorded
    (y * y).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), jax.grad(lambda x: (x[plain] ** 2).sum())(values), rtol=1e-6)


def test_indices_out_of_bounds_raise_at_once():
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    for index in (2, -3, (0, 0), np.array([5]), np.array([True])):
        with pytest.raises(IndexError):
            x[index]
    with pytest.raises(IndexError):
        x[1.5]
    assert [v.item() for v in x] == [1, 2]


def test_varying_indices_stop_making_programs():
    x = autograd.tensor(np.arange(50.0), requires_grad=True)
    for i in range(10):
        (x[i] * 2).backward()
    before = autograd.cache_info()
    for i in range(10, 50):
        (x[i] * 2).backward()
    assert autograd.cache_info().compilations - before.compilations <= 2
    np.testing.assert_allclose(x.grad.numpy(), 2.0)


def test_batches_of_concrete_data_never_enter_a_key():
    data = autograd.tensor(np.arange(40.0).reshape(20, 2))
    w = autograd.Parameter([1.0, 1.0])
    for _ in range(3):
        (data[0:4] @ w).sum().backward()
    before = autograd.cache_info()
    for i in range(0, 20, 4):
        (data[i : i + 4] @ w).sum().backward()
    assert autograd.cache_info().compilations == before.compilations
