"""What the calls in names.txt compute with."""

from pathlib import Path

import numpy as np

CONSTANT = {"zc", "ac", "vc", "q", "v3", "signs", "maskf", "holes"}


def sections():
    """Names and calls, by section."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in (Path(__file__).parent / "names.txt").read_text().splitlines():
        if line.startswith("["):
            found[line[1:-1]] = here = {}
        elif line and not line.startswith("#"):
            name, _, calls = line.partition(":")
            here[name] = [call.strip() for call in calls.split("; ")]
    return found


def inputs(seed, dtype):
    """Arrays by name; those of floating numbers whose name has no c carry gradients."""
    r = np.random.default_rng(seed)
    near = r.permutation(24).astype(float)
    z = (r.permutation(6).reshape(2, 3) - 2.3) / 4
    m = r.normal(size=(3, 3)) * 0.3
    made = {
        "z": z,
        "a": r.uniform(0.15, 0.85, (2, 3)),
        "b": r.uniform(0.15, 0.85, (2, 3)),
        "a1": r.uniform(1.2, 2, (2, 3)),
        "v": r.uniform(0.2, 0.9, 3),
        "v2": r.normal(size=3),
        "m": m @ m.T + np.eye(3),
        "s": np.asarray(0.3),
        "wide": r.permutation(8).reshape(2, 4) / 4 - 0.7,
        "t3": near.reshape(2, 3, 4) / 9 - 1,
        "t1": r.normal(size=(1, 2, 1, 3)),
        "image": r.permutation(100).reshape(2, 2, 5, 5) / 50 - 1,
        "k1": r.normal(size=(2, 3, 3)),
        "k1t": r.normal(size=(3, 2, 3)),
        "k2": r.normal(size=(2, 2, 3, 3)),
        "k2g": r.normal(size=(2, 1, 3, 3)),
        "k2t": r.normal(size=(2, 2, 3, 3)),
        "k2tg": r.normal(size=(2, 1, 3, 3)),
        "volume": r.permutation(54).reshape(1, 2, 3, 3, 3) / 27 - 1,
        "k3": r.normal(size=(2, 2, 2, 2, 2)),
        "kernel": r.normal(size=(2, 3, 4)),
        "four": r.normal(size=(2, 4, 2, 3)),
        "zc": z + 0.05,
        "ac": r.uniform(0.15, 0.85, (2, 3)),
        "vc": r.uniform(0.2, 0.9, 3),
        "q": np.array([0.2, 0.8]),
        "v3": np.array([-0.2, 0.1, 0.4]),
        "signs": np.sign(z + 0.05),
        "maskf": (z > 0.1) * 1.0,
        "square": np.tril(np.ones((3, 3))) > 0,
        "holes": np.array([[np.nan, np.inf, -np.inf], [1.0, -2.0, 0.5]]),
        "holey": np.array([[np.nan, 0.3, -1.0], [1.0, -2.0, 0.5]]),
        "n": r.integers(-2, 4, (2, 3)),
        "n2": r.integers(-2, 4, (2, 3)),
        "n1": r.integers(1, 4, (2, 3)),
        "nv": r.integers(0, 5, 6)[:3],
        "mask": z > 0.1,
        "mask2": r.uniform(size=(2, 3)) > 0.5,
        "at": np.array([[2, 0], [1, 2]]),
        "at0": np.array([[1, 0, 1]]),
        "twice": np.array([[2, 2], [1, 0]]),
        "pick": np.array([2, 0]),
        "pick0": np.array([1, 0]),
        "cls": r.integers(0, 3, 2),
        "deep": r.integers(0, 3, (2, 4)),
    }
    return {k: v.astype(dtype) if v.dtype == float else v for k, v in made.items()}
