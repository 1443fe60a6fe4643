"""Every optimizer of the catalogue, sharded over eight forced CPU devices.

A script: `test_sharded_catalogue.py` runs it in a process of its own. It prints, as JSON, what went wrong, by the
optimizer's name; nothing where all went well.
"""

import json
import sys
import traceback

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import contexts
import nablax
from catalogue import OPTIMIZERS, extras, square_sum

PARAMS = {"w": jnp.linspace(-1, 1, 16 * 8).reshape(16, 8), "b": jnp.linspace(0.5, 1, 3)}
SPECS = {"w": P(None, "model"), "b": P()}
SAME_IN_OPTAX = (
    "acprop", "adabelief", "adadelta", "adagrad", "adam", "adamax", "adamaxw", "adamw", "adan", "ademamix", "adopt",
    "amsgrad", "cocob", "dog", "dowg", "fromage", "lamb", "lars", "lion", "madgrad", "nadam", "nadamw", "novograd",
    "optimistic_adam_v2", "optimistic_gradient_descent", "polyak_sgd", "radam", "rmsprop", "rprop",
    "schedule_free_adamw", "schedule_free_sgd", "sgd", "sign_sgd", "simplified_ademamix", "sm3", "yogi",
)  # fmt: skip
"""Those whose state has the same structure there, for these arguments, and that step there on such a mesh."""


def on(mesh):
    return jax.tree.map(lambda x, spec: jax.device_put(x, NamedSharding(mesh, spec)), PARAMS, SPECS)


def stepping(name, tx):
    def step(params, state):
        g = jax.tree.map(lambda x: 2 * x + 1, params)
        g = jax.tree.map(lambda x: jnp.stack([x, x]), g) if name == "dpsgd" else g
        updates, state = tx.update(g, state, params, **extras(name, square_sum(params), square_sum))
        return nablax.apply_updates(params, updates), state

    return step


def two_steps(step, params, state):
    step = jax.jit(step)
    for _ in range(2):
        params, state = step(params, state)
    assert step._cache_size() == 1
    return params


def types(tree):
    """Shapes, dtypes and, of arrays, the axes of the mesh that each dimension is split over."""
    kinds = [jax.typeof(x) for x in jax.tree.leaves(tree)]
    return [(k.shape, k.dtype, [e for e in k.sharding.spec if k.ndim]) for k in kinds]


def explicit_types(name, tx, params):
    """Those of parameters and state before and after a step that is traced on an explicit mesh."""
    found = []

    def trace(params):
        state = tx.init(params)
        found.append(types((params, state)))
        found.append(types(stepping(name, tx)(params, state)))

    jax.eval_shape(trace, params)
    return found


def check(name, automatic, explicit):
    tx = OPTIMIZERS[name](0.01)
    alone = two_steps(stepping(name, tx), PARAMS, jax.jit(tx.init)(PARAMS))
    sharded = nablax.shard_state(tx, automatic, param_specs=SPECS)
    params = on(automatic)
    state = sharded.init(params)
    spread = two_steps(stepping(name, sharded), params, state)
    for key, x in spread.items():
        np.testing.assert_allclose(np.asarray(x), np.asarray(alone[key]), 1e-5, 1e-6, err_msg=key)
        assert x.sharding.is_equivalent_to(params[key].sharding, x.ndim), (key, x.sharding)
    plan = nablax.describe_memory(tx, params, mesh=automatic)
    said = sum(row.device for row in plan.rows if row.what not in ("parameters", "gradients"))
    arrays = jax.tree.map(
        lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x, state
    )
    for device in jax.devices():
        there = sum(
            s.data.nbytes for x in jax.tree.leaves(arrays) for s in x.addressable_shards if s.device == device
        )
        assert there == said, (there, said)
    for form in (tx, nablax.shard_state(tx, explicit)):
        before, after = explicit_types(name, form, on(explicit))
        assert before == after
    if name in SAME_IN_OPTAX:
        theirs = getattr(optax, name, None) or getattr(optax.contrib, name)
        assert explicit_types(name, tx, on(explicit)) == explicit_types(name, theirs(0.01), on(explicit))


if __name__ == "__main__":
    contexts.keep()
    assert len(jax.devices()) == 8
    meshes = [
        jax.make_mesh((4, 2), ("data", "model"), axis_types=(t,) * 2)
        for t in (AxisType.Auto, AxisType.Explicit)
    ]
    wrong = {}
    for name in sys.argv[1:] or OPTIMIZERS:
        try:
            check(name, *meshes)
            wrong[name] = ""
        except Exception:
            wrong[name] = traceback.format_exc()[-2000:]
    print(json.dumps(wrong))
