"""What all chapters share: data that ship with Python and scikit-learn, sets made by hand, and the option --short."""

import contextlib
import io
import sys

import numpy as np

from nablax import autograd as torch

SHORT = "--short" in sys.argv


def short(steps, fewer):
    """`steps`, or `fewer` where the chapter is run with --short."""
    return fewer if SHORT else steps


def digits():
    """Handwritten digits of 8 x 8 (Alpaydin and Kaynak 1998): images in [0, 1] and classes, to learn and to test."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    images = torch.tensor((images[order] / 16).astype(np.float32)).view(-1, 1, 8, 8)
    labels = torch.tensor(labels[order])
    return images[:1500], labels[:1500], images[1500:], labels[1500:]


def zen():
    """The Zen of Python (Tim Peters, 1999), in small letters; numbers for its characters, and the alphabet."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        import this

        del this
    text = printed.getvalue().lower() or _remembered()
    alphabet = sorted(set(text))
    return text, torch.tensor([alphabet.index(c) for c in text]), alphabet


def _remembered():
    """`this` prints once a process; afterwards its text is turned back by hand."""
    import codecs
    import this

    return codecs.decode(this.s, "rot13").lower() + "\n"


def batches(n, size):
    """Random batches of n examples, for ever."""
    while True:
        order = torch.randperm(n)
        for start in range(0, n - size + 1, size):
            yield order[start : start + size]


def ring(n, radius=2.0, spread=0.05):
    """Points near a circle."""
    angle = 2 * torch.pi * torch.rand(n)
    return radius * torch.stack([angle.cos(), angle.sin()], 1) + spread * torch.randn(n, 2)


def moons(n, spread=0.05):
    """Points near two arcs that reach into one another, and which of them."""
    label = torch.randint(2, (n,))
    angle = torch.pi * torch.rand(n)
    up = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], 1)
    points = torch.where((label == 0).unsqueeze(1), up, -up)
    return points + spread * torch.randn(n, 2), label
