"""Derivatives inside the program, and loops whose length is in the data."""

from __future__ import annotations

import numpy as np

from .data import blobs, floats, layers, zeros
from .libraries import Library


def tanh_net(params: list, x):
    *hidden, w, b = params
    for v, c in zip(hidden[::2], hidden[1::2], strict=True):
        x = (x @ v + c).tanh()
    return x @ w + b


def maml(lib: Library, small: bool):
    """Weights from which one step on a new sine is a good one: the gradient of a step."""
    tasks, shots, width = (2, 4, 8) if small else (4, 10, 40)
    rng = np.random.default_rng(70)
    params = [lib.parameter(a) for a in layers(rng, 1, width, width, 1)]
    opt = lib.adam(params, 1e-3)
    draws = np.random.default_rng(71)

    def step(i: int) -> float:
        total = 0
        for _ in range(tasks):
            height, phase = draws.uniform(0.5, 2), draws.uniform(0, np.pi)
            x = draws.uniform(-3, 3, (2 * shots, 1)).astype(np.float32)
            y = (height * np.sin(x + phase)).astype(np.float32)
            seen, asked = lib.tensor(x[:shots]), lib.tensor(x[shots:])
            error = ((tanh_net(params, seen) - lib.tensor(y[:shots])) ** 2).mean()
            slopes = lib.grad(error, params, create_graph=True)
            adapted = [p - 0.05 * g for p, g in zip(params, slopes, strict=True)]
            total = total + ((tanh_net(adapted, asked) - lib.tensor(y[shots:])) ** 2).mean()
        loss = total / tasks
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss.item()

    return step


def physics_informed(lib: Library, small: bool):
    """u'' = -pi^2 sin(pi x) with u = 0 at both ends: second derivatives in the loss."""
    points, width = (8, 8) if small else (64, 32)
    rng = np.random.default_rng(72)
    params = [lib.parameter(a) for a in layers(rng, 1, width, width, 1)]
    opt = lib.adam(params, 2e-3)
    ends = lib.tensor(np.array([[0], [1]], np.float32))
    draws = np.random.default_rng(73)

    def step(i: int) -> float:
        at = draws.random((points, 1)).astype(np.float32)
        x = lib.parameter(at)
        (du,) = lib.grad(tanh_net(params, x).sum(), [x], create_graph=True)
        (ddu,) = lib.grad(du.sum(), [x], create_graph=True)
        force = lib.tensor((-(np.pi**2) * np.sin(np.pi * at)).astype(np.float32))
        loss = ((ddu - force) ** 2).mean() + 10 * (tanh_net(params, ends) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss.item()

    return step


def newton(lib: Library, small: bool):
    """Logistic regression by Newton steps: conjugate gradients on products with the Hessian, until they are exact."""
    n, width, turns = (30, 4, 3) if small else (400, 20, 10)
    rng = np.random.default_rng(74)
    points, labels = blobs(rng, n, width, 2)
    x, sign = lib.tensor(points), lib.tensor((2 * labels - 1).astype(np.float32))
    w = lib.parameter(floats(rng, width, scale=0.5))
    fresh = np.random.default_rng(75)

    def step(i: int) -> float:
        loss = lib.softplus(-sign * (x @ w)).mean() + 0.05 * (w @ w)
        (g,) = lib.grad(loss, [w], create_graph=True)
        r = -g.detach()
        direction, p = lib.zeros_like(r), r
        rr = r @ r
        start = rr.item()
        for _ in range(turns):
            if rr.item() < 1e-4 * start:
                break
            (hp,) = lib.grad(g @ p, [w], retain_graph=True)
            alpha = rr / (p @ hp)
            direction = direction + alpha * p
            r = r - alpha * hp
            rr, before = r @ r, rr
            p = r + rr / before * p
        with lib.no_grad():
            w.add_(direction)
            if i % 4 == 3:  # somewhere else, or there would be nothing left to do
                w.copy_(lib.tensor(floats(fresh, width, scale=0.5)))
        return loss.item()

    return step


def neural_ode(lib: Library, small: bool):
    """Euler steps that shorten where the field is strong: their number is in the data."""
    size, width = (4, 8) if small else (32, 32)
    rng = np.random.default_rng(76)
    params = [lib.parameter(a) for a in layers(rng, 2, width, 2)]
    opt = lib.adam(params, 3e-3)
    draws = np.random.default_rng(77)

    def step(i: int) -> float:
        begin = draws.uniform(0.5, 2) * floats(draws, size, 2)
        angle = 1.0
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32)
        x, t = lib.tensor(begin), 0.0
        while t < 1:
            speed = tanh_net(params, x)
            h = min(0.3 / (1 + speed.abs().max().item()), 1 - t)
            x = x + h * speed
            t += h + 1e-9
        loss = ((x - lib.tensor(begin @ turn)) ** 2).mean()
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss.item()

    return step


def while_loop(lib: Library, small: bool):
    """Doubled until it is long enough, then one of two branches: conditions on tensors."""
    rng = np.random.default_rng(78)
    a = lib.parameter(floats(rng, 10))
    scales = np.random.default_rng(79)

    def f(x):
        b = x * 2
        while b.norm() < 100:
            b = b * 2
        return b if b.sum() > 0 else 10 * b

    def step(i: int) -> float:
        x = a * float(scales.uniform(0.01, 1))
        loss = (f(x) ** 2).mean() * 1e-4
        loss.backward()
        with lib.no_grad():
            slope = a.grad.norm().item()
            a.sub_(0.01 * a.grad / slope)
        a.grad = None
        return loss.item()

    return step


def deep_equilibrium(lib: Library, small: bool):
    """A layer that is repeated until nothing moves; the gradient goes through its last three turns."""
    size, width = (4, 8) if small else (32, 32)
    rng = np.random.default_rng(80)
    w, v = (
        lib.parameter(floats(rng, width, width, scale=0.6 * width**-0.5)),
        lib.parameter(floats(rng, 4, width, scale=0.5)),
    )
    b, out = lib.parameter(zeros(width)), lib.parameter(floats(rng, width, 1, scale=0.3))
    draws = np.random.default_rng(81)

    def step(i: int) -> float:
        inputs = floats(draws, size, 4)
        x = lib.tensor(inputs)
        with lib.no_grad():
            z = lib.tensor(zeros(size, width))
            for _ in range(50):
                after = (z @ w + x @ v + b).tanh()
                moved = (after - z).abs().max()
                z = after
                if moved < 1e-2:
                    break
        for _ in range(3):
            z = (z @ w + x @ v + b).tanh()
        y = lib.tensor(np.prod(inputs[:, :2], 1, keepdims=True))
        loss = ((z @ out - y) ** 2).mean()
        loss.backward()
        with lib.no_grad():
            for p in (w, v, b, out):
                p -= 0.05 * p.grad
                p.grad = None
        return loss.item()

    return step
