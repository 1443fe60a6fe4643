"""Stochastic estimates of traces and diagonals from products alone.

    tr A   = E z^T A z,        diag A = E z * A z,        z_i = +-1 with equal chances

With signs the trace has variance 2 sum_{i != j} a_ij^2 a sample (A symmetric), and entry i of the diagonal
sum_{j != i} a_ij^2: for a diagonal matrix one sample is exact.

Sources: Hutchinson 1990, doi:10.1080/03610919008812866; Bekas, Kokiopoulou & Saad 2007,
doi:10.1016/j.apnum.2007.01.003.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from nablax import tree
from nablax.core import COUNT, FUNCTION, of_kind

from ._products import arrays

_KEY = of_kind("a random key, such as jax.random.key(0)", lambda value: hasattr(value, "dtype"))


def _mean_over_samples(
    who: str, product: Any, sample: Callable[[Any], Any], like: Any, key: jax.Array, samples: int
) -> Any:
    FUNCTION(who, "product", product)
    arrays(who, like=like)
    _KEY(who, "key", key)
    COUNT(who, "num_samples", samples)

    def body(total: Any, k: jax.Array) -> tuple[Any, None]:
        drawn = sample(tree.random_like(k, like, jax.random.rademacher))
        return jax.tree.map(lambda t, x: t + x.astype(t.dtype), total, drawn), None

    shapes = jax.eval_shape(lambda: sample(like))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, tree.at_least_float32(s.dtype)), shapes)
    total, _ = lax.scan(body, zeros, jax.random.split(key, samples))
    return jax.tree.map(lambda t: t / samples, total)


def hutchinson_trace(
    product: Callable[[Any], Any], like: Any, key: jax.Array, *, num_samples: int = 16
) -> jax.Array:
    """An unbiased estimate of the trace of a linear map.

    Args:
      product: v -> A v on trees like `like`; `hessian_product(fun, x)` for a Hessian.
      like: tree of arrays of the shapes and dtypes of v.
      key: random key.
      num_samples: products, at least 1; the standard error falls with their square root.

    Returns:
      Scalar, at least float32.

    Defaults: 16 products: a relative standard error of at most sqrt(2 / 16), about 35%, of a positive matrix of rank 1,
    and less of others.

    Source: Hutchinson 1990, doi:10.1080/03610919008812866.

    Example:
      >>> from nablax.second_order import hessian_product
      >>> x = jnp.array([1.0, 2.0])
      >>> product = hessian_product(lambda x: jnp.sum(x**3), x)  # 6 diag(x)
      >>> hutchinson_trace(product, x, jax.random.key(0), num_samples=1)
      Array(18., dtype=float32)
    """
    return _mean_over_samples(
        "hutchinson_trace", product, lambda z: jnp.asarray(tree.vdot(z, product(z))), like, key, num_samples
    )


def hutchinson_diag(
    product: Callable[[Any], Any], like: Any, key: jax.Array, *, num_samples: int = 16
) -> Any:
    """An unbiased estimate of the diagonal of a linear map.

    Args:
      product, like, key, num_samples: as in `hutchinson_trace`.

    Returns:
      Tree of the shapes of `like`, at least float32.

    Defaults: as in `hutchinson_trace`.

    Source: Bekas, Kokiopoulou & Saad 2007, doi:10.1016/j.apnum.2007.01.003.
    """
    return _mean_over_samples(
        "hutchinson_diag", product, lambda z: tree.mul(z, product(z)), like, key, num_samples
    )
