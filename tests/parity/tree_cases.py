"""One table: functions of trees, called alike in nablax.tree and optax.tree. `a b-label` compares a and b."""

import jax
import jax.numpy as jnp
import numpy as np
import optax


def _key_data(t, x):
    return t.unwrap_random_key_data(t.split_key_like(jax.random.key(0), x))


def _arrays(x):
    """Optax casts and imitates no Python numbers."""
    return jax.tree.map(jnp.asarray, x)


EVERY_DTYPE = {
    "add": lambda t, x, y: t.add(x, y, x),
    "sub": lambda t, x, y: t.sub(x, y),
    "mul": lambda t, x, y: t.mul(x, y),
    "div": lambda t, x, y: t.div(x, y),
    "scale": lambda t, x, y: t.scale(-1.7, x),
    "add_scale": lambda t, x, y: t.add_scale(x, 0.3, y),
    "where": lambda t, x, y: t.where(jnp.array(False), x, y),
    "conj": lambda t, x, y: t.conj(x),
    "real": lambda t, x, y: t.real(x),
    "batch_shape": lambda t, x, y: t.batch_shape(x, (2,)),
    "allclose": lambda t, x, y: [t.allclose(x, x), t.allclose(x, y)],
    "vdot": lambda t, x, y: t.vdot(x, y),
    "sum": lambda t, x, y: [t.sum(x), t.sum(x, True)],
    "size": lambda t, x, y: t.size(x),
    # norms with one element more, as Optax's norm of no elements may be an integer, or -inf
    "norm": lambda t, x, y: [t.norm([x, 1.0]), t.norm([x, 1.0], 2, squared=True)],
    "norm-1": lambda t, x, y: t.norm([x, 1.0], 1),
    "norm-inf": lambda t, x, y: [t.norm([x, 1.0], "inf"), t.norm([x, 1.0], np.inf, squared=True)],
    "cast_like": lambda t, x, y: t.cast_like(x, y),
    "zeros_like ones_like full_like": lambda t, x, y: [
        t.zeros_like(x),
        t.ones_like(x),
        t.full_like(x, 0.3),
        t.zeros_like(x, jnp.bfloat16),
    ],
    "update_moment": lambda t, x, y: [t.update_moment(x, t.zeros_like(y), 0.999, k) for k in (1, 2)],
    "update_moment_per_elem_norm": lambda t, x, y: t.update_moment_per_elem_norm(x, t.real(y), 0.999, 2),
    "update_infinity_moment": lambda t, x, y: t.update_infinity_moment(x, t.real(y), 0.9, 1e-8),
    "bias_correction": lambda t, x, y: t.bias_correction(x, 0.9, jnp.int32(3)),
    "split_key_like unwrap_random_key_data": lambda t, x, y: _key_data(t, x),
}
REAL_ONLY = {
    "max min": lambda t, x, y: [t.max(x), t.min(x)],
    "clip": lambda t, x, y: [t.clip(x, -0.5, 1.0), t.clip(x, max_value=0.1), t.clip(x)],
    "cast": lambda t, x, y: [t.cast(_arrays(x), jnp.float16), t.cast(x, None)],
    "random_like": lambda t, x, y: t.random_like(jax.random.key(7), _arrays(x)),
    "dtype": lambda t, x, y: [
        jnp.zeros((), t.dtype(x, handler)) for handler in ("promote", "highest", "lowest")
    ],
}
CASES = [
    *((name, "complex64") for name in EVERY_DTYPE),
    *((name, "float32") for name in [*REAL_ONLY, "add", "vdot", "sum", "norm", "norm-1", "norm-inf"]),
    *((name, "float32") for name in EVERY_DTYPE if "moment" in name),
]


def _state(params):
    tx = optax.chain(
        optax.scale_by_adam(), optax.trace(0.9), optax.inject_hyperparams(optax.sgd)(lambda t: 1 / t)
    )
    return tx.init(params)


def _found(t, key):
    """Paths and values, in any order: ours come depth first."""
    state = _state({"w": jnp.ones(2), "b": jnp.zeros(())})
    return {jax.tree_util.keystr(path): value for path, value in t.get_all_with_path(state, key)}


def _key(t):
    key = t.NamedTupleKey("State", "mu")
    return {f"{key.tuple_name} {key.name} {key} {key!r}": 0.0}


# Functions of the library alone: states are those of Optax.
STATES = {
    "NamedTupleKey": _key,
    "get": lambda t: [
        t.get(_state(jnp.ones(2)), "nu"), t.get(_state(jnp.ones(2)), "absent", 0.5),
        t.get(_state({"w": jnp.ones(2)}), "w", filtering=lambda path, value: "mu" in jax.tree_util.keystr(path)),
    ],
    **{f"get_all_with_path-{key}": lambda t, key=key: _found(t, key)
       for key in ("count", "mu", "w", "learning_rate", "ScaleByAdamState", "absent")},
    "map_params": lambda t: t.map_params(
        optax.adam(0.1), lambda x, y: x + 2 * y, optax.adam(0.1).init({"w": jnp.ones(2)}), {"w": jnp.ones(2)},
        transform_non_params=lambda count: count + 1,
    ),
    **{f"set-{key}": lambda t, key=key: t.set(_state({"w": jnp.ones(2)}), **{key: jnp.ones(())})
       for key in ("learning_rate", "mu", "w", "trace", "ScaleByAdamState")},
}  # fmt: skip
