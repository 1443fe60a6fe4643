"""The traps of correctness.md section 1 that belong to optimizers, one test each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import optimizers as o
from nablax.core import chain
from nablax.transforms import scale_by_schedule


def _steps(tx, params, grads, **extra):
    state, out = tx.init(params), []
    for g in grads:
        updates, state = tx.update(g, state, params, **extra)
        out.append(updates)
    return out, state


def test_trap_adam_in_pure_bfloat16_forgets_old_squares():
    g = [jnp.full(1, 100.0, jnp.bfloat16)] + [jnp.full(1, 0.01, jnp.bfloat16)] * 30
    _, state = _steps(o.scale_by_adam(b2=0.9), jnp.zeros(1, jnp.bfloat16), g)
    assert state.nu.dtype == jnp.float32
    assert float(state.nu[0]) == pytest.approx(1000 * 0.9**30, rel=1e-2)


@pytest.mark.parametrize(
    "name", ["adam", "adabelief", "yogi", "amsgrad", "radam", "ademamix", "adan", "novograd"]
)
def test_trap_second_moments_of_bfloat16_parameters_are_float32(name):
    state = getattr(o, "scale_by_" + {"adabelief": "belief"}.get(name, name))().init(
        jnp.zeros(2, jnp.bfloat16)
    )
    second = state.n if name == "adan" else state.nu
    assert second.dtype == jnp.float32


def test_trap_yogi_does_not_move_on_zero_gradients():
    updates, _ = _steps(o.yogi(0.1), jnp.ones(2), [jnp.zeros(2)] * 3)
    assert float(jnp.abs(jnp.stack(updates)).max()) == 0.0


def test_trap_rprop_emits_the_step_of_this_gradient():
    # By the rule: signs + + - - +, so the sizes are 0.1, 0.12, 0.06 (and no step), 0.06, 0.03 (no step).
    g = [jnp.full(1, x) for x in (2.0, 0.5, -1.0, -3.0, 1.0)]
    updates, _ = _steps(o.rprop(0.1), jnp.zeros(1), g)
    np.testing.assert_allclose(jnp.stack(updates)[:, 0], [-0.1, -0.12, 0.0, 0.06, 0.0], rtol=1e-6)


def test_trap_adadelta_takes_the_modulus_of_complex_gradients():
    turned, _ = _steps(
        o.scale_by_adadelta(), jnp.zeros(1, jnp.complex64), [jnp.full(1, 1j, jnp.complex64)] * 3
    )
    plain, _ = _steps(o.scale_by_adadelta(), jnp.zeros(1), [jnp.ones(1)] * 3)
    np.testing.assert_allclose(jnp.stack(turned), 1j * jnp.stack(plain), rtol=1e-6)


def test_trap_distance_over_gradients_keeps_the_shape_of_a_scalar():
    updates, state = _steps(o.scale_by_distance_over_gradients(), jnp.ones(()), [jnp.ones(())] * 2)
    assert updates[0].shape == ()
    assert jax.tree.map(jnp.shape, state) == type(state)((), (), ())


def test_trap_factored_rms_survives_zero_gradients_in_float16():
    updates, _ = _steps(
        o.adafactor(0.1, min_dim_size_to_factor=2),
        jnp.ones((2, 3), jnp.float16),
        [jnp.zeros((2, 3), jnp.float16)],
    )
    assert float(jnp.abs(updates[0]).max()) == 0.0


def test_trap_schedule_free_counts_from_zero():
    rates = jnp.array([0.5, 0.25, 0.125])

    def rate(count):
        return rates[count]

    tx = o.schedule_free(o.sgd(rate), rate)
    _, state = _steps(tx, jnp.zeros(1), [jnp.ones(1)] * 3)
    assert float(state.max_lr) == 0.5
    assert int(state.step_count) == 3
    assert float(state.weight_sum) == pytest.approx(3 * 0.25)
    np.testing.assert_allclose(state.z, -0.875, rtol=1e-6)


def test_trap_the_weight_sum_of_schedule_free_does_not_stall_in_bfloat16():
    tx, params = o.schedule_free_sgd(1.0), jnp.zeros(1, jnp.bfloat16)
    state = jax.lax.fori_loop(
        0, 300, lambda _, s: tx.update(jnp.zeros_like(params), s, params)[1], tx.init(params)
    )
    assert float(state.weight_sum) == 300.0  # a bfloat16 sum of ones stops at 256


def test_trap_momo_divides_the_step_by_the_weight_decay_too():
    # One step from x = (1, 2), g = (0.3, -0.4), loss 1, lr 10, decay 0.1:
    # tau = min(10, (2 (1 + 0.5) - 0.5) / 0.25) = 10 and x+ = (x - 10 g) / 2 = (-1, 3).
    x = jnp.array([1.0, 2.0])
    tx = o.momo(10.0, weight_decay=0.1)
    updates, _ = tx.update(jnp.array([0.3, -0.4]), tx.init(x), x, value=1.0)
    np.testing.assert_allclose(x + updates, [-1.0, 3.0], rtol=1e-5)


def test_momo_adam_divides_the_step_by_the_weight_decay_too():
    # tau = 10 / rho: Adam's step of the learning rate in each coordinate, and then half of it all.
    x = jnp.array([1.0, 2.0])
    tx = o.momo_adam(0.1, weight_decay=10.0)
    updates, _ = tx.update(jnp.array([0.3, -0.4]), tx.init(x), x, value=100.0)
    np.testing.assert_allclose(x + updates, [(1 - 0.1) / 2, (2 + 0.1) / 2], rtol=1e-5)


@pytest.mark.parametrize(
    "tx",
    [
        o.optimistic_adam(0.1, mu_dtype=jnp.float32),
        o.optimistic_adam_v2(0.1),
        o.optimistic_gradient_descent(0.1),
    ],
)
def test_trap_optimistic_states_keep_their_dtype_with_bfloat16_parameters(tx):
    params = jnp.ones(2, jnp.bfloat16)
    state = tx.init(params)
    after = tx.update(params, state, params)[1]
    assert jax.tree.map(jnp.result_type, after) == jax.tree.map(jnp.result_type, state)


def test_optimistic_adam_takes_a_schedule():
    def rate(count):
        return jnp.where(count < 1, 0.1, 0.2)

    g = [jnp.full(1, x) for x in (1.0, -1.0)]
    updates, _ = _steps(o.optimistic_adam(rate), jnp.zeros(1), g)
    fixed, _ = _steps(o.optimistic_adam(0.2), jnp.zeros(1), g)
    np.testing.assert_allclose(updates[0], 0.5 * fixed[0], rtol=1e-6)
    np.testing.assert_allclose(updates[1], fixed[1], rtol=1e-6)
    own, _ = _steps(o.optimistic_adam(rate, optimism=0.0), jnp.zeros(1), g)
    adam, _ = _steps(o.nadam(rate), jnp.zeros(1), g)
    np.testing.assert_allclose(jnp.stack(own), jnp.stack(adam), rtol=1e-6)


def test_lion_in_bfloat16_remembers_small_gradients():
    # b2 = 0.99 in bfloat16 is 0.988; the rule runs in float32.
    g = [jnp.ones(1, jnp.bfloat16)] * 20
    _, state = _steps(o.scale_by_lion(mu_dtype=jnp.float32), jnp.zeros(1, jnp.bfloat16), g)
    assert float(state.mu[0]) == pytest.approx(1 - 0.99**20, rel=1e-5)


def test_a_rate_below_float16_still_moves_in_a_chain():
    tx = chain(o.scale_by_adam(), scale_by_schedule(lambda count: 1e-8 + 0 * count))
    updates, _ = _steps(tx, jnp.zeros(1, jnp.float16), [jnp.full(1, 100.0, jnp.float16)])
    assert float(updates[0][0]) == pytest.approx(1e-8, abs=6e-8)


def test_adadelta_without_a_learning_rate_descends():
    updates, _ = _steps(o.adadelta(), jnp.zeros(1), [jnp.ones(1)])
    assert float(updates[0][0]) < 0


def test_sm3_takes_scalars():
    updates, _ = _steps(o.scale_by_sm3(b1=0.0), jnp.zeros(()), [jnp.asarray(3.0), jnp.asarray(4.0)])
    np.testing.assert_allclose([float(u) for u in updates], [1.0, 0.8], rtol=1e-5)


def test_polyak_scales_the_step_as_documented():
    g = jnp.array([3.0, 4.0])
    updates, _ = _steps(o.polyak_sgd(scaling=0.5, max_learning_rate=10.0), g, [g], value=2.0)
    np.testing.assert_allclose(updates[0], -0.5 * (2 / 25) * g, rtol=1e-6)


def test_trap_schedule_free_keeps_imaginary_parts_in_a_narrower_state():
    tx, p = o.schedule_free_sgd(0.5, state_dtype=jnp.bfloat16), jnp.array([1.0 + 2.0j, -3.0j])
    state = tx.init(p)
    assert state.z.dtype == jnp.complex64
    updates, state = tx.update(p, state, p)
    assert jnp.allclose(state.z, 0.5 * p)
    assert jnp.allclose(updates, -0.5 * p)


def test_trap_momo_adam_measures_with_the_moments_that_it_steps_with():
    p, g = -jnp.ones(26), jnp.ones(26)
    tx = o.momo_adam(0.1, b2=0.9999)
    updates, _ = jax.jit(tx.update)(g, tx.init(p), p, value=1.0)
    np.testing.assert_allclose(updates, -1 / 26, rtol=2e-5)  # the loss over |g|^2, whatever Adam's root is
