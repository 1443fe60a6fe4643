"""Writing through views and `.data`, the gradient of one tensor, against torch where it is installed."""

import copy

import numpy as np
import pytest

from nablax import autograd

LIBRARIES = [pytest.param(autograd, id="ours")]
try:
    import torch

    LIBRARIES.append(pytest.param(torch, id="torch"))
except ImportError:
    torch = None


def numbers(x):
    return np.asarray(x.detach().numpy()).tolist()


@pytest.mark.parametrize("lib", LIBRARIES)
def test_data_writes_through(lib):
    p = lib.tensor([1.0, 2.0, 3.0], requires_grad=True)
    p.data.add_(1.0)
    assert numbers(p) == [2, 3, 4]
    p.data[0] = 7
    p.data[1:].mul_(2)
    p.data -= 0.5
    assert numbers(p) == [6.5, 5.5, 7.5]
    p.data = p.data * 2
    assert numbers(p) == [13, 11, 15]
    assert p.requires_grad
    assert p.is_leaf
    (p * p).sum().backward()
    assert numbers(p.grad) == [26, 22, 30]
    p.grad.data.zero_()
    assert numbers(p.grad) == [0, 0, 0]
    p.detach().fill_(1.0)
    assert numbers(p) == [1, 1, 1]
    p.data = lib.tensor([[1.0]])
    assert tuple(p.shape) == (1, 1)


@pytest.mark.parametrize("lib", LIBRARIES)
def test_data_of_a_result_leaves_its_history(lib):
    x = lib.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    y.data.mul_(10)
    assert numbers(y) == [30, 60]
    (y * 2).sum().backward()
    assert numbers(x.grad) == [6, 6]


@pytest.mark.parametrize("lib", LIBRARIES)
def test_writing_to_a_view_writes_to_its_base(lib):
    x = lib.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = x * 1
    y[0].add_(10)
    y[1, 0] += 5
    y[0][1].mul_(2)
    assert numbers(y) == [[11, 24], [8, 4]]
    (y * y).sum().backward()
    assert numbers(x.grad) == [[22, 96], [16, 8]]


@pytest.mark.parametrize("lib", LIBRARIES)
def test_a_row_of_a_leaf_refuses_where_gradients_are_recorded(lib):
    x = lib.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        x[0].add_(1)
    with lib.no_grad():
        x[0].add_(1)
    assert numbers(x) == [2, 2]


def test_views_that_are_not_one_expression_of_their_base_any_more():
    x = autograd.tensor([1.0, 2.0])
    a, b = x[0], x[:1]
    a.add_(1)
    a.add_(1)
    b.add_(1)
    assert x.tolist() == [4.0, 2.0]
    assert b.tolist() == [4.0]
    row = autograd.tensor([[1.0, 2.0]])[0]  # whose base is gone
    row += 1
    assert row.tolist() == [2.0, 3.0]
    rows = x[np.array([0, 1])]  # a copy
    rows += 1
    assert x.tolist() == [4.0, 2.0]


@pytest.mark.parametrize("how", ["recorded", "lazy", "walked"])
def test_a_view_of_a_gradient_that_a_backward_has_added_to_since(how):
    p = autograd.tensor([1.0, 2.0], requires_grad=True)
    held = []
    for _ in range(2):
        loss = (p * p).sum()
        if how == "walked":
            loss.item()
        loss.backward(lazy=how == "lazy")
        held = held or [p.grad[:1], p.grad.data, p.grad.detach()]
    for view in held:
        view += 1
    assert p.grad.tolist() == [7.0, 10.0]
    held[0][0] = 3
    assert p.grad.tolist() == [3.0, 10.0]


@pytest.mark.parametrize("lib", LIBRARIES)
@pytest.mark.parametrize("read", [False, True])
def test_gradients_that_are_views_of_one_buffer(lib, read):
    flat = lib.zeros(3)
    a, b = (lib.tensor(v, requires_grad=True) for v in ([1.0, 2.0], [3.0]))
    a.grad, b.grad = flat[:2], flat[2:]
    for n in (1, 2):
        y = (a * a).sum() + (b * b).sum()
        if read:
            y.item()
        y.backward()
        assert numbers(flat) == [2 * n, 4 * n, 6 * n]
    assert numbers(a.grad) == [4, 8]
    flat.mul_(2)
    assert (numbers(a.grad), numbers(b.grad)) == ([8, 16], [24])
    flat.zero_()
    (a.sum() + b.sum()).backward()
    assert numbers(flat) == [1, 1, 1]
    b.grad.add_(5)
    assert numbers(flat) == [1, 1, 6]


def test_a_write_by_index_is_recorded_once():
    x = autograd.tensor([1.0, 2.0])
    y = x * 1
    y[0] += 1
    assert str(autograd.graph(y)).count("set") == 1
    assert y.tolist() == [2.0, 2.0]


def test_the_gradient_of_one_tensor_is_no_tuple():
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    g = autograd.grad((x * x).sum(), x, create_graph=True)
    for use in (lambda: g[0], lambda: list(g), lambda: autograd.grad((x * x).sum(), x)[0]):
        with pytest.raises(
            autograd.TupleError, match=r"grad\(y, \[x\]\)\[0\].*g\[0, \.\.\.\].*test_views\.py"
        ):
            use()
    assert g[1].item() == 4
    assert g[0, ...].item() == 2
    assert (g * 1)[0].item() == 2
    assert autograd.grad(g.sum(), [x])[0].tolist() == [2.0, 2.0]
    x.grad = g.detach()
    assert x.grad[0].item() == 2
    assert copy.deepcopy(autograd.grad((x * x).sum(), x))[0].item() == 2


@pytest.mark.parametrize("lib", LIBRARIES)
def test_inputs_that_are_not_used(lib):
    p, q = (lib.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    assert tuple(lib.autograd.grad((p * p).sum(), [q], allow_unused=True) if lib is torch
                 else lib.grad((p * p).sum(), [q], allow_unused=True)) == (None,)  # fmt: skip
    y = (p * p).sum()
    y.backward()
    assert numbers(p.grad) == [2, 4]


@pytest.mark.parametrize("lib", LIBRARIES)
def test_an_element_of_a_row_changes_in_place(lib):
    x = lib.zeros(3, 4)
    x[1][2] += 1
    x[2].view(2, 2)[1][0] += 7
    row = x[0]
    row[1] += 5
    row[2] += 6
    assert numbers(row) == [0, 5, 6, 0]
    row += 1
    row[0] -= 3
    assert numbers(row) == [-2, 6, 7, 1]
    assert numbers(x) == [[-2, 6, 7, 1], [0, 0, 1, 0], [0, 0, 7, 0]]
    i = lib.tensor(1)
    x[i][0] += 1  # an index without axes is an integer
    x[0][i] *= 2
    i += 1
    assert numbers(x)[:2] == [[-2, 12, 7, 1], [1, 0, 1, 0]]
    w = lib.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    w.data[1][0] -= 2
    y = w * 1
    t = y.T
    t[0][1] *= 4
    assert numbers(t) == [[1, 4], [2, 4]]
    (y * y).sum().backward()
    assert numbers(w.grad) == [[2, 4], [32, 8]]


@pytest.mark.parametrize("lib", LIBRARIES)
def test_an_integer_selects_before_arrays_do(lib):
    """NumPy counts it as an array, and so moves the arrays' axis before the slice that stands between them."""
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    for x in (lib.tensor(values), lib.tensor(values) * 1):
        for index in (
            (1, slice(0, 2), [0, 3]),
            (-1, ..., [0, 2, 3]),
            (1, None, [0, 2]),
            ([0, 1], slice(None), 2),
        ):
            integer = index[0] if isinstance(index[0], int) else slice(None)
            want = values[:, :, 2] if integer == slice(None) else values[integer][index[1:]]
            assert numbers(x[index]) == want.tolist()
    x[1, :, [0, 3]] = lib.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    x[1, :, [0, 3]] += 10
    assert numbers(x[1, :, 0]) == [11, 13, 15]
    assert numbers(x[1, :, 3]) == [12, 14, 16]
    w = lib.tensor(values, requires_grad=True)
    (w[1, :2, [0, 3]] * lib.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert numbers(w.grad[1]) == [[1, 0, 0, 2], [3, 0, 0, 4], [0, 0, 0, 0]]
