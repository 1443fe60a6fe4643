"""A tree of arrays seen as one real vector, and points moved by less than their dtype can hold.

Everything in this wing is written for functions from R^D to R^M. `Layout` carries trees there and back: a
complex leaf is two runs of real numbers, an integer leaf of a function's output is a float (a mean of
integers is none).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import StructureError


class Layout:
    """Where each leaf of a tree of arrays lies in a real vector.

    Attributes:
      size: D, the length of the vector.
      dtype: of the vector: the widest real dtype among the leaves, at least float32.
    """

    def __init__(self, tree: Any):
        """Reads shapes and dtypes; `tree` holds arrays or `jax.ShapeDtypeStruct`s."""
        self.treedef: Any
        leaves, self.treedef = jax.tree.flatten(tree)
        self.shapes = [jnp.shape(leaf) for leaf in leaves]
        self.dtypes = [np.dtype(jnp.result_type(leaf)) for leaf in leaves]
        self.widths = [
            int(np.prod(shape)) * (2 if np.issubdtype(dtype, np.complexfloating) else 1)
            for shape, dtype in zip(self.shapes, self.dtypes, strict=True)
        ]
        self.size = sum(self.widths)
        self.dtype = jnp.result_type(jnp.float32, *[_real(dtype) for dtype in self.dtypes])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Layout) and (self.treedef, self.shapes, self.dtypes) == (
            other.treedef,
            other.shapes,
            other.dtypes,
        )

    __hash__ = None  # type: ignore[assignment]

    def flatten(self, tree: Any) -> jax.Array:
        """The vector of a tree, differentiable."""
        parts = []
        for leaf in self.treedef.flatten_up_to(tree):
            leaf = jnp.asarray(leaf)
            if jnp.iscomplexobj(leaf):
                parts += [leaf.real.ravel(), leaf.imag.ravel()]
            else:
                parts.append(leaf.ravel())
        parts = [part.astype(self.dtype) for part in parts]
        if len(parts) == 1:
            return parts[0]
        return jnp.concatenate(parts) if parts else jnp.zeros((0,), self.dtype)

    def _split(self, vector: jax.Array) -> list[jax.Array]:
        return (
            jnp.split(vector, np.cumsum(self.widths)[:-1])
            if len(self.widths) > 1
            else [vector][: len(self.widths)]
        )

    def unflatten(self, vector: jax.Array) -> Any:
        """The tree of a vector, in the leaves' dtypes (the default float where they were integers),
        differentiable."""
        leaves = [
            _shaped(part, shape, _inexact(dtype))
            for part, shape, dtype in zip(self._split(vector), self.shapes, self.dtypes, strict=True)
        ]
        return self.treedef.unflatten(leaves)

    def coarse(self, x: jax.Array, scale: jax.Array, z: jax.Array) -> jax.Array:
        """Whether the numbers around some coordinate of x are so far apart that `perturb` has to round by chance.

        Elsewhere rounding to nearest is off by less than 2^-13 of the noise, and by nothing on average where the
        noise has a smooth density. "Around" is eight scales, or where the sample z lies.
        """
        gaps = [
            jnp.full((width,), float(jnp.finfo(_real(dtype)).eps), self.dtype)
            for width, dtype in zip(self.widths, self.dtypes, strict=True)
        ]
        gap = jnp.concatenate(gaps) if gaps else jnp.zeros((0,), self.dtype)
        reach = jnp.maximum(8.0, jnp.abs(z))
        return jnp.any(gap * (jnp.abs(x) + reach * scale) > 2.0**-12 * scale)

    def perturb(self, x: jax.Array, delta: jax.Array, salt: jax.Array, coarse: Any = True) -> Any:
        """The tree of x + delta, whose mean is right even where |delta| is below the spacing of the numbers
        around x.

        Rounding to nearest would leave x = 1e6 where it is for every delta < 0.03 in float32, and then no
        function shows a slope. Here each coordinate is rounded up or down with the chance that makes its mean
        x + delta.

        Args:
          x, delta: vectors of length D.
          salt: a random uint32 scalar that decides the rounding.
          coarse: whether to round by chance, as the method of this name decides.
        """
        return jax.lax.cond(
            coarse, self._perturb_by_chance, lambda x, delta, _: self._cast(x + delta), x, delta, salt
        )

    def _cast(self, vector: jax.Array) -> Any:
        leaves = [
            _shaped(part, shape, dtype)
            for part, shape, dtype in zip(self._split(vector), self.shapes, self.dtypes, strict=True)
        ]
        return self.treedef.unflatten(leaves)

    def _perturb_by_chance(self, x: jax.Array, delta: jax.Array, salt: jax.Array) -> Any:
        coin = _uniform(salt + jax.lax.iota(jnp.uint32, self.size) * np.uint32(0x9E3779B9), self.dtype)
        leaves = []
        for a, b, u, shape, dtype in zip(
            *map(self._split, (x, delta, coin)), self.shapes, self.dtypes, strict=True
        ):
            leaves.append(_shaped(_round_by_chance(a, b, u, _real(dtype)), shape, dtype))
        return self.treedef.unflatten(leaves)

    def spread(self, scale: Any, who: str) -> jax.Array:
        """A scale for each coordinate: `scale` is a number, or a tree of numbers (or arrays) like the
        layout's tree."""
        if jax.tree_util.all_leaves([scale]) and jnp.ndim(scale) == 0:
            return jnp.asarray(scale, self.dtype)
        try:
            scales = self.treedef.flatten_up_to(scale)
            parts = []
            for s, shape, width in zip(scales, self.shapes, self.widths, strict=True):
                s = jnp.broadcast_to(jnp.asarray(s, self.dtype), shape).ravel()
                parts.append(jnp.tile(s, 2) if s.size < width else s)
        except (ValueError, TypeError) as error:
            raise StructureError(
                f"{who}: sigma must be a number, or a tree like x with a number (or a broadcastable array) "
                "for each leaf: "
                f"{error}"
            ) from None
        return jnp.concatenate(parts) if parts else jnp.zeros((0,), self.dtype)


def _real(dtype: Any) -> np.dtype:
    """The real floating dtype of a leaf's coordinates."""
    if not jnp.issubdtype(dtype, jnp.inexact):
        return np.dtype(jnp.result_type(float))
    return np.dtype(jnp.finfo(dtype).dtype)


def _inexact(dtype: Any) -> np.dtype:
    return dtype if jnp.issubdtype(dtype, jnp.inexact) else _real(dtype)


def _shaped(part: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """One leaf of its run of real numbers."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        real, imag = jnp.split(part, 2)
        return jax.lax.complex(real.astype(_real(dtype)), imag.astype(_real(dtype))).reshape(shape)
    return part.astype(dtype).reshape(shape)


def _uniform(counter: jax.Array, dtype: Any) -> jax.Array:
    """Numbers in [0, 1) from 32-bit counters: an avalanche of shifts and odd multiples (the finaliser of
    MurmurHash3)."""
    h = mix(counter)
    return (h >> 8).astype(dtype) * 2.0**-24


def mix(h: jax.Array) -> jax.Array:
    """Words in which every bit of the given ones counts for every bit."""
    for shift, multiple in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ (h >> shift)) * np.uint32(multiple)
    return h ^ (h >> 16)


def fingerprint(vector: jax.Array) -> jax.Array:
    """A uint32 that differs between vectors that differ in any bit (up to chance)."""
    words = jax.lax.bitcast_convert_type(vector, jnp.uint32).ravel()
    return jnp.sum(
        mix(words + jax.lax.iota(jnp.uint32, words.size) * np.uint32(0x9E3779B9)), dtype=jnp.uint32
    )


def _round_by_chance(x: jax.Array, delta: jax.Array, coin: jax.Array, dtype: Any) -> jax.Array:
    """x + delta in `dtype`, rounded up or down so that its mean over the coin is x + delta."""
    x = jax.lax.optimization_barrier(x)  # else XLA computes (x + delta) - x as delta where it knows x
    total = x + delta
    part = total - x
    lost = (x - (total - part)) + (delta - part)  # what the addition lost, exactly (Knuth's two-sum)
    near = total.astype(dtype)
    lost = lost + (total - near.astype(total.dtype))
    other = jnp.nextafter(near, jnp.where(lost > 0, jnp.inf, -jnp.inf).astype(dtype))
    gap = jnp.abs(other.astype(total.dtype) - near.astype(total.dtype))
    return jnp.where(jnp.abs(lost) > coin * gap, other, near)
