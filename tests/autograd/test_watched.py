"""Hooks, retain_grad and grad of intermediates: in loops, before and after the segment ran, through each other."""

import jax
import numpy as np
import pytest

from nablax import autograd
from nablax.autograd import Parameter, grad, no_grad, tensor

V = np.array([0.5, 1.5], np.float32)


def leaf(*values):
    return tensor(list(values), requires_grad=True)


def close(tensor, want, rtol=1e-5):
    np.testing.assert_allclose(tensor.numpy(force=True), np.asarray(want), rtol=rtol, atol=1e-6)


def test_grad_of_an_intermediate_that_ran_after_an_update():
    w = Parameter([1.0, 2.0])
    with no_grad():
        w -= 0.0
    y = w * 2
    z = (y.sin() + y).sum()
    z.item()
    close(grad(z + (y * 3).sum(), y), np.cos([2.0, 4.0]) + 1 + 3)


@pytest.mark.parametrize("look", ["recorded", "ran", "ran between"])
@pytest.mark.parametrize("create", [False, True])
def test_everything_that_watches_in_every_turn_of_a_loop(look, create):
    w = Parameter(V)
    for turn in range(4):
        seen = []
        y = w * 2
        z = y.sin() * w
        if look == "ran between":
            z.realize()
        u = (z * y).sum() + (y**3).sum()
        if look == "ran":
            u.item()
        z.retain_grad()
        y.retain_grad()
        h = z.register_hook(lambda g, seen=seen: seen.append(np.array(g.detach())))
        v = np.array(w.detach())
        if turn == 2:
            h.remove()
        u.backward(create_graph=create)
        y0 = 2 * v
        gz, gy = y0, np.sin(y0) * v + 3 * y0**2 + y0 * np.cos(y0) * v
        close(z.grad, gz)
        close(y.grad, gy)
        assert len(seen) == (0 if turn == 2 else 1)
        for g in seen:
            np.testing.assert_allclose(g, gz, rtol=1e-5)
        close(w.grad, 2 * gy + gz * np.sin(y0))
        with no_grad():
            w -= 0.01 * w.grad
        w.grad = None


@pytest.mark.parametrize("ran", [False, True])
def test_a_hook_changes_what_goes_on_from_there_and_nothing_else(ran):
    x = leaf(*V)
    y = x * 2
    t = y.exp()  # from y, and watched as well
    out = (t * x + y).sum()
    if ran:
        out.item()
    order = []
    y.register_hook(lambda g: order.append("y") or g * 10)
    t.register_hook(lambda g: order.append("t") or g * 0 + 1)
    t.register_hook(lambda g: order.append("t2") or g + 1)
    y.retain_grad()
    t.retain_grad()
    out.backward()
    assert order == ["t", "t2", "y"]
    close(t.grad, [2, 2])
    close(y.grad, 10 * (2 * np.exp(2 * V) + 1))
    close(x.grad, np.exp(2 * V) + 2 * 10 * (2 * np.exp(2 * V) + 1))


def test_a_hook_that_removes_a_nan_removes_it_from_what_lies_before():
    x = leaf(0.0, 4.0)
    y = x * 1
    y.register_hook(lambda g: autograd.numpy.nan_to_num(g, nan=0.0, posinf=0.0))
    (y.sqrt().sum() + (x * 3).sum()).backward()
    close(x.grad, [3, 3.25])


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("ran", [False, True])
def test_grad_of_intermediates_and_leaves_together(ran, create):
    for _ in range(3):
        x, b = leaf(*V), leaf(1.0, 1.0)
        y = x * x
        t = y * b
        z = (t * t * y).sum()
        if ran:
            z.item()
        gx, gy, gt, gb, gz = grad(z, [x, y, t, b, z], create_graph=create)
        y0 = V**2
        close(gt, 2 * y0 * y0)
        close(gy, 3 * y0**2)
        close(gx, 6 * V**5)
        close(gb, 2 * y0**3)
        close(gz, 1)
        if create:
            close(grad(gy.sum(), y), 6 * y0)


def test_second_derivatives_go_through_watched_slots():
    def run(watch):
        found = []
        x = leaf(*V)
        for _ in range(3):
            y = x**2
            z = (y * y.sin()).sum()
            z.item()
            if watch:
                y.register_hook(lambda g: g * 1)
                y.retain_grad()
            (g,) = grad(z, [x], create_graph=True)
            if watch:
                close(y.grad, np.sin(V**2) + V**2 * np.cos(V**2))
            h = (g * g).sum()
            h.item()
            found.append(grad(h, x).numpy())
        return found

    np.testing.assert_allclose(run(True), run(False), rtol=1e-5)


def test_a_hook_on_a_tensor_whose_gradient_was_recorded_in_the_same_segment():
    x = leaf(*V)
    y = x**2
    (g,) = grad((y**2).sum(), [x], create_graph=True)  # 4 x^3, a function of y = x^2, too
    seen = []
    y.register_hook(lambda g: seen.append(g.numpy(force=True)))
    g.sum().backward()
    close(x.grad, 12 * V**2)
    np.testing.assert_allclose(seen[0], 4 * V, rtol=1e-5)  # g = 2 y * 2 x: d g / d y = 4 x


def test_a_tensor_that_is_gone_still_hears_its_hook():
    x = leaf(*V)
    seen = []
    y = x * 3
    y.register_hook(lambda g: seen.append(g.tolist()))
    z = (y * 2).sum()
    del y
    z.backward()
    assert seen == [[2, 2]]


def test_hooks_in_a_recording_that_was_cut():
    x = leaf(*V)
    with autograd.max_segment(8):
        seen = []
        y = x
        for i in range(30):
            y = y * 1.5
            if i % 7 == 3:
                y.register_hook(lambda g, i=i: seen.append(i) or g * 2)
                y.retain_grad()
        y.sum().backward()
    assert seen == [24, 17, 10, 3]
    close(x.grad, [1.5**30 * 16] * 2)


def test_handles_and_retain_grad_twice():
    x = leaf(*V)
    y = x * 2
    count = []

    def hook(g):
        count.append(1)

    first, _ = y.register_hook(hook), y.register_hook(hook)
    first.remove()
    first.remove()
    y.retain_grad()
    y.retain_grad()
    z = (y * y).sum()
    z.backward(retain_graph=True)
    assert len(count) == 1
    close(y.grad, 4 * V)
    z.backward()
    close(y.grad, 8 * V)  # accumulates
    with pytest.raises(autograd.GraphFreedError):
        z.backward()
    with pytest.raises(autograd.GraphFreedError):
        grad(z, y)


def test_retain_grad_stays_with_the_tensor_and_hooks_with_the_value():
    x = leaf(*V)
    y = x * 2
    y.retain_grad()
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y *= 3
    (y * 5).sum().backward()
    close(y.grad, [5, 5])
    assert seen == [[15, 15]]


def test_a_gradient_kept_is_the_tensors_own():
    x = leaf(*V)
    y = x * 2
    y.retain_grad()
    (g,) = grad((y * 3).sum(), [y])
    y.grad.zero_()
    close(g, [3, 3])


def test_grad_of_an_intermediate_does_not_need_what_lies_before_it():
    x = leaf(*V)
    y = x * 2
    y.sum().backward()  # frees the graph of y
    z = (y * y).sum()
    z.item()
    close(grad(z, y), 4 * V)
    fired = []
    a = x * 2
    a.register_hook(fired.append)
    a.realize()
    b = a * 3
    b.realize()
    grad((b * b).sum(), b)
    assert fired == []


def test_hooks_inside_functional():
    def f(x):
        y = x * 2
        y.register_hook(lambda g: g * 3)
        return grad((y * y).sum(), x)

    pure = autograd.functional(lambda x: f(x.requires_grad_()))
    np.testing.assert_allclose(pure(V), 24 * V)
    np.testing.assert_allclose(jax.jit(pure)(V), 24 * V)


def test_a_gradient_of_a_gradient_by_an_intermediate_that_ran():
    x = leaf(*V)
    y = x * 2
    z = (y**3).sum()
    z.item()
    (g,) = grad(z, [x], create_graph=True)  # 6 y^2
    close(grad(g.sum() + (y * 3).sum(), y), 12 * 2 * V + 3)


@pytest.mark.parametrize("ran", [False, True])
@pytest.mark.parametrize("hooks", [False, True])
@pytest.mark.parametrize("parts", [1, 2])
def test_grad_asks_only_what_leads_to_its_inputs(ran, hooks, parts):
    """Beside the way nobody hears of a gradient, and `.grad` keeps nothing: torch 2.13's figures."""
    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    heard = []

    def watched(name, tensor):
        if hooks:
            tensor.register_hook(lambda g: heard.append((name, g.sum().item())))
        tensor.retain_grad()
        return tensor

    a = watched("a", x * w)
    b = watched("b", a * 2)
    c = w * 5 if parts == 1 else (w * 2.5).realize() * 2
    c = watched("c", c)
    y = (b * b).sum() + (c * c).sum()
    if ran:
        y.realize()
    gx, gb = autograd.grad(y, [x, b], retain_graph=True)
    assert gx.tolist() == [72, 256]
    assert gb.tolist() == [12, 32]
    assert heard == [("b", 44), ("a", 88)] * hooks
    assert b.grad.tolist() == [12, 32]
    assert c.grad is None
    y.backward()
    assert heard[2 * hooks :] == [("c", 70), ("b", 44), ("a", 88)] * hooks
    assert (b.grad.tolist(), c.grad.tolist()) == ([24, 64], [30, 40])


@pytest.mark.parametrize("ran", [False, True])
def test_a_branch_that_leads_to_no_input_is_not_pulled(ran):
    pulled = []

    class Told(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            pulled.append(g.sum().item())
            return g

    x, w = leaf(1.0, 2.0), leaf(3.0, 4.0)
    side = Told.apply(w)
    if ran:
        side.realize()
    main = (x * 2).realize() * 3
    if ran:
        main.realize()
    assert autograd.grad((main * side).sum(), x).tolist() == [18, 24]
    assert pulled == []


def test_a_way_that_may_go_through_what_was_freed_is_an_error_and_one_that_cannot_is_none():
    x = leaf(1.0, 2.0)
    y = (x * 2).realize()
    z = (y * y).realize()
    z.sum().backward()
    w = leaf(3.0, 4.0)
    v = (w * 2).realize()
    total = (z * v).sum()
    with pytest.raises(autograd.GraphFreedError):
        autograd.grad(total, x, retain_graph=True)
    assert autograd.grad(total, v).tolist() == [4, 16]


@pytest.mark.parametrize("look", [False, True])
def test_hooks_on_leaves_in_every_turn_of_a_loop(look):
    v, w = Parameter(V), Parameter(V)
    order = []

    def hook(name):
        def called(gradient):
            order.append(name)
            if look:
                order[-1] = (name, gradient.tolist())
            return gradient.clamp(-1, 1)

        return called

    v.register_hook(hook("v"))
    for turn in range(4):
        (v * w * 3).sum().backward()
        close(v.grad, np.clip(3 * V, -1, 1) * (turn + 1))
        close(w.grad, 3 * V * (turn + 1))
    assert order == [("v", (3 * V).tolist()) if look else "v"] * 4


def test_a_hook_hears_once_of_a_leaf_that_was_used_before_and_after_an_update():
    w = Parameter(V)
    seen = []
    w.register_hook(lambda gradient: seen.append(gradient.tolist()))
    for turn in range(3):
        with no_grad():
            with autograd.enable_grad():
                first = (w * 2).sum()
            w -= 0.0
            with autograd.enable_grad():
                (first + (w * w).sum()).backward()
        close(w.grad, 2 + 2 * V)
        w.grad = None
        assert seen == [(2 + 2 * V).tolist()] * (turn + 1)
