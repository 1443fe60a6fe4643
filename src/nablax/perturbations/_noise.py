"""Laws of the noise z in f_sigma(x) = E f(x + sigma z), and what each of them allows.

    law             density            score s(z) = -grad log mu   mean     std        reflection
    Normal          exp(-z^2/2)        z                           0        1          -z
    Gumbel          exp(-z - exp(-z))  1 - exp(-z)                 0.5772   pi/sqrt 6  the mirrored quantile
    Laplace         exp(-|z|)/2        sign z                      0        sqrt 2     -z
    Rademacher      none: z is +-1     z                           0        1          -z
    UniformSphere   none: |z|^2 = d    z                           0        1          -z

The mean and the standard deviation are those of one coordinate. The reflection of z has the law of z again,
and is as far from it as a sample can be: that makes an antithetic pair unbiased for skewed laws too, where -z
would not be.

Rademacher and spherical noise have no density, so that no likelihood ratio exists. Their score is the one of
directional differences: E f(x + sigma z) z / sigma is the gradient of f smoothed over the ball (sphere), or
of its central difference along each axis (Rademacher); exact for quadratic f, and a first derivative only.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from nablax.core import HyperparameterError

_EULER_GAMMA = 0.5772156649015329

_KINK = (
    "Laplace: the score of the Laplace law jumps at 0, so that a second derivative would miss the jump. "
    "Use Normal() or Gumbel() noise, or estimator='measure_valued', for second derivatives."
)
_NO_DENSITY = (
    "Rademacher, UniformSphere: noise without a density has first derivatives only: there is no likelihood "
    "ratio that a second "
    "one could differentiate. Use Normal() noise."
)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def differentiable_never(x: Any, reason: str) -> Any:
    """x itself; whoever differentiates it reads why that would be silently wrong."""
    del reason
    # nextafter(x, x) is x and has no derivative: JAX's partial evaluation of loops can lose this function's
    # own rule, and then this keeps the refusal, if not its words.
    return jnp.nextafter(x, x)


@differentiable_never.defjvp
def _refuse(reason: str, primals: Any, tangents: Any) -> Any:
    del primals, tangents
    raise HyperparameterError(reason)


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def differentiable_once(x: Any, reason: str) -> Any:
    """x itself, with its first derivative; whoever asks for a second reads why there is none."""
    del reason
    return x


@differentiable_once.defjvp
def _differentiate_once(reason: str, primals: Any, tangents: Any) -> Any:
    (x,), (x_dot,) = primals, tangents
    return differentiable_once(x, reason), (1 + 0 * differentiable_never(x, reason)) * x_dot


class Noise:
    """A law of z, every coordinate with the same marginal.

    Attributes:
      mean, std: of one coordinate.
      density: the coordinates are independent and have a density; without one, a score has no second
        derivative and says nothing about sigma.
    """

    mean: float = 0.0
    std: float = 1.0
    density: bool = True

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def sample(self, key: jax.Array, sample_shape: Sequence[int] = (), dtype: Any = float) -> jax.Array:
        """Draws an array of `sample_shape` and of a real floating `dtype`."""
        raise NotImplementedError

    def sample_rows(self, key: jax.Array, rows: int, size: int, dtype: Any) -> jax.Array:
        """Draws so many samples of `size` coordinates, shape (rows, size)."""
        return self.sample(key, (rows * size,), dtype).reshape(rows, size)

    def log_prob(self, inputs: Any) -> jax.Array:
        """log mu of every coordinate of `inputs`."""
        raise NotImplementedError

    def score(self, inputs: Any) -> jax.Array:
        """s(z) = -grad log mu(z) at every coordinate of `inputs`."""
        raise NotImplementedError

    def separated(self, inputs: Any, delta: Any) -> tuple[Any, Any, Any]:
        """a(z), b(delta) and c(delta) with log mu(z + delta) - log mu(z) = a b + c at every coordinate: exactly 0
        and right in every derivative at delta = 0."""
        raise NotImplementedError

    def sample_pairs(self, key: jax.Array, rows: int, size: int, dtype: Any) -> tuple[jax.Array, jax.Array]:
        """Draws samples as `sample_rows` does, and the reflection of each."""
        z = self.sample_rows(key, rows, size, dtype)
        return z, self.reflect(z)

    def reflect(self, inputs: Any) -> jax.Array:
        """The antithetic partner of each coordinate, which has the same law."""
        return -inputs


class Normal(Noise):
    """The standard normal law.

    Example:
      >>> import jax.numpy as jnp
      >>> Normal().score(jnp.array([0.5, -2.0]))
      Array([ 0.5, -2. ], dtype=float32)
    """

    def sample(self, key: jax.Array, sample_shape: Sequence[int] = (), dtype: Any = float) -> jax.Array:
        """Draws standard normal numbers."""
        return jax.random.normal(key, tuple(sample_shape), dtype)

    def log_prob(self, inputs: Any) -> jax.Array:
        """-z^2/2, up to the constant that no derivative sees."""
        return -0.5 * jnp.square(inputs)

    def score(self, inputs: Any) -> jax.Array:
        """z."""
        return jnp.asarray(inputs)

    def separated(self, inputs: Any, delta: Any) -> tuple[Any, Any, Any]:
        """-z delta - delta^2/2."""
        return inputs, -delta, -0.5 * delta * delta


class Gumbel(Noise):
    """The standard Gumbel law, whose mean is 0.5772: smoothing also shifts by 0.5772 sigma."""

    mean = _EULER_GAMMA
    std = math.pi / math.sqrt(6.0)

    def sample(self, key: jax.Array, sample_shape: Sequence[int] = (), dtype: Any = float) -> jax.Array:
        """Draws standard Gumbel numbers."""
        return jax.random.gumbel(key, tuple(sample_shape), dtype)

    def sample_pairs(self, key: jax.Array, rows: int, size: int, dtype: Any) -> tuple[jax.Array, jax.Array]:
        """Draws quantiles u and 1 - u of standard Gumbel numbers."""
        # Both are multiples of eps: half of it stands for the last cell, which has no end otherwise.
        u = jax.random.uniform(key, (rows * size,), dtype).reshape(rows, size)
        u = jnp.maximum(u, 0.5 * jnp.finfo(dtype).eps)
        return -jnp.log(-jnp.log(u)), -jnp.log(-jnp.log(1 - u))

    def log_prob(self, inputs: Any) -> jax.Array:
        """-z - exp(-z)."""
        return -inputs - jnp.exp(-inputs)

    def score(self, inputs: Any) -> jax.Array:
        """1 - exp(-z)."""
        return -jnp.expm1(-inputs)

    def separated(self, inputs: Any, delta: Any) -> tuple[Any, Any, Any]:
        """-delta - exp(-z) (exp(-delta) - 1)."""
        return jnp.exp(-inputs), -jnp.expm1(-delta), -delta

    def reflect(self, inputs: Any) -> jax.Array:
        """The z' with F(z') = 1 - F(z), where F(z) = exp(-exp(-z))."""
        t = jnp.exp(-inputs)  # an exponential variable; -log F
        # log(1 - exp(-t)), by the form that keeps its digits on each side of log 2.
        log_survival = jnp.where(
            t < math.log(2.0),
            jnp.log(-jnp.expm1(-jnp.minimum(t, 1.0))),
            jnp.log1p(-jnp.exp(-jnp.maximum(t, 0.5))),
        )
        # Bounded where the quantile rounds to 1, as in sample_pairs.
        return -jnp.log(jnp.maximum(-log_survival, 0.5 * jnp.finfo(log_survival.dtype).eps))


class Laplace(Noise):
    """The Laplace law of scale 1. Its density has a kink: a first derivative exists, a second one through the
    score does not."""

    std = math.sqrt(2.0)

    def sample(self, key: jax.Array, sample_shape: Sequence[int] = (), dtype: Any = float) -> jax.Array:
        """Draws Laplace numbers."""
        return jax.random.laplace(key, tuple(sample_shape), dtype)

    def log_prob(self, inputs: Any) -> jax.Array:
        """-|z| - log 2."""
        return -jnp.abs(inputs) - math.log(2.0)

    def score(self, inputs: Any) -> jax.Array:
        """sign z."""
        return jnp.sign(inputs)

    def separated(self, inputs: Any, delta: Any) -> tuple[Any, Any, Any]:
        """-sign(z) delta, to first order."""
        return jnp.where(inputs > 0, 1.0, -1.0).astype(inputs.dtype), -differentiable_once(delta, _KINK), 0.0


class Rademacher(Noise):
    """Signs: every coordinate is +1 or -1. First derivatives only, see the header of this file."""

    density = False

    def sample(self, key: jax.Array, sample_shape: Sequence[int] = (), dtype: Any = float) -> jax.Array:
        """Draws signs."""
        return jax.random.rademacher(key, tuple(sample_shape), dtype)

    def log_prob(self, inputs: Any) -> jax.Array:
        """-log 2 where |z| = 1, -inf elsewhere."""
        inputs = jnp.asarray(inputs)
        return jnp.where(jnp.abs(inputs) == 1, -math.log(2.0), -jnp.inf)

    def score(self, inputs: Any) -> jax.Array:
        """z: the direction of the difference."""
        return jnp.asarray(inputs)

    def separated(self, inputs: Any, delta: Any) -> tuple[Any, Any, Any]:
        """-z delta, to first order: what directional differences need."""
        return inputs, -differentiable_once(delta, _NO_DENSITY), 0.0


class UniformSphere(Noise):
    """Uniform on the sphere of radius sqrt(d) in R^d: as long as a Normal on average, and never longer.

    All coordinates of one sample lie on one sphere, whatever the shape of the array (or tree) that they fill.
    """

    density = False

    def sample(self, key: jax.Array, sample_shape: Sequence[int] = (), dtype: Any = float) -> jax.Array:
        """Draws one point of the sphere, as an array of `sample_shape`."""
        z = jax.random.normal(key, tuple(sample_shape), dtype)
        return z * (
            math.sqrt(max(z.size, 1)) / jnp.maximum(jnp.linalg.norm(z.ravel()), jnp.finfo(z.dtype).tiny)
        )

    def sample_rows(self, key: jax.Array, rows: int, size: int, dtype: Any) -> jax.Array:
        """Draws so many points of the sphere in R^size, shape (rows, size)."""
        return jax.vmap(lambda k: self.sample(k, (size,), dtype))(jax.random.split(key, rows))

    def log_prob(self, inputs: Any) -> jax.Array:
        """Minus the logarithm of the sphere's area, a scalar; -inf off the sphere of radius sqrt(d)."""
        z = jnp.asarray(inputs)
        d = max(z.size, 1)
        log_area = math.log(2.0) + d / 2 * math.log(math.pi) - math.lgamma(d / 2) + (d - 1) / 2 * math.log(d)
        slack = 64 * d * float(jnp.finfo(z.dtype).eps)
        return jnp.where(jnp.abs(jnp.sum(jnp.square(z)) - d) <= slack, -log_area, -jnp.inf)

    def score(self, inputs: Any) -> jax.Array:
        """z: the direction of the difference."""
        return jnp.asarray(inputs)

    def separated(self, inputs: Any, delta: Any) -> tuple[Any, Any, Any]:
        """-z delta, to first order: what directional differences need."""
        return inputs, -differentiable_once(delta, _NO_DENSITY), 0.0


def log_ratio(noise: Any, z: jax.Array, delta: jax.Array) -> jax.Array:
    """log mu(z + delta) - log mu(z) of each row of z, for laws of ours and for any with an elementwise `log_prob`.

    Args:
      z: samples, shape (n, D).
      delta: zeros whose derivatives matter, of shape (D,) or (n, D).

    Returns:
      Array of shape (n,).
    """
    # Sums over a row are products with ones: XLA's CPU backend (jaxlib 0.10.2) computes wrong sums where it fuses a
    # reduction over a short axis with what precedes it, from about 20,000 rows on.
    ones = jnp.ones(z.shape[-1:], z.dtype)
    if not isinstance(noise, Noise):
        return jnp.matmul(noise.log_prob(z + delta) - noise.log_prob(z), ones, precision="highest")
    a, b, c = noise.separated(z, delta)
    if delta.ndim == 1:
        return jnp.matmul(a, b, precision="highest") + jnp.sum(c)
    return jnp.matmul(a * b + c, ones, precision="highest")


def score_of(noise: Any) -> Any:
    """The score of any law: its own, or minus the gradient of its `log_prob`."""
    if hasattr(noise, "score"):
        return noise.score
    return lambda z: -jax.grad(lambda w: jnp.sum(noise.log_prob(w)))(z)
