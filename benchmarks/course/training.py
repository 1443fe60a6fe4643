"""What a training loop does besides a step: schedules, clipping, accumulation, searches, early stopping."""

from __future__ import annotations

import numpy as np

from .data import batch, blobs, floats, layers, zeros
from .libraries import Library
from .networks import cross_entropy, forward


def _task(seed: int, small: bool):
    rng = np.random.default_rng(seed)
    n, size, width = (64, 16, 8) if small else (1500, 50, 48)
    x, labels = blobs(rng, n, 12, 4)
    return x, labels, n, size, layers(rng, 12, width, 4)


def rate_schedule(lib: Library, small: bool):
    """Warm up, then lr / t: the rate is another Python number each step, and so is a decay."""
    x, labels, n, size, arrays = _task(90, small)
    params = [lib.parameter(a) for a in arrays]

    def step(i: int) -> float:
        t = i + 1
        lr = 0.5 * t / 10 if t <= 10 else 5 / t
        at = batch(i, size, n)
        loss = cross_entropy(forward(params, lib.tensor(x[at])), labels[at])
        loss.backward()
        with lib.no_grad():
            for p in params:
                p *= 1 - 0.001 * lr
                p -= lr * p.grad
                p.grad = None
        return loss.item()

    return step


def gradient_clipping(lib: Library, small: bool):
    """The gradient is shortened if its norm is above 0.5: a Python `if` on a tensor."""
    x, labels, n, size, arrays = _task(91, small)
    params = [lib.parameter(a) for a in arrays]

    def step(i: int) -> float:
        at = batch(i, size, n)
        loss = cross_entropy(forward(params, lib.tensor(x[at])), labels[at])
        loss.backward()
        norm = sum((p.grad**2).sum() for p in params).sqrt()
        if norm > 0.5:
            for p in params:
                p.grad *= 0.5 / norm.item()
        with lib.no_grad():
            for p in params:
                p -= 0.3 * p.grad
                p.grad = None
        return loss.item()

    return step


def hook_clipping(lib: Library, small: bool):
    """Each gradient is clipped by a hook, on its way."""
    x, labels, n, size, arrays = _task(92, small)
    params = [lib.parameter(a) for a in arrays]
    for p in params:
        p.register_hook(lambda g: g.clamp(-0.01, 0.01))

    def step(i: int) -> float:
        at = batch(i, size, n)
        loss = cross_entropy(forward(params, lib.tensor(x[at])), labels[at])
        loss.backward()
        with lib.no_grad():
            for p in params:
                p -= p.grad
                p.grad = None
        return loss.item()

    return step


def accumulation(lib: Library, small: bool):
    """Four small backwards for each step; the averages of the weights are kept."""
    x, labels, n, size, arrays = _task(93, small)
    params = [lib.parameter(a) for a in arrays]
    averages = [p.detach().clone() for p in params]

    def step(i: int) -> float:
        total = 0.0
        for k in range(4):
            at = batch(4 * i + k, size // 4, n)
            loss = cross_entropy(forward(params, lib.tensor(x[at])), labels[at]) / 4
            loss.backward()
            total += loss.item()
        with lib.no_grad():
            for p, average in zip(params, averages, strict=True):
                p -= 0.2 * p.grad
                p.grad = None
                average.mul_(0.9).add_(0.1 * p)
        if i % 5 == 4:
            with lib.no_grad():
                return total + cross_entropy(forward(averages, lib.tensor(x)), labels).item()
        return total

    return step


def line_search(lib: Library, small: bool):
    """The rate is halved until the loss has fallen enough."""
    rng = np.random.default_rng(94)
    inputs = floats(rng, 20 if small else 200, 10)
    x, y = lib.tensor(inputs), lib.tensor(np.sin(inputs[:, :1]) * inputs[:, 1:2])
    params = [lib.parameter(a) for a in layers(rng, 10, 8 if small else 32, 1)]

    def loss_of(weights):
        w1, b1, w2, b2 = weights
        return (((x @ w1 + b1).tanh() @ w2 + b2 - y) ** 2).mean()

    def step(i: int) -> float:
        loss = loss_of(params)
        loss.backward()
        rate = 2.0
        with lib.no_grad():
            slope = sum((p.grad**2).sum() for p in params)
            while True:
                tried = [p - rate * p.grad for p in params]
                if rate < 1e-3 or loss_of(tried) < loss - 0.3 * rate * slope:
                    break
                rate = rate / 2
            for p, q in zip(params, tried, strict=True):
                p.copy_(q)
                p.grad = None
        return loss.item()

    return step


def early_stopping(lib: Library, small: bool):
    """A look at other data now and then: the best weights are kept, and after three worse looks we go back to them."""
    x, labels, n, size, arrays = _task(95, small)
    params = [lib.parameter(a) for a in arrays]
    best, kept, patience = float("inf"), [p.detach().clone() for p in params], 3
    every, held = (2, 16) if small else (10, 300)

    def step(i: int) -> float:
        nonlocal best, kept, patience
        at = batch(i, size, n - held)
        loss = cross_entropy(forward(params, lib.tensor(x[at])), labels[at])
        loss.backward()
        with lib.no_grad():
            for p in params:
                p -= 0.3 * p.grad
                p.grad = None
        if i % every == every - 1:
            with lib.no_grad():
                other = cross_entropy(forward(params, lib.tensor(x[-held:])), labels[-held:]).item()
                if other < best:
                    best, kept, patience = other, [p.detach().clone() for p in params], 3
                else:
                    patience -= 1
                if patience == 0:
                    patience = 3
                    for p, q in zip(params, kept, strict=True):
                        p.copy_(q)
            return loss.item() + other
        return loss.item()

    return step


def adversarial(lib: Library, small: bool):
    """Each batch is moved along the sign of its gradient, and learned as well."""
    x, labels, n, size, arrays = _task(96, small)
    params = [lib.parameter(a) for a in arrays]

    def step(i: int) -> float:
        at = batch(i, size, n)
        inputs = lib.parameter(x[at])
        clean = cross_entropy(forward(params, inputs), labels[at])
        clean.backward()
        moved = inputs.detach() + 0.1 * inputs.grad.sign()
        hard = cross_entropy(forward(params, moved), labels[at])
        hard.backward()
        with lib.no_grad():
            for p in params:
                p -= 0.1 * p.grad
                p.grad = None
        return clean.item() + hard.item()

    return step


def straight_through(lib: Library, small: bool):
    """Weights of -1 and 1 in use, weights between them in memory: the gradient passes the sign."""
    x, labels, n, size, arrays = _task(97, small)
    params = [lib.parameter(a) for a in arrays]
    width = len(arrays[1])
    gain = lib.parameter(zeros(width) + 0.3)

    def binary(w):
        return w + (w.sign() - w).detach()

    def step(i: int) -> float:
        at = batch(i, size, n)
        w1, b1, w2, b2 = params
        h = gain * (lib.tensor(x[at]) @ binary(w1)) + b1
        loss = cross_entropy(h.clamp(-1, 1) @ binary(w2) / width**0.5 + b2, labels[at])
        loss.backward()
        with lib.no_grad():
            for p in (*params, gain):
                p -= 0.05 * p.grad
                p.clamp_(-1, 1)
                p.grad = None
        return loss.item()

    return step
