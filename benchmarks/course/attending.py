"""Attention and a transformer."""

from __future__ import annotations

import numpy as np

from .data import characters, floats, zeros
from .libraries import Library
from .networks import cross_entropy


def attention(lib: Library, small: bool):
    """A query looks for its key among the pairs of a sequence and reports the value."""
    batch, length, width, classes = (4, 5, 8, 4) if small else (32, 20, 32, 8)
    rng = np.random.default_rng(30)
    wq, wk, wv = (lib.parameter(floats(rng, 2 * classes, width, scale=0.3)) for _ in range(3))
    out = lib.parameter(floats(rng, width, classes, scale=0.3))
    params = [wq, wk, wv, out]
    opt = lib.adam(params, 1e-2)
    pairs = np.random.default_rng(31)
    eye = np.eye(classes, dtype=np.float32)

    def step(i: int) -> float:
        keys, values = pairs.integers(0, classes, (2, batch, length))
        wanted = pairs.integers(0, length, batch)
        asked = keys[np.arange(batch), wanted]
        x = np.concatenate([eye[keys], eye[values]], 2)
        x[np.arange(batch), wanted, :classes] *= 2  # told apart from others of the same key
        labels = values[np.arange(batch), wanted]
        x, q = lib.tensor(x), lib.tensor(np.concatenate([eye[asked], 0 * eye[asked]], 1))
        scores = ((q @ wq)[:, None] * (x @ wk)).sum(2) / width**0.5
        weights = scores.softmax(-1)
        read = (weights[:, :, None] * (x @ wv)).sum(1)
        loss = cross_entropy(read @ out, labels)
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss.item()

    return step


def attention_lengths(lib: Library, small: bool):
    """Self-attention over one sequence a step, each of another length: which of four tokens is there most?"""
    shortest, longest, width = (2, 5, 8) if small else (5, 60, 32)
    rng = np.random.default_rng(32)
    embedding, places = (
        lib.parameter(floats(rng, 4, width, scale=0.5)),
        lib.parameter(floats(rng, 60, width, scale=0.1)),
    )
    wq, wk, wv = (lib.parameter(floats(rng, width, width, scale=0.2)) for _ in range(3))
    out = lib.parameter(floats(rng, width, 4, scale=0.2))
    sequences = np.random.default_rng(33)

    def step(i: int) -> float:
        length = int(sequences.integers(shortest, longest + 1))
        tokens = sequences.integers(0, 4, length)
        label = int(np.bincount(tokens, minlength=4).argmax())
        x = embedding[lib.tensor(tokens)] + places[:length]
        q, k, v = x @ wq, x @ wk, x @ wv
        h = ((q @ k.T) / width**0.5).softmax(-1) @ v + x
        loss = -(h.mean(0) @ out).log_softmax(-1)[label]
        loss.backward()
        with lib.no_grad():
            for p in (embedding, places, wq, wk, wv, out):
                p -= 0.05 * p.grad
                p.grad = None
        return loss.item()

    return step


def transformer(lib: Library, small: bool):
    """One block with four heads over characters: causal, with dropout."""
    batch, length, width, heads = (2, 4, 8, 2) if small else (8, 32, 64, 4)
    text, vocabulary = characters()
    rng = np.random.default_rng(34)
    embedding, places = floats(rng, vocabulary, width, scale=0.1), floats(rng, length, width, scale=0.1)
    qkv, out = floats(rng, width, 3 * width, scale=width**-0.5), floats(rng, width, width, scale=width**-0.5)
    up, down = floats(rng, width, 4 * width, scale=width**-0.5), floats(rng, 4 * width, width, scale=0.05)
    gains = [zeros(width) + 1 for _ in range(3)]
    arrays = [embedding, places, qkv, out, up, down, *gains, floats(rng, width, vocabulary, scale=0.1)]
    params = [lib.parameter(a) for a in arrays]
    embedding, places, qkv, out, up, down, g1, g2, g3, head = params
    future = lib.tensor(np.triu(np.full((length, length), -1e9, np.float32), 1))
    opt = lib.adam(params, 3e-3)
    masks = np.random.default_rng(35)

    def norm(x, gain):
        x = x - x.mean(-1, keepdim=True)
        return gain * x / ((x**2).mean(-1, keepdim=True) + 1e-5).sqrt()

    def dropout(x):
        return x * lib.tensor(
            (masks.random((batch, length, width)) < 0.9).astype(np.float32) / np.float32(0.9)
        )

    def step(i: int) -> float:
        starts = masks.integers(0, len(text) - length - 1, batch)[:, None]
        x, y = text[starts + np.arange(length)], text[starts + np.arange(length) + 1]
        h = embedding[lib.tensor(x)] + places
        q, k, v = (
            a.reshape(batch, length, heads, width // heads).swapaxes(1, 2)
            for a in (norm(h, g1) @ qkv).reshape(batch, length, 3, width).swapaxes(0, 2).swapaxes(1, 2)
        )
        weights = (q @ k.swapaxes(2, 3) / (width // heads) ** 0.5 + future).softmax(-1)
        h = h + dropout((weights @ v).swapaxes(1, 2).reshape(batch, length, width) @ out)
        h = h + dropout(lib.gelu(norm(h, g2) @ up) @ down)
        logp = (norm(h, g3) @ head).log_softmax(-1)
        loss = -logp[np.arange(batch)[:, None], np.arange(length), y].mean()
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss.item()

    return step
