"""Test problems of More, Garbow & Hillstrom 1981 (doi:10.1145/355934.355936), by their numbers there.

Each is a sum of squares of residuals, with the starting point and the minimum that the paper gives.
"""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class Problem:
    residuals: object
    x0: tuple
    minimum: float
    x: tuple | None = None

    def __call__(self, x):
        return sum(jnp.sum(jnp.square(r)) for r in self.residuals(x))


def rosenbrock(x):
    return 10 * (x[1] - x[0] ** 2), 1 - x[0]


def freudenstein_roth(x):
    return -13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1], -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1]


def brown_badly_scaled(x):
    return x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2


def beale(x):
    return tuple(y - x[0] * (1 - x[1] ** i) for i, y in ((1, 1.5), (2, 2.25), (3, 2.625)))


def helical_valley(x):
    angle = jnp.arctan(x[1] / x[0]) / (2 * math.pi) + jnp.where(x[0] < 0, 0.5, 0.0)
    return 10 * (x[2] - 10 * angle), 10 * (jnp.hypot(x[0], x[1]) - 1), x[2]


_BARD = np.array(
    [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39]
)  # fmt: skip


def bard(x):
    u = np.arange(1.0, 16.0)
    v = 16 - u
    return (_BARD - (x[0] + u / (v * x[1] + np.minimum(u, v) * x[2])),)


def box_3d(x):
    t = 0.1 * np.arange(1.0, 11.0)
    return (jnp.exp(-t * x[0]) - jnp.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10 * t)),)


def powell_singular(x):
    return (
        x[0] + 10 * x[1],
        math.sqrt(5) * (x[2] - x[3]),
        (x[1] - 2 * x[2]) ** 2,
        math.sqrt(10) * (x[0] - x[3]) ** 2,
    )


def wood(x):
    return (
        10 * (x[1] - x[0] ** 2), 1 - x[0], math.sqrt(90) * (x[3] - x[2] ** 2), 1 - x[2],
        math.sqrt(10) * (x[1] + x[3] - 2), (x[1] - x[3]) / math.sqrt(10),
    )  # fmt: skip


_KOWALIK_Y = np.array(
    [0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246]
)  # fmt: skip
_KOWALIK_U = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])


def kowalik_osborne(x):
    u = _KOWALIK_U
    return (_KOWALIK_Y - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3]),)


def trigonometric(x):
    n = len(x)
    i = np.arange(1.0, n + 1)
    return (n - jnp.sum(jnp.cos(x)) + i * (1 - jnp.cos(x)) - jnp.sin(x),)


def broyden_tridiagonal(x):
    left, right = jnp.concatenate([jnp.zeros(1), x[:-1]]), jnp.concatenate([x[1:], jnp.zeros(1)])
    return ((3 - 2 * x) * x - left - 2 * right + 1,)


# x is given where the minimum has one point only near the start.
PROBLEMS = {
    "1 rosenbrock": Problem(rosenbrock, (-1.2, 1.0), 0.0, (1.0, 1.0)),
    "2 freudenstein roth": Problem(freudenstein_roth, (0.5, -2.0), 48.98425367924),
    "4 brown badly scaled": Problem(brown_badly_scaled, (1.0, 1.0), 0.0, (1e6, 2e-6)),
    "5 beale": Problem(beale, (1.0, 1.0), 0.0, (3.0, 0.5)),
    "7 helical valley": Problem(helical_valley, (-1.0, 0.0, 0.0), 0.0, (1.0, 0.0, 0.0)),
    "8 bard": Problem(bard, (1.0, 1.0, 1.0), 8.214877306579e-3),
    "12 box": Problem(box_3d, (0.0, 10.0, 20.0), 0.0, (1.0, 10.0, 1.0)),
    "13 powell singular": Problem(powell_singular, (3.0, -1.0, 0.0, 1.0), 0.0),
    "14 wood": Problem(wood, (-3.0, -1.0, -3.0, -1.0), 0.0, (1.0, 1.0, 1.0, 1.0)),
    "15 kowalik osborne": Problem(kowalik_osborne, (0.25, 0.39, 0.415, 0.39), 3.075056038492e-4),
    "26 trigonometric": Problem(trigonometric, (0.1,) * 10, 2.795056121876e-5),
    "30 broyden tridiagonal": Problem(broyden_tridiagonal, (-1.0,) * 10, 0.0),
}
