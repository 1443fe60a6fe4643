"""Per-example gradients: their mean, variance and accumulation, against NumPy and against Optax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optax.experimental import aggregating as peer

from nablax.core import ArgumentError, HyperparameterError, StructureError, identity
from nablax.optimizers import adam
from nablax.transforms import aggregating as ours

PARAMS = {"w": np.zeros((2, 3)), "b": np.zeros(())}
RNG = np.random.default_rng(0)
GRADS = [{"w": RNG.normal(size=(4, 2, 3)), "b": RNG.normal(size=4) + 2} for _ in range(6)]


def assert_close(a, b, rtol):
    """Relative to the largest entry of each leaf."""
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=rtol * np.max(np.abs(y)))


@pytest.mark.parametrize(
    ("calls", "dtype", "rtol"),
    [
        (1, jnp.float64, 1e-12),
        (3, jnp.float64, 1e-7),  # Optax merges squares of several calls with weights in float32
        (3, jnp.float32, 1e-6),
    ],
)
def test_a_tracked_optimizer_steps_and_remembers_as_in_optax(calls, dtype, rtol):
    with jax.enable_x64(dtype == jnp.float64):
        params, *grads = (jax.tree.map(lambda x: jnp.asarray(x, dtype), g) for g in (PARAMS, *GRADS))
        mine = ours.add_mean_variance_to_opt(adam(0.1), 0.9, 0, calls)
        theirs = peer.add_mean_variance_to_opt(adam(0.1), 0.9, 0, calls)
        state, peer_state = mine.init(params), theirs.init(params)
        assert [x.shape for x in jax.tree.leaves(state)] == [x.shape for x in jax.tree.leaves(peer_state)]
        step, peer_step = jax.jit(mine.update), jax.jit(theirs.update)
        for g in grads:
            u, state = step(g, state, params)
            v, peer_state = peer_step(g, peer_state, params)
            assert_close((u, state), (v, peer_state), rtol)
        assert_close(
            ours.get_unbiased_mean_and_variance_ema(state),
            peer.get_unbiased_mean_and_variance_ema(peer_state),
            rtol,
        )


def test_mean_and_squares_over_calls_are_those_of_all_examples():
    with jax.enable_x64(True):
        aggregator = ours.get_per_element_mean_and_sum_sq_diff_grads(0, 3)
        state = aggregator.init(jax.tree.map(jnp.asarray, PARAMS))
        update = jax.jit(aggregator.update)
        for g in GRADS[:3]:
            (mean, aux), state = update(g, state)
        every = np.concatenate([g["w"] for g in GRADS[:3]])
        assert_close(mean["w"], every.mean(0), 1e-12)
        assert_close(aux["sum_sq_diff_grads"]["w"], ((every - every.mean(0)) ** 2).sum(0), 1e-12)
        assert int(aux["sample_size"]) == 12
        assert bool(state.ready)


def test_means_wait_for_all_calls_and_a_nan_does_not_stay():
    tx = ours.process(identity(), ours.average_incrementally_updates(0, 2), adam(0.1))
    params = jax.tree.map(jnp.asarray, PARAMS)
    state = tx.init(params)
    bad = jax.tree.map(lambda g: jnp.asarray(g).at[0].set(jnp.nan), GRADS[0])
    u, state = tx.update(bad, state)
    assert float(jnp.abs(u["w"]).max()) == 0
    assert int(state[2][0].count) == 0
    _, state = tx.update(jax.tree.map(jnp.asarray, GRADS[1]), state)
    fresh = tx.init(params)
    jax.tree.map(np.testing.assert_array_equal, state[1][1].avg_grad, fresh[1][1].avg_grad)
    accumulate = ours.average_incrementally_updates(None, 2)
    state = accumulate.init(jnp.zeros(2))
    _, state = accumulate.update(jnp.array([1.0, 3.0]), state)
    u, state = accumulate.update(jnp.array([2.0, 5.0]), state)
    np.testing.assert_allclose(u, [1.5, 4.0])


def test_complex_gradients_have_a_real_variance():
    g = jnp.array([1 + 1j, -1 + 1j, 1 - 1j, -1 - 1j])[:, None]
    (mean, aux), _ = ours.get_per_element_mean_and_sum_sq_diff_grads().update(g, ())
    np.testing.assert_allclose(mean, [0])
    np.testing.assert_allclose(aux["sum_sq_diff_grads"], [8.0])


def test_bad_arguments():
    with pytest.raises(
        HyperparameterError, match="accumulate_avg_updates: accumulation_steps must be at least 1"
    ):
        ours.accumulate_avg_updates(0)
    with pytest.raises(StructureError, match=r"one axis of examples, of sizes \[2, 3\]"):
        ours.get_batch_size_from_per_elt_updates([jnp.zeros(2), jnp.zeros(3)], 0)
    tx = ours.track_per_element_mean_and_variance_with_ema()
    with pytest.raises(ArgumentError, match="update.. needs sum_sq_diff_grads and sample_size"):
        tx.update(PARAMS, tx.init(PARAMS))
    with pytest.raises(StructureError, match="expected one record of mean and variance, got 0"):
        ours.get_unbiased_mean_and_variance_ema(())
