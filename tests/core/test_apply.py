"""Parameters plus updates, and averages of parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax.core import StructureError, apply_updates, incremental_update, periodic_update


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_apply_updates_keeps_the_dtypes_of_params(wrap):
    params = {"h": jnp.ones(2, jnp.bfloat16), "i": jnp.array([3]), "n": jnp.ones(1), "z": jnp.array([1j])}
    updates = {"h": jnp.full(2, 0.5), "i": jnp.array([2]), "n": None, "z": jnp.array([1.0 + 0j])}
    out = wrap(apply_updates)(params, updates)
    assert jax.tree.map(lambda x: x.dtype, out) == jax.tree.map(lambda x: x.dtype, params)
    np.testing.assert_array_equal(np.asarray(out["h"], np.float32), 1.5)
    assert int(out["i"][0]) == 5
    np.testing.assert_array_equal(out["n"], 1.0)
    np.testing.assert_array_equal(out["z"], [1 + 1j])


def test_apply_updates_names_what_does_not_fit():
    with pytest.raises(
        StructureError, match=r"apply_updates: params and updates differ at \['a'\]\[1\]: shape \(2,\) ag"
    ):
        apply_updates({"a": [jnp.ones(3), jnp.ones(2)]}, {"a": [jnp.ones(3), jnp.ones(3)]})
    np.testing.assert_array_equal(apply_updates(jnp.ones((2, 3)), jnp.arange(3.0))[1], [1.0, 2.0, 3.0])
    with pytest.raises(StructureError, match=r"differ at \['b'\]: shape \(2,\) against \(3,\)"):
        apply_updates({"a": jnp.ones(2), "b": jnp.ones(2)}, {"a": jnp.ones(1), "b": jnp.ones(3)})
    with pytest.raises(StructureError, match="one structure"):
        apply_updates({"a": jnp.ones(1)}, {"b": jnp.ones(1)})


def test_incremental_update_keeps_integer_leaves_integer():
    new, old = {"w": jnp.array([2.0]), "i": jnp.array([4])}, {"w": jnp.array([0.0]), "i": jnp.array([2])}
    out = incremental_update(new, old, 0.5)
    np.testing.assert_allclose(out["w"], 1.0)
    assert out["i"].dtype == jnp.int32
    assert int(out["i"][0]) == 3


def test_periodic_update_takes_the_new_ones_every_period():
    out = [int(periodic_update(jnp.array(1), jnp.array(0), jnp.array(t), 3)) for t in range(7)]
    assert out == [1, 0, 0, 1, 0, 0, 1]
