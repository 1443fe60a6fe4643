"""Sharded states: eight_devices.py runs once, in a process that is told of eight devices; each check has a name."""

import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import nablax
from devices import run_on
from nablax.core import leaf_roles

HERE = Path(__file__).parent
CHECKS = re.findall(r"^@check\ndef (\w+)", (HERE / "eight_devices.py").read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def wrong():
    return run_on(8, HERE / "eight_devices.py")


@pytest.mark.parametrize("name", CHECKS)
def test_on_eight_devices(name, wrong):
    assert not wrong[name], wrong[name]


def test_roles_of_leaves_are_those_that_parts_declared():
    tx = nablax.chain(nablax.clip(1.0), nablax.MultiSteps(nablax.adamw(1e-3), 2))
    state = jax.eval_shape(tx.init, {"w": jnp.zeros(3)})
    named = zip(jax.tree_util.tree_leaves_with_path(state), leaf_roles(tx, state), strict=True)
    roles = {jax.tree_util.keystr(path): role for (path, _), role in named}
    assert roles["[1].inner_opt_state[0].count"] == "count"
    assert roles["[1].inner_opt_state[0].mu['w']"] == "first_moment"
    assert roles["[1].inner_opt_state[0].nu['w']"] == "second_moment"


def test_a_random_key_is_on_every_device():
    mesh, noise = (
        jax.sharding.AbstractMesh((2,), ("data",)),
        nablax.add_noise(0.1, 0.5, jax.random.PRNGKey(0)),
    )
    state = nablax.state_shardings(noise, {"w": jnp.zeros((4, 2))}, mesh)
    assert state.rng_key.spec == jax.P()  # two words, which two devices could share


def test_a_plan_for_70_billion_parameters_allocates_nothing():
    layers = {str(i): jax.ShapeDtypeStruct((8192, 8192), jnp.bfloat16) for i in range(1043)}
    mesh = jax.sharding.AbstractMesh((512,), ("data",))
    plan = nablax.describe_memory(nablax.adamw(1e-4), layers, mesh=mesh)
    rows = {row.what: row for row in plan.rows}
    n = 1043 * 8192 * 8192
    assert rows["parameters"].device == rows["gradients"].device == 2 * n
    assert rows["adamw/mu"].total == 2 * n
    assert rows["adamw/nu"].total == 4 * n
    assert rows["adamw/mu"].device == 2 * n // 512
    assert plan.devices == 512
    assert "adamw/nu" in str(plan)


def test_a_collective_is_counted_as_often_as_its_loop_runs():
    sys.path.insert(0, str(HERE.parent.parent / "benchmarks"))
    try:
        from hlo import collectives
    finally:
        sys.path.pop(0)
    text = """
%body (p: f32[4]) -> f32[4] {
  %a = f32[4]{0} all-reduce(%p), replica_groups=[1,4]<=[4], to_apply=%add
}

ENTRY %main (p: f32[4]) -> f32[4] {
  %g = f32[16]{0} all-gather(%p), replica_groups={{0,1,2,3}}, dimensions={0}
  %w = f32[4]{0} while(%p), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"5"}}
}
"""
    read = collectives(text)
    assert read.count == {"all-gather": 1, "all-reduce": 5}
    assert read.sent == {"all-gather": 64 * 3 / 4, "all-reduce": 5 * 2 * 16 * 3 / 4}
