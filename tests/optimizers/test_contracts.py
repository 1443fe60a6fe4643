"""What every optimizer promises, checked over the catalogue."""

import functools
import inspect
import itertools
import math
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from catalogue import HELPERS, NEEDS_PARAMS, OPTIMIZERS, PARTS, extras, square_sum
from nablax import optimizers
from nablax.core import MissingParamsError

MAKERS = {**{name: functools.partial(make, 0.01) for name, make in OPTIMIZERS.items()}, **PARTS}


def _tree(kind):
    """Trees that together hold every kind of leaf; the mixed one also None, an empty leaf and a scalar."""
    if kind == "bfloat16":
        return {"w": jnp.full((2, 3), 0.5, jnp.bfloat16), "s": jnp.asarray(1.5, jnp.bfloat16)}
    return {
        "w": jnp.full((2, 3), 0.5),
        "half": jnp.full((3,), 0.5, jnp.float16),
        "z": jnp.full((3,), 1.0 + 0.5j, jnp.complex64),
        "none": None,
        "empty": jnp.zeros((0, 3)),
        "s": jnp.asarray(1.5),
    }


def _gradient(name, params):
    g = jax.tree.map(lambda p: 0.1 * p, params)
    return jax.tree.map(lambda x: jnp.stack([x, x]), g) if name == "dpsgd" else g


def _signature(tree):
    return jax.tree.map(lambda x: (jnp.shape(x), jnp.asarray(x).dtype), tree)


def test_the_catalogue_holds_every_public_function():
    public = {n for n, f in vars(optimizers).items() if inspect.isfunction(f) and not n.startswith("_")}
    assert public == {*OPTIMIZERS, *PARTS, *HELPERS}


@pytest.mark.parametrize("kind", ["mixed", "bfloat16"])
@pytest.mark.parametrize("name", MAKERS)
def test_updates_look_like_params_and_states_scan(name, kind):
    tx, params = MAKERS[name](), _tree(kind)

    @jax.jit
    def run(params):
        state = tx.init(params)

        def step(carry, _):
            params, state = carry
            more = extras(name, square_sum(params), square_sum)
            updates, state = tx.update(_gradient(name, params), state, params, **more)
            assert _signature(updates) == _signature(params)
            params = jax.tree.map(lambda p, u: (p + u).astype(p.dtype), params, updates)
            return (params, state), None

        return jax.lax.scan(step, (params, state), length=5)[0]

    after, _ = run(params)
    for leaf in jax.tree.leaves(after):
        assert bool(jnp.all(jnp.isfinite(leaf)))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_vmaps_over_its_learning_rate_and_parameters(name):
    params = {"w": jnp.stack([jnp.full((2, 3), 0.5), jnp.full((2, 3), -2.0)])}

    def one(rate, params):
        tx = OPTIMIZERS[name](rate)
        more = extras(name, square_sum(params), square_sum)
        return tx.update(_gradient(name, params), tx.init(params), params, **more)[0]

    updates = jax.jit(jax.vmap(one))(jnp.array([0.01, 0.02]), params)
    single = jax.jit(one)(jnp.asarray(0.02), jax.tree.map(lambda x: x[1], params))
    assert updates["w"].shape == (2, 2, 3)
    assert jnp.allclose(updates["w"][1], single["w"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NEEDS_PARAMS)
def test_missing_params_are_asked_for_by_name(name):
    tx, params = OPTIMIZERS[name](0.01), _tree("bfloat16")
    more = extras(name, jnp.ones(()), square_sum)
    with pytest.raises(MissingParamsError, match=rf"^(\w+/)*{NEEDS_PARAMS[name]}(:| reads)"):
        tx.update(_gradient(name, params), tx.init(params), **more)


_SIGNED = {"scale_by_optimistic_gradient", "optimistic_gradient_descent", "optimistic_adam_v2"}


def _numbers(name):
    """The arguments whose default is a number, and the learning rate."""
    for argument, p in inspect.signature(getattr(optimizers, name)).parameters.items():
        signed = argument in ("f_min", "scale", "lower_bound", "global_scale")
        signed = signed or (name in _SIGNED and argument in ("alpha", "beta"))
        number = isinstance(p.default, float)
        if not signed and (number or argument in ("learning_rate", "l2_norm_clip", "noise_multiplier")):
            yield argument


def _required(function):
    """Something valid for each argument without a default."""
    valid = {
        "learning_rate": 0.1, "l2_norm_clip": 1.0, "noise_multiplier": 1.0, "seed": 0,
        "base_optimizer": optimizers.sgd(0.1), "optimizer": optimizers.sgd(0.1),
        "adv_optimizer": optimizers.sgd(0.1), "key": 0,
    }  # fmt: skip
    wanted = inspect.signature(function).parameters
    return {k: v for k, v in valid.items() if k in wanted and (wanted[k].default is inspect.Parameter.empty)}


_RENAMED = {
    "b2": ("decay",), "momentum": ("decay", "b1"), "beta": ("decay",), "scaling": ("learning_rate",),
    "decay_offset": ("step_offset",), "eps": ("epsilon",), "seed": ("key",),
}  # fmt: skip


@pytest.mark.parametrize("name", [n for n in (*OPTIMIZERS, *PARTS) if list(_numbers(n))])
def test_bad_numbers_are_refused_by_name(name):
    function = getattr(optimizers, name)
    for argument, bad in itertools.product(_numbers(name), (-1.0, math.nan, "0.1")):
        with pytest.raises((ValueError, TypeError)) as e:
            function(**{**_required(function), argument: bad})
        names = {argument, argument.removeprefix("adam_"), *_RENAMED.get(argument, ())}
        assert any(re.search(rf"\b{n}\b", str(e.value)) for n in names), (argument, bad, str(e.value))


@pytest.mark.parametrize("name", [*OPTIMIZERS, *PARTS, *HELPERS])
def test_the_docstring_has_a_source_and_every_argument(name):
    function = getattr(optimizers, name)
    doc = inspect.getdoc(function)
    assert "Source" in doc
    for argument in inspect.signature(function).parameters:
        assert re.search(rf"\b{argument}\b", doc), argument


_DEVICES = """
import jax, jax.numpy as jnp, sys
sys.path.insert(0, "tests")
from catalogue import OPTIMIZERS, extras, square_sum
from jax.sharding import Mesh, PartitionSpec as P
import numpy as np
mesh = Mesh(np.array(jax.devices()), ("d",))
assert len(jax.devices()) == 2
params = {"w": jnp.full((2, 3), 0.5), "b": jnp.ones(3)}
for name in %r:
    tx = OPTIMIZERS[name](0.01)
    def one(params, g):
        g = jax.lax.pmean(jax.tree.map(lambda x: x[0], g), "d")
        more = extras(name, square_sum(params), square_sum)
        return tx.update(g, tx.init(params), params, **more)[0]
    g = jax.tree.map(lambda p: jnp.stack([0.1 * p, 0.3 * p]), params)
    shared = jax.jit(jax.shard_map(one, mesh=mesh, in_specs=(P(), P("d")), out_specs=P(), check_vma=False))(params, g)
    mean = jax.tree.map(lambda x: x.mean(0), g)
    more = extras(name, square_sum(params), square_sum)
    alone = jax.jit(lambda p, g: tx.update(g, tx.init(p), p, **more)[0])(params, mean)
    for k in params:
        assert jnp.allclose(shared[k], alone[k], rtol=1e-4, atol=1e-7), name
print("done")
"""


def test_optimizers_run_under_shard_map_on_two_devices():
    names = ["adamw", "adafactor", "lamb", "muon", "prodigy", "schedule_free_adamw", "momo", "galore"]
    env = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    out = subprocess.run(
        [sys.executable, "-c", _DEVICES % names], env=env, capture_output=True, text=True, timeout=300
    )
    assert out.returncode == 0, out.stderr[-2000:]
    assert "done" in out.stdout
