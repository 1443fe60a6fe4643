"""Recordings that take another turn each time run in pieces: the same numbers, and nothing grows."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd
from nablax.autograd import Parameter, no_grad, tensor
from nablax.autograd._path import _habit
from nablax.autograd._path._trace import local

WIDTH = 4


def grow(draws, size):
    if size == 1:
        return int(draws.integers(2))
    if draws.random() < 0.25:
        return ("not", grow(draws, size - 1))
    left = int(draws.integers(1, size))
    return (("and", "or")[int(draws.integers(2))], grow(draws, left), grow(draws, size - left))


def read(params, tree, cat):
    leaves, both, either, negate = params
    if isinstance(tree, int):
        return leaves[tree]
    if tree[0] == "not":
        return read(params, tree[1], cat) @ negate
    joined = cat([read(params, tree[1], cat), read(params, tree[2], cat)])
    return joined @ (both if tree[0] == "and" else either)


def arrays(seed=0):
    draws = np.random.default_rng(seed)
    shapes = (2, WIDTH), (2 * WIDTH, WIDTH), (2 * WIDTH, WIDTH), (WIDTH, WIDTH)
    return [(0.5 * draws.standard_normal(s)).astype(np.float32) for s in shapes]


def learn(steps, look=lambda i, tree, params, loss: None):
    """Losses of a loop over trees, and how many segments ran and states there were after each step."""
    params, draws = [Parameter(a) for a in arrays()], np.random.default_rng(1)
    found = []
    for i in range(steps):
        tree = grow(draws, int(draws.integers(3, 9)))
        loss = (read(params, tree, autograd.numpy.concatenate).tanh() ** 2).sum()
        loss.backward()
        look(i, tree, params, loss)
        with no_grad():
            for p in params:
                if p.grad is not None:
                    p -= 0.1 * p.grad
                    p.grad = None
        info = autograd.cache_info()
        found.append((loss.item(), info.segments, info.states))
    return found


def in_a_thread(work):
    """In a thread of its own, whose tries are empty."""
    found = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def wandering():
    return [root.habit.wanders for root in local.trace.tries._roots.values()]


def test_trees_run_in_pieces_and_have_their_gradients():
    def check(i, tree, params, loss):
        if i < 80:
            return
        values = [p.detach().numpy() for p in params]

        def plain(values):
            return (jnp.tanh(read(values, tree, jnp.concatenate)) ** 2).sum()

        for p, want in zip(params, jax.grad(plain)(values), strict=True):
            got = np.zeros(p.shape, np.float32) if p.grad is None else p.grad.numpy()
            np.testing.assert_allclose(got, want, rtol=2e-4, atol=1e-6)

    found = in_a_thread(lambda: learn(90, check))
    assert found[20][1] - found[0][1] <= 2 * 20 + 1  # a step and its update
    assert found[89][1] - found[69][1] > 4 * 20


def test_what_is_remembered_stops_growing():
    def work():
        found = learn(400)
        return found, wandering()

    found, wander = in_a_thread(work)
    early, late = found[30][2] - found[0][2], found[399][2] - found[369][2]
    assert any(wander)
    assert late < early / 5


def test_the_same_digits_every_time():
    one, two = (in_a_thread(lambda: [row[0] for row in learn(150)]) for _ in range(2))
    assert one == two


def test_lengths_do_not_wander():
    def work():
        w, draws = Parameter(np.eye(3, dtype=np.float32)), np.random.default_rng(2)
        for _ in range(100):
            h = tensor(np.ones(3, np.float32))
            for _ in range(int(draws.integers(5, 40))):
                h = (h @ w).tanh()
            h.sum().backward()
            w.grad = None
        return wandering()

    assert not any(in_a_thread(work))


def test_sizes_do_not_wander():
    def work():
        w, draws = Parameter(np.eye(3, dtype=np.float32)), np.random.default_rng(3)
        for n in draws.permutation(100):
            x = tensor(np.ones((n + 1, 3), np.float32))
            ((x @ w).tanh() @ w).sum().backward()
            w.grad = None
        return wandering()

    assert not any(in_a_thread(work))


def wanderer(seed, w, n, space=autograd.numpy):
    """Operations in an order that is drawn."""
    y = w * 2
    for kind in np.random.default_rng(seed).integers(0, 4, n):
        if kind == 0:
            y = y + w
        elif kind == 1:
            y = y * w
        else:
            y = (space.tanh, space.sin)[kind - 2](y)
    return y


def test_a_loop_that_becomes_regular_is_learned_whole():
    def work():
        w = Parameter(np.full(3, 0.5, np.float32))
        counts = []
        for i in range(260):
            wanderer(min(i, 80), w, 12).sum().item()
            counts.append(autograd.cache_info().segments)
        return counts

    counts = in_a_thread(work)
    assert counts[79] - counts[69] > 3 * 10
    assert counts[259] - counts[249] == 10


@pytest.mark.parametrize("create", [False, True])
def test_hooks_and_kept_gradients_in_pieces(create):
    def work():
        w = Parameter(np.full(3, 0.5, np.float32))
        for i in range(70):
            seen = []
            y = wanderer(i, w, 6)
            y.retain_grad()
            y.register_hook(lambda g, seen=seen: seen.append(g) or g * 2)
            wanderer(100 + i, y, 6).sum().backward(create_graph=create)
            w.grad.realize()
            if i >= 60:
                value, pull = jax.vjp(lambda v, i=i: wanderer(i, v, 6, jnp), w.numpy(force=True))
                want = jax.grad(lambda v, i=i: wanderer(100 + i, v, 6, jnp).sum())(value)
                for got, wanted in ((seen[0], want), (y.grad, 2 * want), (w.grad, pull(2 * want)[0])):
                    np.testing.assert_allclose(got.numpy(force=True), wanted, rtol=1e-4, atol=1e-6)
            w.grad = None
        return wandering()

    assert any(in_a_thread(work))


def test_habits():
    habit = _habit.Habit()
    for _ in range(_habit.SETTLED):
        assert not habit.wanders
        habit.runs, habit.slots = habit.runs + 1, habit.slots + 9
        habit.turned(4)
    assert habit.wanders
    straight = _habit.Habit()
    for _ in range(200):
        straight.runs, straight.slots = straight.runs + 1, straight.slots + 9
        assert not straight.turned(2)
