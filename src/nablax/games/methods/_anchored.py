"""Anchored extra-gradient: EAG-C, EAG-V and FEG, whose formulas are at the head of games/_anchored.py.

For a monotone L-Lipschitz field without constraints and D = |z_0 - z*|:

    EAG-C, a = 1/(8L):  |F(z_k)|^2 <= 260 L^2 D^2 / (k+1)^2
    EAG-V:              |F(z_k)|^2 <= 27 L^2 D^2 / ((k+1)(k+2))
    FEG:                |F(z_k)|^2 <= 4 L^2 D^2 / k^2
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from nablax import tree
from nablax.games._anchored import next_relative, pull
from nablax.games._extragradient import in_full_steps
from nablax.games._field import Field
from nablax.games.methods._method import Method, Step, as_base, move


def _anchored(name: str, variant: str, learning_rate: Any) -> Method:
    tx = in_full_steps(as_base(name, learning_rate), lambda count: count // 2)

    def init(field: Field, z: Any) -> Any:
        return tx.init(z), z, jnp.zeros((), jnp.int32), jnp.ones(())

    def step(field: Field, z: Any, state: Any) -> Step:
        base_state, origin, k, relative = state
        weight, ahead = pull(variant, k)
        drawn = jax.tree.map(lambda a, b: (a + weight * (b - a)).astype(a.dtype), z, origin)
        value = field(z)
        updates, base_state = tx.update(value, base_state, z)
        half = move(field, drawn, tree.scale(relative * ahead, updates))
        updates, base_state = tx.update(field(half), base_state, half)
        new = move(field, drawn, tree.scale(relative, updates))
        relative = next_relative(k, relative) if variant == "eag-v" else relative
        return Step(new, (base_state, origin, k + 1, relative), z, value, half)

    return Method(name, init, step, 2)


def eag_c(learning_rate: Any) -> Method:
    """Extra anchored gradient with constant step size.

    Args:
      learning_rate: positive number (1/(8L) in the theorem), schedule of full steps, any gradient transformation, or a
        dict of these by player.

    Raises:
      HyperparameterError: a step size that is not positive.

    Source: Yoon & Ryu 2021, arXiv:2102.07922.
    """
    return _anchored("eag_c", "eag-c", learning_rate)


def eag_v(learning_rate: Any) -> Method:
    """Extra anchored gradient with varying step size.

    Args:
      learning_rate: the first step size, 0.618/L; later ones follow. Otherwise as in `eag_c`.

    Raises:
      HyperparameterError: a step size that is not positive.

    Source: Yoon & Ryu 2021, arXiv:2102.07922.
    """
    return _anchored("eag_v", "eag-v", learning_rate)


def feg(learning_rate: Any) -> Method:
    """Fast extra-gradient.

    Args:
      learning_rate: positive number (1/L in the theorem); otherwise as in `eag_c`.

    Raises:
      HyperparameterError: a step size that is not positive.

    Source: Lee & Kim 2021, arXiv:2106.02326.
    """
    return _anchored("feg", "feg", learning_rate)
