"""What an `Optimizer` saves, and how it is read back: all of it or nothing."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nablax.core import StructureError

_VERSION = 1


def _is_key(x: Any) -> bool:
    return isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _out(x: Any) -> np.ndarray:
    return np.array(jax.random.key_data(x) if _is_key(x) else x)


def saved(params: Any, state: Any, counters: tuple[int, int], live: Any) -> dict[str, Any]:
    """The state dict: NumPy arrays in the trees of params and state (of random keys, their data), and plain numbers."""
    arrays = jax.tree.map(_out, {"params": params, "state": state})
    return {
        "version": _VERSION,
        **arrays,
        "counters": np.asarray(counters, np.int32),
        "hyperparams": dict(live.values_now),
    }


class Loaded(NamedTuple):
    """params, state: arrays where those of the running optimizer are. hyperparams: all of them by path."""

    params: Any
    state: Any
    steps: int
    skipped: int
    hyperparams: dict[str, Any]


def load(found: dict[str, Any], params: Any, state: Any, live: Any) -> Loaded:
    """Reads a state dict for a running optimizer, which it does not touch.

    Raises:
      StructureError: another version, structure, shape or dtype.
      HyperparameterError: a hyperparameter that the transformation refuses.
    """
    if found.get("version") != _VERSION:
        raise StructureError(f"load_state_dict: expected version {_VERSION}, got {found.get('version')!r}.")
    mine = {"params": params, "state": state}
    try:
        new = jax.tree.map(_in, mine, {k: found[k] for k in mine})
        steps, skipped = map(int, np.asarray(found["counters"]))
        numbers = dict(found["hyperparams"])
    except (KeyError, TypeError, ValueError) as e:
        raise StructureError(f"load_state_dict: the saved trees do not fit this optimizer. {e}") from e
    return Loaded(new["params"], new["state"], steps, skipped, live.candidate(numbers))


def _in(mine: Any, theirs: Any) -> Any:
    is_key = _is_key(mine)
    like = jax.random.key_data(mine) if is_key else mine
    if like.shape != np.shape(theirs) or like.dtype != np.asarray(theirs).dtype:
        raise ValueError(f"{np.shape(theirs)} {np.asarray(theirs).dtype} against {like.shape} {like.dtype}")
    array = jax.device_put(np.array(theirs), like.sharding)
    return jax.random.wrap_key_data(array, impl=jax.random.key_impl(mine)) if is_key else array
