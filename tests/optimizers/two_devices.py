"""Every optimizer takes five steps of a scan under jit and vmap within shard_map, with leaves of three dtypes.

A script: `test_contracts.py` runs it in a process of its own, where XLA is told of two devices. It prints, as JSON,
what went wrong, by the optimizer's name.
"""

import json
import sys
import traceback

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

import contexts
from catalogue import OPTIMIZERS, extras, square_sum

PARAMS = {
    "w": jnp.full((2, 3), 0.5),
    "b": jnp.full((2, 3), -0.5, jnp.bfloat16),
    "z": jnp.full((3,), 1.0 + 0.5j, jnp.complex64),
}
SLOPES = jnp.array([0.125, 0.375])  # gradient over parameters, on each device
COMPARED = (
    "adamw", "adafactor", "dog", "galore", "lamb", "mechanize", "momo", "muon", "noisy_sgd", "sam",
    "schedule_free_adamw", "sophia",
)  # fmt: skip
"""Those that measure all leaves, branch, loop or draw: they are also run alone, which doubles the time to compile."""
MAPPED = ("adamw", "adafactor", "muon")  # under pmap, too


def signature(tree):
    return jax.tree.map(lambda x: (jnp.shape(x), x.dtype), tree)


def run(name, rate, params, slope):
    """Five steps for a slope, a function so that a device can ask the others at each step."""
    tx = OPTIMIZERS[name](rate)

    def step(carry, _):
        params, state = carry
        g = jax.tree.map(lambda p: slope().astype(p.dtype) * p, params)
        g = jax.tree.map(lambda x: jnp.stack([x, x]), g) if name == "dpsgd" else g
        updates, state = tx.update(g, state, params, **extras(name, square_sum(params), square_sum))
        assert signature(updates) == signature(params)
        return (jax.tree.map(lambda p, u: (p + u).astype(p.dtype), params, updates), state), None

    return jax.lax.scan(step, (params, tx.init(params)), length=5)[0][0]


def mean_slope(slope):
    return lambda: jax.lax.pmean(slope, "device")


def check(name, mesh):
    def on_each(rates, lanes, slope):
        return jax.vmap(lambda rate, params: run(name, rate, params, mean_slope(slope[0])))(rates, lanes)

    everywhere, here = PartitionSpec(), PartitionSpec("device")
    mapped = jax.jit(
        jax.shard_map(
            on_each, mesh=mesh, in_specs=(everywhere, everywhere, here), out_specs=everywhere, check_vma=False
        )
    )

    def first_lane(rate, factor):
        lanes = mapped(
            jnp.array([0.01, rate]), jax.tree.map(lambda x: jnp.stack([x, factor * x]), PARAMS), SLOPES
        )
        assert all(bool(jnp.all(jnp.isfinite(x))) for x in jax.tree.leaves(lanes))
        return jax.tree.map(lambda x: x[0], lanes)

    found = first_lane(0.02, -1)
    moved = [bool(jnp.any(x != PARAMS[k])) for k, x in found.items()]
    assert any(moved), "nothing moved"
    compare(found, first_lane(0.001, 2), 0)  # whatever lane 1 does
    if name in COMPARED:
        compare(found, jax.jit(lambda rate: run(name, rate, PARAMS, lambda: jnp.mean(SLOPES)))(0.01), 1e-4)
    if name in MAPPED:
        each = jax.pmap(lambda slope: run(name, 0.01, PARAMS, mean_slope(slope)), axis_name="device")(SLOPES)
        compare(found, jax.tree.map(lambda x: x[1], each), 1e-4)


def compare(found, other, tolerance):
    for key, x in found.items():
        assert other[key].dtype == x.dtype == PARAMS[key].dtype, key
        loose = max(tolerance, 1e-2) if tolerance and x.dtype == jnp.bfloat16 else tolerance
        pair = [np.asarray(y.astype(jnp.complex64)) for y in (x, other[key])]
        np.testing.assert_allclose(*pair, rtol=loose, err_msg=key)


if __name__ == "__main__":
    contexts.keep()
    assert len(jax.devices()) == 2
    mesh = Mesh(np.array(jax.devices()), ("device",))
    failures = {}
    for name in sys.argv[1:] or OPTIMIZERS:
        try:
            check(name, mesh)
        except Exception:
            failures[name] = traceback.format_exc()[-2000:]
    print(json.dumps(failures))
