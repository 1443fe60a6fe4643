"""Calls that are found as they were written: the same call is one look-up, another is never taken for it."""

import jax
import numpy as np
import pytest

import nablax.autograd as ag
from nablax.autograd._path._trace import local
from nablax.autograd._tensor import _indexing, _lift, _told
from nablax.autograd._tensor._told import told

X = np.arange(1, 7, dtype=np.float32).reshape(2, 3)


CALLS = {
    "an axis": (lambda x: x.sum(0), X.sum(0)),
    "by name": (lambda x: x.sum(dim=1), X.sum(1)),
    "a flag": (lambda x: x.sum(1, True), X.sum(1, keepdims=True)),
    "no flag": (lambda x: x.sum(1, False), X.sum(1)),
    "several axes": (lambda x: x.sum((0, 1)), X.sum()),
    "sizes": (lambda x: x.reshape(3, 2), X.reshape(3, 2)),
    "another order": (lambda x: x.reshape(2, 3), X),
    "a list of tensors": (lambda x: ag.cat([x, x], 1), np.concatenate([X, X], 1)),
    "another axis": (lambda x: ag.cat([x, x], 0), np.concatenate([X, X], 0)),
    "numbers": (lambda x: x.clamp(2, 4), X.clip(2, 4)),
    "other numbers": (lambda x: x.clamp(2.0, 5.0), X.clip(2, 5)),
    "a whole number": (lambda x: ag.numpy.full_like(x, 1), np.ones_like(X)),
    "True": (lambda x: ag.numpy.full_like(x, True), np.ones_like(X)),
    "a dtype": (lambda x: x.astype(np.int32), X.astype(np.int32)),
    "another": (lambda x: x.astype("float16"), X.astype(np.float16)),
    "and another": (lambda x: x.bool(), X.astype(bool)),
    "a row": (lambda x: x[0], X[0]),
    "columns": (lambda x: x[:, 1:], X[:, 1:]),
    "every second": (lambda x: x[:, ::2], X[:, ::2]),
    "an axis more": (lambda x: x[:, None], X[:, None]),
    "arrays": (lambda x: x[np.array([0, 1]), np.array([2, -1])], X[[0, 1], [2, 2]]),
}  # fmt: skip


def test_calls_at_one_place_are_told_apart():
    """All of them at the same state of one recording, again and again."""
    w = ag.Parameter(X)
    for _ in range(4):
        for name, (call, right) in CALLS.items():
            y = w * 1.0
            np.testing.assert_array_equal(call(y).value, right, err_msg=name)


@pytest.mark.parametrize("name", CALLS)
def test_the_third_call_is_found_as_it_was_written(name, monkeypatch):
    """It records nothing anew."""
    call, right = CALLS[name]
    w = ag.Parameter(X)
    taken: list = []

    def noted(*args):
        taken.append(args)
        _told.remember(*args)

    for module in (_lift, _indexing):  # where a call was taken apart
        monkeypatch.setattr(module, "remember", noted)
    counts = []
    for _ in range(4):
        y = call(w * 1.0)
        np.testing.assert_array_equal(y.value, right)
        counts.append(len(taken))
    if name == "arrays":
        assert counts[3] == 0
    else:
        assert counts == [1, 2, 2, 2]


def key(call, *args, **kwargs):
    return told(local.trace, call, args, kwargs)


def test_equal_numbers_of_other_types_are_other_calls():
    keys = [key("f", v) for v in (1, 1.0, True, 1 + 0j, "1", None, 0, 0.0, -0.0, False, [1], (1,), [[1]])]
    assert len(set(keys)) == len(keys)
    assert key("f", float("nan")) == key("f", float("nan"))
    assert key("f", "axis", 1) != key("f", axis=1)
    assert key("f", [1], 2) != key("f", [1, 2])
    assert key("f", slice(1, None)) != key("f", slice(None, 1))
    assert [key("f", v) for v in (np.zeros(2), lambda x: x, [print], ValueError)] == [None] * 4


def test_a_number_that_varies_is_an_input_where_the_call_was_found_before():
    """Ten values make one program more, not ten."""
    w = ag.Parameter(X)
    values = [2.5, 2.5, 2.5, *np.linspace(1.1, 3.3, 10).tolist()]
    for i, v in enumerate(values):
        if i == 4:
            known = ag.cache_info().programs
        y = ag.numpy.clip(w * 1.0, None, v).sum()
        y.backward()
        np.testing.assert_allclose(w.grad.value, (v > X).astype(np.float32))
        w.grad = None
    assert ag.cache_info().programs <= known + 1


def test_a_class_may_change_what_it_says():
    class Options:
        scale = 1.0

    scaled = ag.lift(lambda x, options: x * options.scale)
    w = ag.Parameter(X)
    for i in range(5):
        Options.scale = float(i // 3)
        np.testing.assert_array_equal(scaled(w * 1.0, Options).value, X * (i // 3))


def test_an_index_in_a_tensor_is_looked_at_each_time():
    at, mask = ag.tensor([0, 1]), ag.tensor([True, False])
    w = ag.Parameter(X)
    shapes, wrong = [], []
    for i in range(5):
        if i == 3:
            at[1], mask[1] = 2, True
            at.realize(), mask.realize()
        shapes.append((w * 1.0)[mask].value.shape)
        try:
            _ = (w * 1.0)[at].value
        except IndexError as error:
            wrong.append((i, str(error)))
    assert shapes == [(1, 3)] * 3 + [(2, 3)] * 2
    assert [i for i, _ in wrong] == [3, 4]
    assert "axis 0 must lie in -2 to 1, got 2" in wrong[0][1]


@pytest.mark.parametrize("kind", ["<i4", ">i4", "i8", "u1", ">u2"])
def test_an_index_that_is_not_there_is_refused_in_any_order_of_bytes(kind):
    w = ag.Parameter(X)
    np.testing.assert_array_equal(w[np.array([1, 0], kind)].value, X[[1, 0]])
    for wrong in (2, -3):
        if wrong > 0 or "i" in kind:
            with pytest.raises(IndexError, match="axis 0"):
                w[np.array([1, wrong], kind)]


def test_a_row_that_was_found_is_a_view():
    w = ag.Parameter(X)
    for _ in range(4):
        y = w * 1.0
        row = y[0]
        row += 1
        np.testing.assert_array_equal(y.value, X + np.float32([[1], [0]]))


def test_x64_that_is_switched_on_within_a_recording_counts():
    """A function that was found as it was written without x64 is not what it is with it, and the other way round."""
    function = ag.lift(lambda y, k: y.astype(float) * k)
    x = ag.tensor(X, requires_grad=True)
    for wide in (False, False, False, True, True, False, True):
        y = x * 2
        with jax.enable_x64(wide):
            z = function(y, 2)
        assert z.dtype == (np.float64 if wide else np.float32)
        z.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), np.full_like(X, 4))
        x.grad = None


@pytest.mark.parametrize("grad", [True, False])
def test_a_whole_number_that_varies_as_an_index(grad):
    x = ag.tensor(X, requires_grad=True) if grad else ag.tensor(X) * 1

    def taken(i):
        return (x * 1)[i]

    def take(i):  # so that all of them are recorded from one line
        return taken(i)

    for i in (0, 1, -1, -2, 1, 2, 0, -3, np.int64(1)):
        if i in (2, -3):
            with pytest.raises(IndexError, match="-2 to 1"):
                take(i)
            continue
        y = take(i)
        assert y.tolist() == X[i].tolist()
        assert y._view is not None


@pytest.mark.parametrize("kind", ["numpy", "tensor"])
def test_places_in_arrays_are_looked_at_each_time(kind):
    x = ag.tensor(X, requires_grad=True)
    given = ag.tensor if kind == "tensor" else lambda at: at
    for rows, columns in (([0, 1, 1], [2, 0, 2]), ([1, 0, 0], [0, 1, 2]), ([-1, 0, 1], [-3, -1, 0])):
        rows, columns = np.array(rows), np.array(columns)
        y = (x * 1)[given(rows), given(columns)]
        assert y.tolist() == X[rows, columns].tolist()
        assert (x * 1)[given(rows)].tolist() == X[rows].tolist()
        (want,) = jax.vjp(lambda v, at=(rows, columns): v[at], X)[1](np.ones(3, np.float32))
        (found,) = ag.grad(y.sum(), [x])
        assert found.tolist() == want.tolist()
    for wrong in (np.array([0, 2]), np.array([-3, 0])):
        with pytest.raises(IndexError):
            (x * 1)[given(wrong)]
