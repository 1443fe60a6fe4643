"""Linear models, updated by hand."""

from __future__ import annotations

import numpy as np

from .data import batch, blobs, floats, zeros
from .libraries import Library


def linear_regression(lib: Library, small: bool):
    """w -= lr * w.grad, on all the data."""
    rng = np.random.default_rng(1)
    inputs = floats(rng, 32 if small else 256, 8)
    x = lib.tensor(inputs)
    y = lib.tensor(inputs @ floats(rng, 8, 1) + 3 + 0.1 * floats(rng, len(inputs), 1))
    w, b = lib.parameter(zeros(8, 1)), lib.parameter(zeros(1))
    lr = 0.1

    def step(i: int) -> float:
        nonlocal w, b
        loss = ((x @ w + b - y) ** 2).mean()
        loss.backward()
        with lib.no_grad():
            w -= lr * w.grad
            b -= lr * b.grad
        w.grad = None
        b.grad = None
        return loss.item()

    return step


def polynomial_regression(lib: Library, small: bool):
    """A cubic through a sine, term by term; gradients zeroed in place."""
    rng = np.random.default_rng(2)
    points = np.linspace(-2, 2, 50 if small else 400, dtype=np.float32)
    x, y = lib.tensor(points), lib.tensor(np.sin(points) + 0.05 * floats(rng, len(points)))
    a, b, c, d = (lib.parameter(floats(rng)) for _ in range(4))

    def step(i: int) -> float:
        loss = ((a + b * x + c * x**2 + d * x**3 - y) ** 2).mean()
        loss.backward()
        with lib.no_grad():
            for p in (a, b, c, d):
                p -= 0.01 * p.grad
                p.grad.zero_()
        return loss.item()

    return step


def logistic_regression(lib: Library, small: bool):
    """Cross entropy written out, on batches."""
    rng = np.random.default_rng(3)
    n, size = (64, 16) if small else (1000, 50)
    x, labels = blobs(rng, n, 10, 2)
    y = labels.astype(np.float32)
    w, b = lib.parameter(floats(rng, 10, scale=0.1)), lib.parameter(zeros())

    def step(i: int) -> float:
        at = batch(i, size, n)
        xb, yb = lib.tensor(x[at]), lib.tensor(y[at])
        p = 1 / (1 + (-(xb @ w + b)).exp())
        loss = -(yb * (p + 1e-7).log() + (1 - yb) * (1 - p + 1e-7).log()).mean()
        loss.backward()
        with lib.no_grad():
            for q in (w, b):
                q -= 0.1 * q.grad
                q.grad = None
        return loss.item()

    return step


def softmax_regression(lib: Library, small: bool):
    """Classes by a softmax written out, and the accuracy."""
    rng = np.random.default_rng(4)
    n, size, classes = (64, 16, 4) if small else (1000, 100, 10)
    x, labels = blobs(rng, n, 20, classes)
    w, b = lib.parameter(floats(rng, 20, classes, scale=0.1)), lib.parameter(zeros(classes))
    right = 0.0

    def step(i: int) -> float:
        nonlocal right
        at = batch(i, size, n)
        xb, yb = lib.tensor(x[at]), lib.tensor(labels[at])
        scores = xb @ w + b
        e = (scores - scores.max()).exp()
        p = e / e.sum(1, keepdim=True)
        loss = -p[np.arange(size), yb].log().mean()
        loss.backward()
        with lib.no_grad():
            right = (p.argmax(1) == yb).float().mean().item()
            for q in (w, b):
                q -= 0.2 * q.grad
                q.grad = None
        return loss.item() + right

    return step


def ridge(lib: Library, small: bool):
    """A penalty on the squares of the weights."""
    rng = np.random.default_rng(5)
    inputs = floats(rng, 40 if small else 300, 30)
    x, y = lib.tensor(inputs), lib.tensor(inputs[:, 0] - 2 * inputs[:, 1] + floats(rng, len(inputs)))
    w = lib.parameter(floats(rng, 30, scale=0.1))

    def step(i: int) -> float:
        loss = ((x @ w - y) ** 2).mean() + 0.1 * (w**2).sum()
        loss.backward()
        with lib.no_grad():
            w.sub_(0.05 * w.grad)
        w.grad = None
        return loss.item()

    return step


def lasso(lib: Library, small: bool):
    """A penalty on the absolute values, and how many weights are nearly zero."""
    rng = np.random.default_rng(6)
    inputs = floats(rng, 40 if small else 300, 30)
    x, y = lib.tensor(inputs), lib.tensor(inputs[:, 0] - 2 * inputs[:, 1] + 0.1 * floats(rng, len(inputs)))
    w = lib.parameter(floats(rng, 30, scale=0.1))

    def step(i: int) -> float:
        loss = ((x @ w - y) ** 2).mean() + 0.2 * w.abs().sum()
        loss.backward()
        with lib.no_grad():
            w.sub_(0.02 * w.grad)
            few = (w.abs() < 1e-2).sum().item()
        w.grad = None
        return loss.item() + 0.001 * few

    return step


def svm_hinge(lib: Library, small: bool):
    """Support vectors by subgradients of the hinge."""
    rng = np.random.default_rng(7)
    n, size = (64, 16) if small else (600, 60)
    x, labels = blobs(rng, n, 5, 2)
    y = (2 * labels - 1).astype(np.float32)
    w, b = lib.parameter(floats(rng, 5, scale=0.1)), lib.parameter(zeros())

    def step(i: int) -> float:
        at = batch(i, size, n)
        xb, yb = lib.tensor(x[at]), lib.tensor(y[at])
        margin = yb * (xb @ w + b)
        loss = (1 - margin).clamp(min=0).mean() + 0.01 * (w @ w)
        loss.backward()
        with lib.no_grad():
            for p in (w, b):
                p -= 0.05 * p.grad
                p.grad = None
        return loss.item()

    return step
