"""Random trees."""

import jax
import jax.numpy as jnp
import numpy as np

from nablax import tree

TARGET = {"a": jnp.ones((2, 3)), "b": None, "c": jnp.ones(3, jnp.bfloat16)}


def test_keys_follow_the_leaves():
    keys = tree.split_key_like(jax.random.key(3), TARGET)
    expected = jax.random.split(jax.random.key(3), 2)
    assert keys["b"] is None
    np.testing.assert_array_equal(jax.random.key_data(keys["c"]), jax.random.key_data(expected[1]))
    assert tree.split_key_like(jax.random.PRNGKey(0), TARGET)["a"].shape == (2,)
    assert tree.split_key_like(jax.random.key(0), {}) == {}


def test_random_like_takes_shapes_and_dtypes_from_the_target():
    values = tree.random_like(jax.random.key(0), TARGET)
    assert values["b"] is None
    assert jax.tree.map(lambda x: (x.shape, x.dtype), values) == jax.tree.map(
        lambda x: (x.shape, x.dtype), TARGET
    )
    assert float(jnp.abs(values["a"].ravel()[:3] - values["c"]).max()) > 1e-2  # leaves are independent


def test_random_like_with_sampler_and_dtype():
    values = tree.random_like(jax.random.key(0), TARGET, jax.random.rademacher, jnp.int8)
    assert values["c"].dtype == jnp.int8
    assert set(np.unique(values["a"])) <= {-1, 1}
    assert tree.random_like(jax.random.key(0), [2.0])[0].dtype == jnp.float32
    struct = jax.ShapeDtypeStruct((2,), jnp.bfloat16)
    assert tree.random_like(jax.random.key(0), [struct])[0].dtype == jnp.bfloat16


def test_a_sampler_that_takes_a_sharding_gets_the_leafs():
    def sampler(key, shape, dtype, out_sharding):
        return out_sharding

    leaf = jnp.ones(2)
    assert tree.random_like(jax.random.key(0), [leaf], sampler) == [jax.typeof(leaf).sharding]
    assert tree.random_like(jax.random.key(0), [leaf], lambda key, shape, dtype: shape) == [(2,)]


def test_keys_are_unwrapped_and_the_rest_is_kept():
    old = jax.random.PRNGKey(1)
    result = tree.unwrap_random_key_data([jax.random.key(1), None, 3, old])
    np.testing.assert_array_equal(result[0], old)
    assert result[1:3] == [None, 3]
    assert result[3] is old
