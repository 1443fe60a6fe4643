"""Networks that read a sequence step by step."""

from __future__ import annotations

import numpy as np

from .data import characters, floats, zeros
from .libraries import Library


def _windows(small: bool, batch: int, window: int):
    """Texts side by side, and a function that gives the characters of the i-th window and those that follow."""
    text, vocabulary = characters()
    span = len(text) // batch
    rows = text[: span * batch].reshape(batch, span)

    def at(i: int):
        start = i * window % (span - window - 1)
        return rows[:, start : start + window], rows[:, start + 1 : start + window + 1]

    return at, vocabulary


def char_rnn(lib: Library, small: bool):
    """Next characters; the state goes on from window to window, the gradient does not."""
    batch, window, width = (4, 4, 8) if small else (16, 20, 64)
    at, vocabulary = _windows(small, batch, window)
    rng = np.random.default_rng(20)
    wx, wh = (
        lib.parameter(floats(rng, vocabulary, width, scale=0.3)),
        lib.parameter(floats(rng, width, width, scale=0.1)),
    )
    b, wy, by = (
        lib.parameter(zeros(width)),
        lib.parameter(floats(rng, width, vocabulary, scale=0.1)),
        lib.parameter(zeros(vocabulary)),
    )
    h = lib.tensor(zeros(batch, width))

    def step(i: int) -> float:
        nonlocal h
        x, y = at(i)
        h = h.detach()
        loss = 0
        for t in range(window):
            h = (wx[x[:, t]] + h @ wh + b).tanh()
            logp = (h @ wy + by).log_softmax(-1)
            loss = loss - logp[np.arange(batch), y[:, t]].mean()
        loss = loss / window
        loss.backward()
        with lib.no_grad():
            for p in (wx, wh, b, wy, by):
                p -= 0.3 * p.grad.clamp(-1, 1)
                p.grad = None
        return loss.item()

    return step


def gru(lib: Library, small: bool):
    """The adding problem: the sum of the two marked numbers of a sequence."""
    batch, length, width = (4, 5, 8) if small else (32, 30, 32)
    rng = np.random.default_rng(21)
    wz, wr, wh = (lib.parameter(floats(rng, width + 2, width, scale=0.2)) for _ in range(3))
    bz, br, bh = (lib.parameter(zeros(width)) for _ in range(3))
    out = lib.parameter(floats(rng, width, 1, scale=0.2))
    params = [wz, wr, wh, bz, br, bh, out]
    opt = lib.adam(params, 3e-3)
    numbers = np.random.default_rng(22)

    def step(i: int) -> float:
        values = numbers.random((batch, length))
        marks = np.zeros((batch, length))
        marks[:, 0] = marks[np.arange(batch), numbers.integers(1, length, batch)] = 1
        x = lib.tensor(np.stack([values, marks], 2).astype(np.float32))
        y = lib.tensor((values * marks).sum(1).astype(np.float32))
        h = lib.tensor(zeros(batch, width))
        for t in range(length):
            both = lib.cat([x[:, t], h], 1)
            z, r = (both @ wz + bz).sigmoid(), (both @ wr + br).sigmoid()
            candidate = (lib.cat([x[:, t], r * h], 1) @ wh + bh).tanh()
            h = (1 - z) * h + z * candidate
        loss = (((h @ out)[:, 0] - y) ** 2).mean()
        loss.backward()
        opt.step()
        opt.zero_grad()
        return loss.item()

    return step


def char_lstm(lib: Library, small: bool):
    """Next characters, 50 at a time; gradients clipped by their norm."""
    batch, window, width = (2, 4, 8) if small else (8, 50, 64)
    at, vocabulary = _windows(small, batch, window)
    rng = np.random.default_rng(23)
    embedding = lib.parameter(floats(rng, vocabulary, width, scale=0.3))
    w, b = lib.parameter(floats(rng, 2 * width, 4 * width, scale=0.1)), lib.parameter(zeros(4 * width))
    wy, by = lib.parameter(floats(rng, width, vocabulary, scale=0.1)), lib.parameter(zeros(vocabulary))
    params = [embedding, w, b, wy, by]

    def cell(x, h, c):
        gates = lib.cat([x, h], 1) @ w + b
        i, f = gates[:, :width].sigmoid(), (gates[:, width : 2 * width] + 1).sigmoid()
        g, o = gates[:, 2 * width : 3 * width].tanh(), gates[:, 3 * width :].sigmoid()
        c = f * c + i * g
        return o * c.tanh(), c

    def step(i: int) -> float:
        x, y = at(i)
        h = c = lib.tensor(zeros(batch, width))
        states = []
        for t in range(window):
            h, c = cell(embedding[x[:, t]], h, c)
            states.append(h)
        logp = (lib.stack(states, 1) @ wy + by).log_softmax(-1)
        loss = -logp[np.arange(batch)[:, None], np.arange(window), y].mean()
        loss.backward()
        with lib.no_grad():
            norm = sum((p.grad**2).sum() for p in params).sqrt()
            if norm > 0.5:
                for p in params:
                    p.grad *= 0.5 / norm
            for p in params:
                p -= 1.0 * p.grad
                p.grad = None
        return loss.item()

    return step


def rnn_lengths(lib: Library, small: bool):
    """One sequence a step, each of another length: does it rise more often than it falls?"""
    shortest, longest, width = (2, 5, 8) if small else (5, 60, 32)
    rng = np.random.default_rng(24)
    wx, wh = (
        lib.parameter(floats(rng, 4, width, scale=0.5)),
        lib.parameter(floats(rng, width, width, scale=0.15)),
    )
    b, out = lib.parameter(zeros(width)), lib.parameter(floats(rng, width, scale=0.2))
    sequences = np.random.default_rng(25)

    def step(i: int) -> float:
        length = int(sequences.integers(shortest, longest + 1))
        values = floats(sequences, length, 4)
        y = float(np.sign(values[:, 0].sum()))
        xs = lib.tensor(values)
        h = lib.tensor(zeros(width))
        for x in xs:
            h = (x @ wx + h @ wh + b).tanh()
        loss = lib.softplus(-y * (h @ out))
        loss.backward()
        with lib.no_grad():
            for p in (wx, wh, b, out):
                p -= 0.05 * p.grad
                p.grad = None
        return loss.item()

    return step


def seq2seq(lib: Library, small: bool):
    """Digits reversed by an encoder and a decoder, which reads its own guesses until it says stop."""
    most, width = (4, 8) if small else (8, 48)
    rng = np.random.default_rng(26)
    stop, start, tokens = 10, 11, 12
    embedding = lib.parameter(floats(rng, tokens, width, scale=0.3))
    encoder, decoder = (lib.parameter(floats(rng, 2 * width, width, scale=0.15)) for _ in range(2))
    out, bias = lib.parameter(floats(rng, width, tokens, scale=0.3)), lib.parameter(zeros(tokens))
    params = [embedding, encoder, decoder, out, bias]
    digits = np.random.default_rng(27)

    def step(i: int) -> float:
        source = digits.integers(0, 10, int(digits.integers(2, most + 1)))
        target = [*source[::-1], stop]
        h = lib.tensor(zeros(width))
        for token in source:
            h = (lib.cat([embedding[token], h], 0) @ encoder).tanh()
        token, losses = start, []
        while token != stop and len(losses) < len(target):
            h = (lib.cat([embedding[token], h], 0) @ decoder).tanh()
            scores = h @ out + bias
            losses.append(-scores.log_softmax(-1)[int(target[len(losses)])])
            token = int(scores.argmax())
        loss = sum(losses) / len(losses)
        loss.backward()
        with lib.no_grad():
            for p in params:
                p -= 0.1 * p.grad
                p.grad = None
        return loss.item()

    return step
