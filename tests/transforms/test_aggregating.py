"""Per-example gradients: their mean, variance and accumulation, against NumPy and against Optax."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optax.experimental import aggregating as peer

from nablax.core import ArgumentError, HyperparameterError, StructureError, identity
from nablax.optimizers import adam
from nablax.transforms import _aggregating as ours

PARAMS = {"w": jnp.zeros((2, 3)), "b": jnp.zeros(())}
GRADS = [
    {"w": jax.random.normal(k, (4, 2, 3)), "b": jax.random.normal(k, (4,)) + 2}
    for k in jax.random.split(jax.random.key(0), 6)
]


def assert_close(a, b, **kw):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **{"rtol": 1e-5, "atol": 1e-6, **kw}), a, b)


@pytest.mark.parametrize("calls", [1, 3])
def test_a_tracked_optimizer_steps_and_remembers_as_in_optax(calls):
    mine = ours.add_mean_variance_to_opt(adam(0.1), 0.9, 0, calls)
    theirs = peer.add_mean_variance_to_opt(adam(0.1), 0.9, 0, calls)
    state, peer_state = mine.init(PARAMS), theirs.init(PARAMS)
    assert [x.shape for x in jax.tree.leaves(state)] == [x.shape for x in jax.tree.leaves(peer_state)]
    step, peer_step = jax.jit(mine.update), jax.jit(theirs.update)
    for g in GRADS:
        u, state = step(g, state, PARAMS)
        v, peer_state = peer_step(g, peer_state, PARAMS)
        assert_close(u, v)
        assert_close(tuple(jax.tree.leaves(state)), tuple(jax.tree.leaves(peer_state)))
    assert_close(
        ours.get_unbiased_mean_and_variance_ema(state), peer.get_unbiased_mean_and_variance_ema(peer_state)
    )


def test_mean_and_squares_over_calls_are_those_of_all_examples():
    aggregator = ours.get_per_element_mean_and_sum_sq_diff_grads(0, 3)
    state = aggregator.init(PARAMS)
    for g in GRADS[:3]:
        (mean, aux), state = aggregator.update(g, state)
    every = np.concatenate([g["w"] for g in GRADS[:3]])
    assert_close(mean["w"], every.mean(0))
    assert_close(aux["sum_sq_diff_grads"]["w"], ((every - every.mean(0)) ** 2).sum(0))
    assert int(aux["sample_size"]) == 12
    assert bool(state.ready)


def test_means_wait_for_all_calls_and_a_nan_does_not_stay():
    tx = ours.process(identity(), ours.average_incrementally_updates(0, 2), adam(0.1))
    state = tx.init(PARAMS)
    bad = jax.tree.map(lambda g: g.at[0].set(jnp.nan), GRADS[0])
    u, state = tx.update(bad, state)
    assert float(jnp.abs(u["w"]).max()) == 0
    assert int(state[2][0].count) == 0
    _, state = tx.update(GRADS[1], state)
    fresh = tx.init(PARAMS)
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
        HyperparameterError, match="accumulate_avg_updates: accumulation_steps must be an integer"
    ):
        ours.accumulate_avg_updates(0)
    with pytest.raises(StructureError, match=r"one axis of examples, of sizes \[2, 3\]"):
        ours.get_batch_size_from_per_elt_updates([jnp.zeros(2), jnp.zeros(3)], 0)
    tx = ours.track_per_element_mean_and_variance_with_ema()
    with pytest.raises(ArgumentError, match="update.. needs sum_sq_diff_grads and sample_size"):
        tx.update(PARAMS, tx.init(PARAMS))
    with pytest.raises(StructureError, match="expected one record of mean and variance, got 0"):
        ours.get_unbiased_mean_and_variance_ema(())
