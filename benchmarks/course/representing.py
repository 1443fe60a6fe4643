"""Vectors for words, users, trees, pictures and graphs."""

from __future__ import annotations

import numpy as np

from .data import TEXT, batch, blobs, floats, layers, zeros
from .libraries import Library
from .networks import cross_entropy, forward


def skip_gram(lib: Library, small: bool):
    """Word vectors: neighbours are told from five words drawn at random."""
    size, width, negatives = (8, 4, 2) if small else (64, 32, 5)
    words = TEXT.replace(",", "").replace(";", "").replace(".", "").split()
    vocabulary = sorted(set(words))
    text = np.array([vocabulary.index(w) for w in words * 20])
    rng = np.random.default_rng(60)
    inner = lib.parameter(floats(rng, len(vocabulary), width, scale=0.3))
    outer = lib.parameter(floats(rng, len(vocabulary), width, scale=0.3))
    draws = np.random.default_rng(61)

    def step(i: int) -> float:
        at = draws.integers(2, len(text) - 2, size)
        centre = lib.tensor(text[at])
        context = lib.tensor(text[at + draws.choice([-2, -1, 1, 2], size)])
        others = lib.tensor(draws.integers(0, len(vocabulary), (size, negatives)))
        v = inner[centre]
        near = lib.log_sigmoid((v * outer[context]).sum(1))
        far = lib.log_sigmoid(-(v[:, None] * outer[others]).sum(2)).sum(1)
        loss = -(near + far).mean()
        loss.backward()
        with lib.no_grad():
            for p in (inner, outer):
                p -= 0.5 * p.grad
                p.grad = None
        return loss.item()

    return step


def matrix_factorisation(lib: Library, small: bool):
    """Ratings as products of a vector for the user and one for the film."""
    users, films, rank, n, size = (8, 6, 2, 64, 16) if small else (200, 100, 8, 5000, 256)
    rng = np.random.default_rng(62)
    who, what = rng.integers(0, users, n), rng.integers(0, films, n)
    tastes, kinds = floats(rng, users, 3), floats(rng, films, 3)
    ratings = (3 + (tastes[who] * kinds[what]).sum(1) + 0.1 * floats(rng, n)).astype(np.float32)
    u, v = (
        lib.parameter(floats(rng, users, rank, scale=0.3)),
        lib.parameter(floats(rng, films, rank, scale=0.3)),
    )
    bu, bv, mean = lib.parameter(zeros(users)), lib.parameter(zeros(films)), lib.parameter(zeros())

    def step(i: int) -> float:
        at = batch(i, size, n)
        a, b = lib.tensor(who[at]), lib.tensor(what[at])
        guess = (u[a] * v[b]).sum(1) + bu[a] + bv[b] + mean
        loss = ((guess - lib.tensor(ratings[at])) ** 2).mean() + 1e-4 * ((u**2).sum() + (v**2).sum())
        loss.backward()
        with lib.no_grad():
            for p in (u, v, bu, bv, mean):
                p -= 0.5 * p.grad
                p.grad = None
        return loss.item()

    return step


def tree_net(lib: Library, small: bool):
    """A formula of and, or, not is read from its leaves to its root: another tree each step."""
    most, width = (3, 6) if small else (10, 32)
    rng = np.random.default_rng(63)
    leaves = lib.parameter(floats(rng, 2, width))
    joins = {k: lib.parameter(floats(rng, 2 * width, width, scale=0.2)) for k in ("and", "or")}
    negate, out = (
        lib.parameter(floats(rng, width, width, scale=0.3)),
        lib.parameter(floats(rng, width, scale=0.3)),
    )
    params = [leaves, *joins.values(), negate, out]
    trees = np.random.default_rng(64)

    def grow(size: int):
        """A random tree with `size` leaves, and its truth."""
        if size == 1:
            bit = int(trees.integers(2))
            return bit, bit
        if trees.random() < 0.2:
            inside, truth = grow(size - 1)
            return ("not", inside), 1 - truth
        left = int(trees.integers(1, size))
        (a, x), (b, y) = grow(left), grow(size - left)
        kind = ("and", "or")[int(trees.integers(2))]
        return (kind, a, b), x & y if kind == "and" else x | y

    def read(tree):
        if isinstance(tree, int):
            return leaves[tree]
        if tree[0] == "not":
            return (read(tree[1]) @ negate).tanh()
        return (lib.cat([read(tree[1]), read(tree[2])], 0) @ joins[tree[0]]).tanh()

    def step(i: int) -> float:
        tree, truth = grow(int(trees.integers(2, most + 1)))
        score = read(tree) @ out
        loss = lib.softplus(-score if truth else score)
        loss.backward()
        with lib.no_grad():
            for p in params:
                if p.grad is not None:
                    p -= 0.1 * p.grad
                    p.grad = None
        return loss.item()

    return step


def contrastive(lib: Library, small: bool):
    """Two views of the same thing attract, all others repel."""
    n, size, width = (64, 6, 8) if small else (1000, 64, 64)
    rng = np.random.default_rng(65)
    x, _ = blobs(rng, n, 16, 10)
    params = [lib.parameter(a) for a in layers(rng, 16, width, 8)]
    opt = lib.adam(params, 3e-3)
    noise = np.random.default_rng(66)

    def embed(inputs):
        z = forward(params, lib.tensor(inputs + 0.2 * floats(noise, *inputs.shape)))
        return z / ((z**2).sum(1, keepdim=True) + 1e-8).sqrt()

    def step(i: int) -> float:
        inputs = x[batch(i, size, n)]
        a, b = embed(inputs), embed(inputs)
        likeness = a @ b.T / 0.2
        same = np.arange(size)
        loss = (cross_entropy(likeness, same) + cross_entropy(likeness.T, same)) / 2
        opt.zero_grad()
        loss.backward()
        opt.step()
        return loss.item()

    return step


def soft_kmeans(lib: Library, small: bool):
    """Centres that are pulled by points in proportion to their nearness; the temperature falls."""
    n, clusters = (40, 3) if small else (600, 6)
    rng = np.random.default_rng(67)
    points, _ = blobs(rng, n, 2, clusters)
    x, centres = lib.tensor(points), lib.parameter(floats(rng, clusters, 2))
    temperature = 2.0

    def step(i: int) -> float:
        nonlocal temperature
        distance = ((x[:, None] - centres[None]) ** 2).sum(2)
        share = (-distance / temperature).softmax(-1)
        loss = (share.detach() * distance).sum(1).mean()
        loss.backward()
        with lib.no_grad():
            centres.sub_(0.5 * centres.grad)
        centres.grad = None
        temperature = max(0.1, 0.98 * temperature)
        return loss.item()

    return step


def graph_network(lib: Library, small: bool):
    """Classes of the nodes of a graph, from a few that are known, by averaging over neighbours."""
    n, width = (12, 6) if small else (100, 16)
    rng = np.random.default_rng(68)
    labels = np.arange(n) % 3
    same = labels[:, None] == labels
    edges = np.triu(rng.random((n, n)) < np.where(same, 0.2, 0.03), 1)
    near = (edges | edges.T | np.eye(n, dtype=bool)).astype(np.float32)
    degree = near.sum(1)
    a = lib.tensor(near / np.sqrt(degree[:, None] * degree))
    x = lib.tensor(floats(rng, n, 8) + np.eye(3, 8, dtype=np.float32)[labels])
    w1, w2 = lib.parameter(floats(rng, 8, width, scale=0.3)), lib.parameter(floats(rng, width, 3, scale=0.3))
    known = lib.tensor(rng.choice(n, n // 3, replace=False))
    answers = lib.tensor(labels)
    opt = lib.adam([w1, w2], 1e-2)

    def step(i: int) -> float:
        scores = a @ (a @ x @ w1).relu() @ w2
        loss = cross_entropy(scores[known], answers[known]) + 5e-4 * (w1**2).sum()
        opt.zero_grad()
        loss.backward()
        opt.step()
        if i % 5 == 4:
            return loss.item() + (scores.argmax(1) == answers).float().mean().item()
        return loss.item()

    return step
