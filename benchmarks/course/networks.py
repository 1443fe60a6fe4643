"""Feed-forward networks for classes and pictures."""

from __future__ import annotations

import numpy as np

from .data import batch, blobs, floats, layers, zeros
from .libraries import Library


def _classes(seed: int, small: bool):
    """Data, batch size and sizes of layers for the classifiers of this file."""
    rng = np.random.default_rng(seed)
    n, size = (64, 16) if small else (2000, 64)
    x, labels = blobs(rng, n, 20, 5)
    return rng, x, labels, n, size, (20, 16, 5) if small else (20, 64, 64, 5)


def forward(params: list, x):
    """x through W1, b1, relu, W2, b2, relu, ..., without the last relu."""
    *hidden, w, b = params
    for v, c in zip(hidden[::2], hidden[1::2], strict=True):
        x = (x @ v + c).relu()
    return x @ w + b


def cross_entropy(scores, labels):
    return -scores.log_softmax(-1)[np.arange(len(labels)), labels].mean()


def mlp_sgd(lib: Library, small: bool):
    """A classifier by plain gradient descent."""
    rng, x, labels, n, size, sizes = _classes(10, small)
    params = [lib.parameter(a) for a in layers(rng, *sizes)]

    def step(i: int) -> float:
        at = batch(i, size, n)
        loss = cross_entropy(forward(params, lib.tensor(x[at])), labels[at])
        loss.backward()
        with lib.no_grad():
            for p in params:
                p -= 0.1 * p.grad
                p.grad = None
        return loss.item()

    return step


def mlp_momentum(lib: Library, small: bool):
    """With a velocity for each parameter."""
    rng, x, labels, n, size, sizes = _classes(11, small)
    params = [lib.parameter(a) for a in layers(rng, *sizes)]
    velocity = [lib.zeros_like(p) for p in params]

    def step(i: int) -> float:
        at = batch(i, size, n)
        loss = cross_entropy(forward(params, lib.tensor(x[at])), labels[at])
        loss.backward()
        with lib.no_grad():
            for k, p in enumerate(params):
                velocity[k] = 0.9 * velocity[k] + p.grad
                p -= 0.02 * velocity[k]
                p.grad = None
        return loss.item()

    return step


def mlp_adam(lib: Library, small: bool):
    """Adam by hand: the step t is a Python number, as are 1 - b1**t and 1 - b2**t."""
    rng, x, labels, n, size, sizes = _classes(12, small)
    params = [lib.parameter(a) for a in layers(rng, *sizes)]
    m, v = [lib.zeros_like(p) for p in params], [lib.zeros_like(p) for p in params]
    lr, b1, b2, eps = 3e-3, 0.9, 0.999, 1e-8

    def step(i: int) -> float:
        at, t = batch(i, size, n), i + 1
        loss = cross_entropy(forward(params, lib.tensor(x[at])), labels[at])
        loss.backward()
        with lib.no_grad():
            for k, p in enumerate(params):
                m[k] = b1 * m[k] + (1 - b1) * p.grad
                v[k] = b2 * v[k] + (1 - b2) * p.grad**2
                first, second = m[k] / (1 - b1**t), v[k] / (1 - b2**t)
                p -= lr * first / (second.sqrt() + eps)
                p.grad = None
        return loss.item()

    return step


def mlp_optimizer(lib: Library, small: bool):
    """With the library's own Adam."""
    rng, x, labels, n, size, sizes = _classes(13, small)
    params = [lib.parameter(a) for a in layers(rng, *sizes)]
    opt = lib.adam(params, 3e-3)

    def step(i: int) -> float:
        at = batch(i, size, n)
        opt.zero_grad()
        loss = cross_entropy(forward(params, lib.tensor(x[at])), labels[at])
        loss.backward()
        opt.step()
        return loss.item()

    return step


def mlp_dropout(lib: Library, small: bool):
    """A mask on the hidden layer at each step; every tenth step also looks at the whole data without it."""
    rng, x, labels, n, size, _ = _classes(14, small)
    width, every = (16, 4) if small else (128, 10)
    params = [lib.parameter(a) for a in layers(rng, 20, width, 5)]
    masks = np.random.default_rng(15)
    everything = lib.tensor(x)

    def logits(inputs, mask=None):
        w1, b1, w2, b2 = params
        h = (inputs @ w1 + b1).relu()
        if mask is not None:
            h = h * mask / 0.5
        return h @ w2 + b2

    def step(i: int) -> float:
        at = batch(i, size, n)
        mask = lib.tensor((masks.random((size, width)) < 0.5).astype(np.float32))
        loss = cross_entropy(logits(lib.tensor(x[at]), mask), labels[at])
        loss.backward()
        with lib.no_grad():
            for p in params:
                p -= 0.05 * p.grad
                p.grad = None
            if i % every == every - 1:
                right = (logits(everything).argmax(1) == lib.tensor(labels)).float().mean().item()
                return loss.item() + right
        return loss.item()

    return step


def mlp_batch_norm(lib: Library, small: bool):
    """Normalised over the batch, with running averages for later."""
    rng, x, labels, n, size, _ = _classes(16, small)
    width, every = (16, 4) if small else (64, 10)
    w1, w2 = lib.parameter(floats(rng, 20, width, scale=0.2)), lib.parameter(floats(rng, width, 5, scale=0.1))
    gamma, beta, b2 = lib.parameter(zeros(width) + 1), lib.parameter(zeros(width)), lib.parameter(zeros(5))
    running_mean, running_var = lib.tensor(zeros(width)), lib.tensor(zeros(width) + 1)

    def step(i: int) -> float:
        nonlocal running_mean, running_var
        at = batch(i, size, n)
        h = lib.tensor(x[at]) @ w1
        mean = h.mean(0)
        var = ((h - mean) ** 2).mean(0)
        with lib.no_grad():
            running_mean = 0.9 * running_mean + 0.1 * mean
            running_var = 0.9 * running_var + 0.1 * var
        h = gamma * (h - mean) / (var + 1e-5).sqrt() + beta
        loss = cross_entropy(h.relu() @ w2 + b2, labels[at])
        loss.backward()
        with lib.no_grad():
            for p in (w1, w2, gamma, beta, b2):
                p -= 0.1 * p.grad
                p.grad = None
        if i % every == every - 1:
            return loss.item() + running_mean.mean().item() + 0.1 * running_var.mean().item()
        return loss.item()

    return step


def autoencoder(lib: Library, small: bool):
    """Pictures of bumps through a layer of two numbers."""
    rng = np.random.default_rng(17)
    side, n, size = (6, 32, 8) if small else (16, 500, 50)
    grid = np.arange(side)
    centre = rng.uniform(0, side, (n, 2, 1))
    rows, columns = (np.exp(-((grid - centre[:, k]) ** 2) / side) for k in (0, 1))
    pictures = (rows[:, :, None] * columns[:, None, :]).reshape(n, side * side).astype(np.float32)
    hidden = 16 if small else 64
    encoder = [lib.parameter(a) for a in layers(rng, side * side, hidden, 2)]
    decoder = [lib.parameter(a) for a in layers(rng, 2, hidden, side * side)]
    opt = lib.adam([*encoder, *decoder], 3e-3)

    def step(i: int) -> float:
        x = lib.tensor(pictures[batch(i, size, n)])
        code = forward(encoder, x).tanh()
        loss = ((forward(decoder, code).sigmoid() - x) ** 2).sum(1).mean()
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss.item()

    return step


def lenet(lib: Library, small: bool):
    """Two convolutions with pooling, then two layers."""
    rng = np.random.default_rng(18)
    side, n, size, c1, c2 = (12, 16, 4, 2, 4) if small else (20, 256, 16, 6, 16)
    labels = rng.integers(0, 4, n)
    x = 0.3 * floats(rng, n, 1, side, side)
    for k in range(n):  # bars, whose direction and half of the picture are the class
        at = slice(side // 2 * (labels[k] % 2), side // 2 * (labels[k] % 2) + side // 3)
        x[k, 0][(at, slice(None)) if labels[k] < 2 else (slice(None), at)] += 1
    after = ((side - 4) // 2 - 2) // 2
    k1, k2 = (
        lib.parameter(floats(rng, c1, 1, 5, 5, scale=0.2)),
        lib.parameter(floats(rng, c2, c1, 3, 3, scale=0.1)),
    )
    b1, b2 = lib.parameter(zeros(c1, 1, 1)), lib.parameter(zeros(c2, 1, 1))
    head = [lib.parameter(a) for a in layers(rng, c2 * after * after, 32, 4)]

    def step(i: int) -> float:
        at = batch(i, size, n)
        h = lib.max_pool2d((lib.conv2d(lib.tensor(x[at]), k1) + b1).relu())
        h = lib.max_pool2d((lib.conv2d(h, k2) + b2).relu())
        loss = cross_entropy(forward(head, h.reshape(size, -1)), labels[at])
        loss.backward()
        with lib.no_grad():
            for p in (k1, b1, k2, b2, *head):
                p -= 0.05 * p.grad
                p.grad = None
        return loss.item()

    return step
