"""Noise: its size, its keys, and differential privacy."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nablax.core import ArgumentError, HyperparameterError, StructureError
from nablax.transforms import (
    add_noise,
    differentially_private_aggregate,
    per_example_global_norm_clip,
    per_example_layer_norm_clip,
)


def test_variance_is_annealed():
    size = 20_000
    tx = add_noise(eta=4.0, gamma=1.0, key=jax.random.key(3))
    state, zeros = tx.init(None), jnp.zeros(size)
    draws = []
    for t in (1, 2, 3):
        updates, state = tx.update(zeros, state)
        # The standard error of a standard deviation is sigma / sqrt(2 n); 5 of them.
        sigma = 2.0 / np.sqrt(t)
        np.testing.assert_allclose(jnp.std(updates), sigma, atol=5 * sigma / np.sqrt(2 * size))
        np.testing.assert_allclose(jnp.mean(updates), 0.0, atol=5 * sigma / np.sqrt(size))
        draws.append(updates)
    assert abs(np.corrcoef(draws[0], draws[1])[0, 1]) < 5 / np.sqrt(size)


def test_leaves_get_different_noise_in_their_dtypes():
    zeros = {
        "a": jnp.zeros(3, jnp.bfloat16),
        "b": jnp.zeros(3, jnp.bfloat16),
        "c": jnp.zeros(3, jnp.complex64),
    }
    updates, _ = add_noise(1.0, 0.5, 0).update(zeros, add_noise(1.0, 0.5, 0).init(zeros))
    assert {k: u.dtype for k, u in updates.items()} == {k: z.dtype for k, z in zeros.items()}
    assert not jnp.array_equal(updates["a"], updates["b"])
    assert jnp.all(updates["c"].imag != 0)


def test_keys_and_seeds():
    one = jax.random.key_data(add_noise(1.0, 0.5, 7).init(None).rng_key)
    for tx in (
        add_noise(1.0, 0.5, seed=7),
        add_noise(1.0, 0.5, jax.random.key(7)),
        add_noise(1.0, 0.5, np.int64(7)),
    ):
        np.testing.assert_array_equal(jax.random.key_data(tx.init(None).rng_key), one)
    assert add_noise(1.0, 0.5, jax.random.PRNGKey(7)).init(None).rng_key.dtype == jnp.uint32
    with pytest.raises(ArgumentError, match="add_noise: give key or seed, not both"):
        add_noise(1.0, 0.5, 7, seed=7)
    with pytest.raises(HyperparameterError, match="add_noise: eta must not be negative"):
        add_noise(-1.0, 0.5, 7)


EXAMPLES = [jnp.array([[0.0, 0.0], [3.0, 4.0], [0.3, 0.4]]), jnp.array([0.0, 12.0, 0.0])]


@pytest.mark.parametrize("bound", [0.0, 0.6, 5.0, jnp.inf])
def test_per_example_clipping_like_optax(bound):
    for ours, theirs, more in (
        (per_example_global_norm_clip, optax.per_example_global_norm_clip, ()),
        (per_example_layer_norm_clip, optax.per_example_layer_norm_clip, (True,)),
        (per_example_layer_norm_clip, optax.per_example_layer_norm_clip, (False,)),
    ):
        mine, reference = ours(EXAMPLES, bound, *more), theirs(EXAMPLES, bound, *more)
        assert jax.tree.structure(mine) == jax.tree.structure(reference)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), mine, reference)


def test_per_example_norms_do_not_overflow_in_float16():
    total, clipped = per_example_global_norm_clip([jnp.full((2, 3), 300.0, jnp.float16)], 1.0)
    np.testing.assert_allclose(total[0].astype(np.float32), 2 / np.sqrt(3), rtol=1e-3)
    assert total[0].dtype == jnp.float16
    assert int(clipped) == 2


def test_private_aggregate_like_optax():
    mine = differentially_private_aggregate(1.0, 2.0, 3)
    theirs = optax.contrib.differentially_private_aggregate(1.0, 2.0, 3)
    state, reference = mine.init(EXAMPLES), theirs.init(EXAMPLES)
    for _ in range(2):
        updates, state = jax.jit(mine.update)(EXAMPLES, state)
        expected, reference = theirs.update(EXAMPLES, reference)
        for a, b in zip(updates, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)
        np.testing.assert_array_equal(*(jax.random.key_data(s.rng_key) for s in (state, reference)))


def test_gradients_must_be_stacks():
    with pytest.raises(StructureError, match="per_example_global_norm_clip: every leaf is a stack"):
        per_example_global_norm_clip([jnp.ones((2, 3)), jnp.ones(3)], 1.0)
    tx = differentially_private_aggregate(1.0, 1.0, 0)
    with pytest.raises(StructureError, match="differentially_private_aggregate: every leaf is a stack"):
        tx.update(jnp.ones(()), tx.init(None))
