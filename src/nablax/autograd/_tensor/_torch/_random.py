"""Random numbers as torch hands them out: from a generator that remembers where it is.

The numbers are NumPy's (PCG64), drawn at the line that asks for them; those of torch cannot be had. They
enter a recording as inputs, so that dropout in each step is one program. Inside `autograd.functional` under
jit they are drawn once, when it is traced; for randomness there use autograd.random, JAX's, with its keys.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ..._ground._narrow import is_large, too_large
from ..._path._recorded import Recorded
from .._make import make as tensor
from ._making import make, number_type
from ._rows import ints


class Generator:
    """A stream of random numbers.

    >>> from nablax import autograd
    >>> a = autograd.randn(3, generator=autograd.Generator().manual_seed(1))
    >>> b = autograd.randn(3, generator=autograd.Generator().manual_seed(1))
    >>> bool((a == b).all())
    True
    """

    def __init__(self, device: Any = None) -> None:
        self._lock = threading.Lock()
        self.seed()

    def manual_seed(self, seed: int) -> Generator:
        """Start the stream of a seed; returns the generator."""
        self._seed = int(seed)
        self._numpy = np.random.default_rng(self._seed % (1 << 64))
        return self

    def seed(self) -> int:
        """Start the stream of a seed that the system gives, which is returned."""
        return self.manual_seed(secrets.randbits(63))._seed

    def initial_seed(self) -> int:
        """The seed that the stream started with."""
        return self._seed

    def get_state(self) -> dict[str, Any]:
        """Where the stream is."""
        return {"seed": self._seed, "stream": self._numpy.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from where a stream was."""
        self._seed = state["seed"]
        self._numpy = np.random.default_rng()
        self._numpy.bit_generator.state = state["stream"]

    def draw(self, how: str, *args: Any) -> np.ndarray:
        """Numbers of NumPy's generator."""
        with self._lock:
            return np.asarray(getattr(self._numpy, how)(*args))


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Start the stream of all random functions that are given no generator; returns it."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Start the default stream at a seed that the system gives, which is returned."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed that the default stream started with."""
    return default_generator.initial_seed()


def get_rng_state() -> dict[str, Any]:
    """Where the default stream is."""
    return default_generator.get_state()


def set_rng_state(new_state: dict[str, Any]) -> None:
    """Go on from where the default stream was."""
    default_generator.set_state(new_state)


def noise(how: str, size: Any, dtype: Any = None, generator: Generator | None = None) -> np.ndarray:
    """An array of uniform ("random") or normal ("standard_normal") numbers."""
    return (generator or default_generator).draw(how, size).astype(number_type(dtype))


def _of(name: str, how: str, doc: str) -> Callable[..., Any]:
    def call(*size: Any, generator: Generator | None = None, dtype: Any = None, requires_grad: bool = False,
             device: Any = None) -> Any:  # fmt: skip
        return make(noise(how, ints(size), dtype, generator), None, requires_grad, device)

    def like(input: Any, *, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Any:
        return make(
            noise(how, input.shape, input.dtype if dtype is None else dtype), None, requires_grad, device
        )

    call.__name__, like.__name__ = name, f"{name}_like"
    call.__doc__, like.__doc__ = doc, f"{doc[:-1]}, in the shape and dtype of another tensor."
    _LIKE[like.__name__] = like
    return call


_LIKE: dict[str, Callable[..., Any]] = {}


def randint(low: Any = None, high: Any = None, size: Any = None, *, generator: Generator | None = None,
            dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Any:  # fmt: skip
    """Integers of low (or 0) to high, which is left out."""
    if size is None and isinstance(high, tuple | list):  # randint(high, size)
        low, high, size = 0, low, high
    if low is None:
        low = 0
    if size is None or high is None:
        if size is None:
            raise TypeError("randint: a size is needed: randint(high, size) or randint(low, high, size).")
        low, high = 0, low
    kind = number_type(dtype, int)
    for end in (low, high - 1):
        if kind == "int32" and is_large(int(end)):
            raise too_large("randint", end, kind)
    drawn = (generator or default_generator).draw("integers", low, high, ints((size,)))
    return make(drawn.astype(kind), None, requires_grad, device)


def randint_like(input: Any, low: Any, high: Any = None, *, dtype: Any = None) -> Any:
    """Integers of low (or 0) to high, in the shape and dtype of another tensor."""
    low, high = (0, low) if high is None else (low, high)
    return randint(low, high, input.shape, dtype=input.dtype if dtype is None else dtype)


def randperm(n: int, *, generator: Generator | None = None, dtype: Any = None, device: Any = None) -> Any:
    """The integers below n in random order."""
    return make((generator or default_generator).draw("permutation", n).astype(number_type(dtype, int)), None)


def normal(mean: Any = 0.0, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None,
           dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Any:  # fmt: skip
    """Normal numbers; mean and std may be tensors, and carry gradients."""
    if size is None:
        size = np.broadcast_shapes(*(getattr(x, "shape", ()) for x in (mean, std)))
    drawn = noise(
        "standard_normal", ints((size,)), getattr(mean, "dtype", getattr(std, "dtype", dtype)), generator
    )
    if isinstance(mean, Recorded) or isinstance(std, Recorded):
        return tensor(drawn) * std + mean
    return make((drawn * std + mean).astype(drawn.dtype), None, requires_grad, device)


def bernoulli(input: Any, p: Any = None, *, generator: Generator | None = None) -> Any:
    """1 with the probabilities in a tensor (or all with probability p), else 0."""
    drawn = tensor(noise("random", input.shape, input.dtype, generator))
    return (drawn < (input.detach() if p is None else p)).astype(input.dtype)


def multinomial(input: Any, num_samples: int, replacement: bool = False, *,
                generator: Generator | None = None) -> Any:  # fmt: skip
    """Indices drawn with probabilities in proportion to each row of weights."""
    weights = np.asarray(input.detach()).astype(float)
    if (weights < 0).any() or not np.isfinite(weights).all() or (weights.sum(-1) <= 0).any():
        raise RuntimeError("multinomial: weights must be finite and not negative, with a sum above 0.")
    of = generator or default_generator
    rows = weights.reshape(-1, weights.shape[-1])
    if not replacement:
        if num_samples > (rows > 0).sum(-1).min():
            raise RuntimeError(
                f"multinomial: {num_samples} samples without replacement need as many weights above 0."
            )
        keys = np.log(of.draw("random", rows.shape)) / np.where(rows > 0, rows, 1)
        found = np.argsort(np.where(rows > 0, -keys, np.inf), -1)[:, :num_samples]
    else:
        ends = np.cumsum(rows, -1)
        at = of.draw("random", (len(rows), num_samples)) * ends[:, -1:]
        found = np.stack([np.searchsorted(e, a, side="right") for e, a in zip(ends, at, strict=True)])
        found = np.minimum(found, rows.shape[-1] - 1)
    return make(found.reshape(*weights.shape[:-1], num_samples).astype(number_type(int)), None)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "rand": _of("rand", "random", "Uniform numbers in [0, 1)."),
    "randn": _of("randn", "standard_normal", "Normal numbers of mean 0 and variance 1."),
    **_LIKE, "randint": randint, "randint_like": randint_like, "randperm": randperm, "normal": normal,
    "bernoulli": bernoulli, "multinomial": multinomial, "manual_seed": manual_seed, "seed": seed,
    "initial_seed": initial_seed, "get_rng_state": get_rng_state, "set_rng_state": set_rng_state,
    "Generator": Generator,
}  # fmt: skip
