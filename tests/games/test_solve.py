import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import games
from nablax.core import ArgumentError, HyperparameterError, StructureError
from nablax.games import Stopped, methods
from nablax.optimizers import adam

BILINEAR = games.field(lambda x, y: x * y, minimize="x", maximize="y")
ONES = {"x": 1.0, "y": 1.0}
SHRINK = games.operator(lambda z: z)  # z' = (1 - lr) z
HALVING = methods.simultaneous(0.5)


def test_results_of_a_run_by_hand():
    s = games.solve(HALVING, SHRINK, jnp.array([8.0]), steps=10, tol=1.0)
    assert s.reason is Stopped.CONVERGED
    assert s.reason.value == "The residual fell to the tolerance."
    assert bool(s.converged)
    assert int(s.steps) == 3
    np.testing.assert_allclose(s.point, [1.0])
    np.testing.assert_allclose(s.last, [1.0])
    np.testing.assert_allclose(s.best, [1.0])
    np.testing.assert_allclose(s.average, [(8 + 4 + 2) / 3])
    assert float(s.residual) == 1.0
    np.testing.assert_allclose(s.residuals, [8, 4, 2, 1] + [np.nan] * 7)
    assert int(s.evaluations) == 3 + 1 + 1  # steps, the one thrown away, the last look


def test_all_steps_taken():
    s = games.solve(HALVING, SHRINK, jnp.array([8.0]), steps=2, tol=0.1)
    assert s.reason is Stopped.STEPS
    assert not bool(s.converged)
    np.testing.assert_allclose(s.residuals, [8, 4, 2])
    np.testing.assert_allclose([s.point, s.best, s.last], 2.0)
    assert (int(s.steps), int(s.evaluations)) == (2, 3)


def test_the_last_point_of_a_full_run_is_judged_too():
    s = games.solve(HALVING, SHRINK, jnp.array([8.0]), steps=3, tol=1.0)
    assert s.reason is Stopped.CONVERGED
    assert int(s.steps) == 3


def test_a_solved_start_stays():
    s = games.solve(HALVING, SHRINK, jnp.array([0.5]), steps=3, tol=1.0)
    assert (s.reason, int(s.steps)) == (Stopped.CONVERGED, 0)
    np.testing.assert_allclose([s.point, s.average], 0.5)


def test_best_is_the_least_residual_seen():
    # Simultaneous steps on f = x y spiral out: the first point is the best.
    s = games.solve(methods.simultaneous(0.5), BILINEAR, ONES, steps=20)
    assert float(s.best["x"]) == 1.0
    assert float(s.residual) > float(s.residuals[0])
    assert float(s.point["x"]) == float(s.last["x"]) != 1.0


def test_a_field_that_is_not_finite_stops_it():
    F = games.operator(lambda z: jnp.where(z < 1.0, jnp.nan, jnp.ones_like(z)))
    s = games.solve(methods.simultaneous(1.0), F, jnp.array([3.5]), steps=10)
    assert s.reason is Stopped.NOT_FINITE
    assert "NaN" in s.reason.value
    assert int(s.steps) == 3
    np.testing.assert_allclose(s.last, [0.5])
    assert np.isnan(s.residual)
    assert np.isfinite(s.point).all()
    np.testing.assert_allclose(s.average, [2.5])


def test_a_projection_does_not_hide_what_is_not_finite():
    F = games.operator(lambda z: z * jnp.nan, projection=lambda z: jnp.where(jnp.isnan(z), 0.0, z))
    assert games.solve(methods.simultaneous(1.0), F, jnp.array([3.5]), steps=5).reason is Stopped.NOT_FINITE


def test_nan_at_the_half_point_only():
    F = games.operator(lambda z: jnp.where(z < 0, jnp.nan, z))
    s = games.solve(methods.extragradient(1.5), F, jnp.array([1.0]), steps=5)
    assert s.reason is Stopped.NOT_FINITE
    np.testing.assert_allclose(s.point, [1.0])


def test_a_residual_that_grows_past_the_bound_stops_it():
    s = games.solve(methods.simultaneous(1.0), BILINEAR, ONES, steps=100, max_growth=10.0)
    assert s.reason is Stopped.DIVERGED
    assert "grew past the bound" in s.reason.value
    assert float(s.residuals[s.steps]) > 10 * float(s.residuals[0]) >= float(s.residuals[s.steps - 1])
    np.testing.assert_allclose(s.point["x"], 1.0)
    # A start that happens to be almost solved is no measure of growth.
    s = games.solve(methods.simultaneous(1.0), BILINEAR, {"x": 1e-6, "y": 0.0}, steps=10, max_growth=10.0)
    assert s.reason is Stopped.STEPS


def test_natural_residual_and_projected_start():
    F = games.operator(lambda z: z + 1.0, projection=lambda z: jnp.maximum(z, 0.0))
    s = games.solve(methods.simultaneous(0.5), F, jnp.array([-3.0, 2.0]), steps=50, tol=1e-6)
    assert s.reason is Stopped.CONVERGED
    np.testing.assert_allclose(s.point, 0.0)
    np.testing.assert_allclose(s.residuals[0], 2.0)  # of (0, 2): it would move to (0, 0)


def test_callback_sees_every_step_in_order_and_may_stop():
    seen = []

    def callback(k, z, residual):
        seen.append((k, float(z[0]), residual))
        return k == 3

    s = games.solve(HALVING, SHRINK, jnp.array([8.0]), steps=10, callback=callback)
    assert seen == [(0, 8.0, 8.0), (1, 4.0, 4.0), (2, 2.0, 2.0), (3, 1.0, 1.0)]
    assert (s.reason, int(s.steps)) == (Stopped.CALLBACK, 3)
    np.testing.assert_allclose(s.point, [1.0])


def test_batches_in_turns_or_by_function():
    F = games.operator(lambda z, batch: z - batch)
    data = jnp.array([1.0, 2.0, 4.0])
    expected, z = [], 0.0
    for k in range(7):
        z = z - 0.5 * (z - float(data[k % 3]))
        expected.append(z)
    s = games.solve(HALVING, F, jnp.array(0.0), steps=7, batches=data)
    np.testing.assert_allclose(s.last, expected[-1], rtol=1e-6)
    s = games.solve(HALVING, F, jnp.array(0.0), steps=7, batches=lambda k: data[k % 3])
    np.testing.assert_allclose(s.last, expected[-1], rtol=1e-6)
    path = games.trajectory(HALVING, F, jnp.array(0.0), steps=7, batches=data)
    np.testing.assert_allclose(path[1:], expected, rtol=1e-6)


def test_keys_differ_from_step_to_step_and_repeat_from_run_to_run():
    F = games.operator(lambda z, key: jax.random.normal(key, z.shape))
    key = jax.random.key(3)
    path = games.trajectory(methods.simultaneous(1.0), F, jnp.zeros(2), steps=3, key=key)
    moves = -np.diff(np.asarray(path), axis=0)
    expected = [jax.random.normal(jax.random.fold_in(key, k), (2,)) for k in range(3)]
    np.testing.assert_allclose(moves, expected, rtol=1e-5)
    s = games.solve(methods.simultaneous(1.0), F, jnp.zeros(2), steps=3, key=key)
    np.testing.assert_allclose(s.last, path[-1], rtol=1e-6)


def test_under_jit_and_vmap_with_a_traced_step_size():
    def steps_needed(lr):
        s = games.solve(methods.extragradient(lr), BILINEAR, ONES, steps=500, tol=1e-3)
        return s.steps, s.converged, s.residual

    rates = jnp.array([0.1, 0.3, 0.7])
    steps, converged, residual = jax.jit(jax.vmap(steps_needed))(rates)
    contraction = np.sqrt(1 - rates**2 + rates**4)
    np.testing.assert_array_equal(steps[1:], np.ceil(np.log(1e-3 / np.sqrt(2)) / np.log(contraction))[1:])
    np.testing.assert_array_equal(converged, [int(steps[0]) < 500, True, True])
    assert (residual[1:] <= 1e-3).all()


def test_one_compilation_for_one_game():
    traces = []

    def f(x, y):
        traces.append(1)
        return x @ y

    F, method = games.field(f, minimize="x", maximize="y"), methods.extragradient(0.1)
    games.solve(method, F, {"x": jnp.ones(2), "y": jnp.ones(2)}, steps=5)
    first = len(traces)
    games.solve(method, F, {"x": jnp.zeros(2), "y": jnp.ones(2)}, steps=5, tol=1e-3)
    assert len(traces) == first


def test_gradient_transformations_are_methods():
    s = games.solve(adam(0.1), games.operator(lambda z: z), jnp.array([1.0]), steps=300, tol=1e-3)
    assert s.reason is Stopped.CONVERGED
    two_phases = games.solve(games.extragradient(0.5), BILINEAR, ONES, steps=40)
    solver = games.solve(methods.extragradient(0.5), BILINEAR, ONES, steps=20)
    np.testing.assert_allclose(two_phases.last["x"], solver.last["x"], rtol=1e-4)


def test_low_precision_points_keep_their_dtype_and_average_in_float32():
    z0 = {"x": jnp.ones(3, jnp.bfloat16), "y": jnp.ones(3, jnp.bfloat16)}
    F = games.field(lambda x, y: jnp.sum(x * y), minimize="x", maximize="y")
    s = games.solve(methods.extragradient(0.5), F, z0, steps=10)
    assert s.last["x"].dtype == s.best["x"].dtype == jnp.bfloat16
    assert s.average["x"].dtype == s.residual.dtype == jnp.float32
    integers = games.solve(HALVING, SHRINK, np.array([8, 4]), steps=1)
    np.testing.assert_allclose(integers.last, [4.0, 2.0])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"steps": 0}, HyperparameterError, "steps must be an integer of at least 1, got 0"),
        ({"steps": 2.5}, HyperparameterError, "steps must be an integer"),
        ({"tol": -1.0}, HyperparameterError, "tol must not be negative"),
        ({"max_growth": 0.0}, HyperparameterError, "max_growth must be positive"),
        ({"method": "newton"}, ArgumentError, r"method must be one of games\.methods"),
        ({"z0": {"x": 1.0}}, StructureError, "lacks player 'y'"),
        ({"z0": {"x": 1.0, "y": 1.0, "z": 1.0}}, StructureError, "player 'z' is named in no objective"),
        (
            {"batches": (jnp.ones(2), jnp.ones(3))},
            ArgumentError,
            "batches must be a function of the step, or arrays",
        ),
        ({"batches": jnp.ones(())}, ArgumentError, "batches must be a function"),
        ({"field": lambda z: z["x"]}, StructureError, "must have the structure of the point"),
        (
            {"field": lambda z: {"x": jnp.ones(2), "y": z["y"]}},
            StructureError,
            r"the field at .* has the shape \(2,\), the point \(\)",
        ),
        ({"field": 3}, ArgumentError, "field must be a field or a function of the point"),
    ],
)
def test_bad_input(change, error, message):
    given = {"method": methods.extragradient(0.1), "field": BILINEAR, "z0": ONES, "steps": 3, **change}
    with pytest.raises(error, match=message):
        games.solve(**given)
