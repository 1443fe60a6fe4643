"""Methods people expect of an array, against NumPy and jax.numpy; gradients against jax.grad."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd

X = np.array([[0.3, -0.7, 0.5], [0.9, 0.2, -0.4]], np.float32)
Y = np.array([[0.1, 0.6, -0.3], [0.4, -0.2, 0.8]], np.float32)
INDEX = np.array([[0, 2], [1, 1]])

CALLS = {  # of a tensor and of another; of arrays
    "clone": (lambda x, y: x.clone() * y, lambda x, y: x * y),
    "copy": (lambda x, y: copy.copy(x) * y.copy(), lambda x, y: x * y),
    "dim": (lambda x, y: x.sum(dim=1, keepdim=True) * y, lambda x, y: x.sum(1, keepdims=True) * y),
    "max": (lambda x, y: x.max(dim=1)[0] * x.max(axis=1) * x.amax(1) * y[0, 0], lambda x, y: x.max(1) ** 3 * y[0, 0]),
    "named": (lambda x, y: x.add(y).mul(x).sub(y).div(2.0), lambda x, y: ((x + y) * x - y) / 2),
    "split": (lambda x, y: x.split(2, 1)[1] * y.split([1, 2], dim=1)[0], lambda x, y: x[:, 2:] * y[:, :1]),
    "chunk": (lambda x, y: x.chunk(2, dim=1)[0] * y[:, :2], lambda x, y: x[:, :2] * y[:, :2]),
    "unbind": (lambda x, y: x.unbind(1)[2] * y.unbind()[0][1], lambda x, y: x[:, 2] * y[0, 1]),
    "gather": (lambda x, y: x.gather(1, INDEX) * y[:, :2], lambda x, y: jnp.take_along_axis(x, INDEX, 1) * y[:, :2]),
    "gather rows": (lambda x, y: x.gather(0, INDEX[1:]) * y[:1, :2], lambda x, y: x[1, :2] * y[:1, :2]),
    "gather last": (lambda x, y: x.gather(-1, INDEX) * y[:, :2],
                    lambda x, y: x[np.arange(2)[:, None], INDEX] * y[:, :2]),
    "index_select": (lambda x, y: x.index_select(1, np.array([2, 2])) * y[:, :2], lambda x, y: x[:, [2, 2]] * y[:, :2]),
    "where": (lambda x, y: x.where(x > y, y * y), lambda x, y: jnp.where(x > y, x, y * y)),
    "masked_fill": (lambda x, y: (x * y).masked_fill(x > y, 0.5), lambda x, y: jnp.where(x > y, 0.5, x * y)),
    "topk": (lambda x, y: x.topk(2)[0] * y[:, :2], lambda x, y: jnp.sort(x)[:, :0:-1] * y[:, :2]),
    "view_as": (lambda x, y: x.view_as(y.T) * y.T, lambda x, y: x.reshape(3, 2) * y.T),
    "expand_as": (lambda x, y: x[0].expand_as(y) * y, lambda x, y: x[0] * y),
    "type_as": (lambda x, y: x.type_as(y.half()) * 2, lambda x, y: x.astype(np.float16) * 2),
    "round": (lambda x, y: round(x, 1) * y, lambda x, y: jnp.round(x, 1) * y),
    "divmod": (lambda x, y: divmod(2.0, x)[1] * y, lambda x, y: jnp.mod(2.0, x) * y),
    "at": (lambda x, y: x.at[0].add(y[0]).at[1, 1].set(y[0, 0] * 3), lambda x, y: jnp.stack([
        x[0] + y[0], jnp.stack([x[1, 0], y[0, 0] * 3, x[1, 2]])])),
    "at more": (lambda x, y: x.at[:, INDEX[0]].multiply(2.0).at[0].max(y[0]).at[1].divide(4.0), lambda x, y: jnp.stack([
        jnp.maximum(x[0] * np.array([2, 1, 2]), y[0]), x[1] * np.array([2, 1, 2]) / 4])),
    "to": (lambda x, y: x.to(jax.devices()[0]).cpu().to(np.float32) * y, lambda x, y: x * y),
}  # fmt: skip


def test_values_and_gradients():
    ours, theirs = [], []
    for of_tensors, of_arrays in CALLS.values():
        x, y = (autograd.tensor(v, requires_grad=True) for v in (X, Y))
        z = of_tensors(x, y)
        z.sum().backward()
        ours.append((z, x.grad, y.grad))
        theirs.append(jax.value_and_grad(lambda x, y, f=of_arrays: f(x, y).sum(), (0, 1))(X, Y))
        np.testing.assert_allclose(z.numpy(force=True), of_arrays(X, Y), rtol=1e-6)
    for name, (_, gx, gy), (_, (wx, wy)) in zip(CALLS, ours, theirs, strict=True):
        np.testing.assert_allclose(gx.numpy(), wx, rtol=1e-5, atol=1e-6, err_msg=name)
        if gy is not None:
            np.testing.assert_allclose(gy.numpy(), wy, rtol=1e-5, atol=1e-6, err_msg=name)


def test_casts_and_places():
    x = autograd.tensor([0.0, 1.5, -2.5])
    assert [t.dtype for t in (x.half(), x.bfloat16(), x.int(), x.long(), x.bool())] == [
        np.float16, jnp.bfloat16, np.int32, np.int32, np.bool_]  # fmt: skip
    assert x.bool().tolist() == [False, True, True]
    assert (x.itemsize, x.nbytes) == (4, 12)
    assert x.device == jax.devices()[0]
    assert x.to_device(x.device) is x
    assert [i.tolist() for i in x.nonzero(as_tuple=True)] == [[1, 2]]
    assert x.nonzero().tolist() == [[1], [2]]
    np.testing.assert_array_equal(np.from_dlpack(x), [0.0, 1.5, -2.5])
    with pytest.raises(autograd.LostTapeError, match="detach"):
        np.from_dlpack(autograd.tensor([1.0], requires_grad=True))
    with pytest.raises(AttributeError, match="foo"):
        x.at[0].foo(1)
    assert x.at[1].get().item() == 1.5


def test_an_index_whose_elements_are_known_must_be_in_range():
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    for index in (autograd.tensor([0, 5]), jnp.array([-3]), autograd.tensor(2)):
        with pytest.raises(IndexError, match="must lie in -2 to 1"):
            x[index]
    assert x[autograd.tensor([-2, 1])].tolist() == [1.0, 2.0]
    assert x[autograd.tensor([0, 1]) * 5].tolist() == [
        1.0,
        2.0,
    ]  # recorded: not known yet, and clipped as in JAX


def test_numpy_with_where_and_out():
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    out = autograd.tensor([5.0, 6.0])
    np.multiply(x, 3, out=out, where=np.array([True, False]))
    assert out.tolist() == [3.0, 6.0]
    out.sum().backward()
    assert x.grad.tolist() == [3.0, 0.0]
    with pytest.raises(TypeError, match=r"np\.add: where= needs out="):
        np.add(x, 1, where=np.array([True, False]))


def test_a_list_of_tensors_does_not_lose_its_gradients():
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(autograd.LostTapeError, match=r"stack.*test_methods\.py"):
        autograd.tensor([x[0] * 2, 1.0])
    with autograd.no_grad():
        assert autograd.tensor([x[0] * 2, 1.0]).tolist() == [2.0, 1.0]
    assert autograd.tensor([x[0].detach(), 1.0]).tolist() == [1.0, 1.0]


def test_what_is_no_number_is_no_tensor():
    for value in ("abc", None, ["a", 1], np.array(["2026-01-01"], "datetime64[D]")):
        with pytest.raises(TypeError, match="tensor: value must consist of numbers"):
            autograd.tensor(value)
    with pytest.raises(TypeError, match="register_hook: hook must be a function"):
        autograd.tensor([1.0], requires_grad=True).register_hook(3)


def test_a_product_of_nothing_has_a_gradient_and_leaves_others_theirs():
    """What could not be differentiated for one shape was taken for that of no shape."""
    with autograd.tiers("interpreted"):
        for values in (np.zeros((0, 3)), np.array([2.0, 3.0, 4.0])):
            x = autograd.tensor(values, requires_grad=True)
            y = x.prod()
            y.backward()
            assert y.item() == values.prod()
            assert x.grad.tolist() == (values if not values.size else np.array([12.0, 8.0, 6.0])).tolist()


def test_medians_of_nothing_and_orders_of_one_number():
    for name in ("median", "nanmedian"):
        x = autograd.tensor(np.zeros((0, 3)), requires_grad=True)
        y = getattr(x, name)()
        y.backward()
        assert np.isnan(y.item())
        assert x.grad.shape == (0, 3)
        with pytest.raises(autograd.ShapeError, match=rf"{name}: axis 0 must hold an element, .*\(0, 3\)"):
            getattr(x, name)(0)
    number = autograd.tensor(2.0)
    for found in (number.msort(), number.mode()[0], number.sort()[0], number.median()):
        assert (found.shape, found.item()) == ((), 2)
    assert number.argsort().tolist() == 0
    assert autograd.tensor([3, 1, 2]).median().item() == 2


def test_a_variance_that_is_divided_by_zero():
    x = autograd.tensor([[1.0, 3.0]])
    assert x.var(correction=2).item() == x.std(1, correction=3).item() == np.inf
    assert np.isnan(x.var(0)).all()
    assert x.var(1).tolist() == [2.0]


def test_running_extremes_stay_nan_after_a_nan():
    x = autograd.tensor([1.0, np.nan, 3.0], requires_grad=True)
    for values, at in (x.cummax(0), x.cummin(0)):
        np.testing.assert_array_equal(values.detach(), [1, np.nan, np.nan])
        assert at.tolist() == [0, 1, 1]
    x.cummax(0)[0].sum().backward()
    assert x.grad.tolist() == [1, 2, 0]
