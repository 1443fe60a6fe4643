"""Data made by hand, from NumPy's seeded generators: the same numbers for both libraries."""

from __future__ import annotations

import itertools

import numpy as np

TEXT = (
    "the gradient points uphill, so we take a step the other way; the step is small, because the slope is only "
    "what the hill looks like from here. after many steps the hill is flat, or we are tired. "
)


def floats(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> np.ndarray:
    """Normal numbers in float32."""
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def layers(rng: np.random.Generator, *sizes: int) -> list[np.ndarray]:
    """Weights and biases of a network: W1, b1, W2, b2, ..."""
    made = []
    for i, o in itertools.pairwise(sizes):
        made += [floats(rng, i, o, scale=i**-0.5), zeros(o)]
    return made


def blobs(rng: np.random.Generator, n: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Points around one centre for each class, and their classes."""
    centres = 1.5 * floats(rng, classes, width)
    labels = rng.integers(0, classes, n)
    return centres[labels] + floats(rng, n, width), labels


def ring(rng: np.random.Generator, n: int) -> np.ndarray:
    """Points near a circle of radius 2."""
    angle = rng.uniform(0, 2 * np.pi, n)
    return (2 * np.stack([np.cos(angle), np.sin(angle)], 1) + 0.1 * rng.standard_normal((n, 2))).astype(
        np.float32
    )


def batch(i: int, size: int, n: int) -> slice:
    """The i-th batch of n examples, over and over."""
    start = i * size % (n - size + 1)
    return slice(start, start + size)


def characters() -> tuple[np.ndarray, int]:
    """TEXT as numbers, and how many characters there are."""
    alphabet = sorted(set(TEXT))
    return np.array([alphabet.index(c) for c in TEXT * 8]), len(alphabet)
