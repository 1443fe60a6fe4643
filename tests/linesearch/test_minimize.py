"""`minimize`: published optima, bounds, what it reports, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from jax.experimental import checkify

from linesearch.mgh_problems import PROBLEMS
from nablax.core import ArgumentError, HyperparameterError, StructureError, chain
from nablax.linesearch import Stopped, minimize, scale_by_zoom_linesearch
from nablax.optimizers import adam, sgd
from nablax.transforms import scale


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


@pytest.mark.parametrize("name", PROBLEMS)
def test_it_reaches_the_published_optimum(name):
    problem = PROBLEMS[name]
    with jax.enable_x64(True):

        @jax.jit
        def solve(x0):
            result = minimize(problem, x0, tol=1e-8)
            return result, jax.value_and_grad(problem)(result.x)

        result, (value, grad) = solve(jnp.array(problem.x0))
        assert result.reason is Stopped.CONVERGED, result.reason.value
        np.testing.assert_allclose(result.value, problem.minimum, rtol=1e-9, atol=1e-13)
        if problem.x is not None:
            np.testing.assert_allclose(result.x, problem.x, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(result.value, value, rtol=1e-12, atol=1e-20)
        np.testing.assert_allclose(result.grad, grad, rtol=1e-6, atol=1e-9)
        assert float(result.grad_norm) == float(jnp.max(jnp.abs(result.grad)))


def test_bounds_against_scipy():
    a = np.random.default_rng(0).normal(size=(6, 4))
    data, b = jnp.asarray(a), np.random.default_rng(1).normal(size=6)
    lower, upper = np.array([-0.1, -np.inf, 0.05, -1.0]), np.array([0.1, 0.2, np.inf, 1.0])
    with jax.enable_x64(True):
        data, target = jnp.asarray(a), jnp.asarray(b)

        def fun(x):
            r = data @ x - target
            return jnp.sum(r**2 + 0.1 * r**4)

        result = minimize(fun, jnp.full(4, 5.0), bounds=(lower, upper), tol=1e-9)
        assert result.reason is Stopped.CONVERGED
        expected = scipy.optimize.minimize(
            jax.jit(jax.value_and_grad(fun)), np.full(4, 0.1), jac=True, method="L-BFGS-B",
            bounds=list(zip(lower, upper, strict=True)), options={"ftol": 0, "gtol": 1e-9},
        )  # fmt: skip
        np.testing.assert_allclose(result.value, expected.fun, rtol=1e-12)
        np.testing.assert_allclose(result.x, expected.x, atol=1e-7)
        assert np.all(result.x >= lower)
        assert np.all(result.x <= upper)
        assert int(jnp.sum((result.x == lower) | (result.x == upper))) >= 1


def test_bounded_rosenbrock_and_bounds_that_do_not_matter():
    with jax.enable_x64(True):
        x0 = jnp.array([-1.2, 1.0])
        corner = minimize(rosenbrock, x0, bounds=(None, 0.5), tol=1e-9)
        np.testing.assert_allclose(corner.x, [0.5, 0.25], atol=1e-8)
        wide = minimize(rosenbrock, x0, bounds=(-10.0, jnp.array([10.0, jnp.inf])), tol=1e-8)
        np.testing.assert_allclose(wide.x, [1.0, 1.0], atol=1e-6)
        pinned = minimize(rosenbrock, x0, bounds=(jnp.array([0.3, 0.2]), jnp.array([0.3, 0.2])))
        assert pinned.reason is Stopped.CONVERGED
        np.testing.assert_array_equal(pinned.x, [0.3, 0.2])


def test_trees_aux_data_and_counts():
    calls = []

    def fun(p, x, y):
        jax.debug.callback(lambda _: calls.append(1), p["b"])
        r = x @ p["w"] + p["b"] - y
        return jnp.mean(r**2), {"residual": r}

    x = jax.random.normal(jax.random.key(0), (20, 3))
    y = x @ jnp.array([1.0, -2.0, 0.5]) + 0.7
    result = minimize(fun, {"w": jnp.zeros(3), "b": 0}, args=(x, y), has_aux=True, tol=1e-5)
    jax.effects_barrier()
    assert bool(result.converged)
    assert len(calls) == int(result.evaluations)
    np.testing.assert_allclose(result.x["w"], [1.0, -2.0, 0.5], atol=1e-4)
    np.testing.assert_allclose(result.x["b"], 0.7, atol=1e-4)
    np.testing.assert_allclose(result.aux["residual"], 0, atol=1e-3)


def test_transformations_and_steps():
    def fun(x):
        return jnp.sum(jnp.array([1.0, 5.0]) * (x - 1) ** 2)

    result = minimize(fun, jnp.zeros(2), adam(0.1), max_steps=7)
    assert result.reason is Stopped.STEPS
    assert (int(result.steps), int(result.evaluations)) == (7, 8)
    by_hand, state = jnp.zeros(2), (tx := adam(0.1)).init(jnp.zeros(2))
    for _ in range(7):
        updates, state = tx.update(jax.grad(fun)(by_hand), state, by_hand)
        by_hand = by_hand + updates
    np.testing.assert_allclose(result.x, by_hand, rtol=1e-5)
    result = minimize(fun, jnp.zeros(2), chain(sgd(1.0), scale_by_zoom_linesearch(20)), tol=1e-4)
    assert bool(result.converged)
    # What stands after the search moves the point away from where it evaluated.
    shortened = chain(sgd(1.0), scale_by_zoom_linesearch(20), scale(0.5))
    result = minimize(fun, jnp.zeros(2), shortened, tol=1e-4)
    np.testing.assert_allclose(result.grad, jax.grad(fun)(result.x), atol=1e-6)
    bounded = minimize(fun, jnp.zeros(2), adam(0.1), bounds=(None, 0.5), tol=1e-6)
    np.testing.assert_array_equal(bounded.x, [0.5, 0.5])
    assert bool(bounded.converged)


def test_why_it_stopped():
    at_minimum = minimize(lambda x: jnp.sum(x**2), jnp.zeros(2))
    assert (at_minimum.reason, int(at_minimum.steps)) == (Stopped.CONVERGED, 0)
    undefined = minimize(lambda x: jnp.sum(jnp.log(x)), -jnp.ones(2))
    assert undefined.reason is Stopped.NOT_FINITE

    @jax.custom_jvp
    def wrong(x):
        return jnp.sum(x**2)

    wrong.defjvp(lambda p, t: (wrong(*p), -2 * jnp.vdot(p[0], t[0])))
    result = minimize(wrong, jnp.ones(2))
    assert result.reason is Stopped.NO_DECREASE
    assert int(result.steps) < 10
    np.testing.assert_allclose(result.x, [1.0, 1.0], rtol=1e-5)


def test_under_vmap_and_without_compiling_again():
    traces = []

    def fun(x, center):
        traces.append(1)
        return jnp.sum((x - center) ** 2) + jnp.sum((x - center) ** 4)

    centers = jnp.arange(6.0).reshape(3, 2)
    many = jax.vmap(lambda c: minimize(fun, jnp.zeros(2), args=(c,), tol=1e-4))(centers)
    np.testing.assert_allclose(many.x, centers, atol=1e-4)
    assert bool(jnp.all(many.converged))
    minimize(fun, jnp.zeros(2), args=(centers[0],))
    before = len(traces)
    minimize(fun, jnp.ones(2), args=(centers[1],), tol=1e-3, max_steps=5)
    assert len(traces) == before  # neither compiled nor traced: a call costs a look-up


def test_complex_parameters():
    target = jnp.array([1 + 2j, -0.5j])
    result = minimize(
        lambda z: jnp.sum(jnp.abs(z - target) ** 2 * jnp.array([1.0, 4.0])), jnp.zeros(2, jnp.complex64)
    )
    assert bool(result.converged)
    np.testing.assert_allclose(result.x, target, atol=1e-5)


@pytest.mark.parametrize(
    "fun",
    [
        lambda x: -jnp.sum(x),  # every gradient is the same
        lambda x: -jnp.sum(x**2),
        lambda x: -jnp.sum(jnp.exp(x)),  # minus infinity within a step
    ],
)
@pytest.mark.parametrize("bounds", [None, (0.0, None)])
def test_functions_without_a_minimum_are_called_so(fun, bounds):
    result = minimize(fun, jnp.ones(2), bounds=bounds, max_steps=60)
    assert result.reason is Stopped.UNBOUNDED
    assert "seems to have no minimum" in result.reason.value
    assert not result.converged


def test_a_minimum_far_away_is_no_missing_one():
    """A slope of nearly 1 for a million, first; steps that are few; and a bound at the end of a long slope."""

    def far(x):
        return jnp.sum(jnp.sqrt(1 + (x - 1e7) ** 2))

    with jax.enable_x64(True):
        assert minimize(far, jnp.zeros(2), max_steps=200).reason is Stopped.CONVERGED
    assert minimize(rosenbrock, jnp.array([-1.2, 1.0]), max_steps=2).reason is Stopped.STEPS
    at_the_bound = minimize(lambda x: -jnp.sum(x), jnp.zeros(2), bounds=(0.0, 1e6), max_steps=20)
    assert at_the_bound.reason is Stopped.CONVERGED
    np.testing.assert_array_equal(at_the_bound.x, 1e6)


def test_bad_arguments():
    x = jnp.ones(2)
    for error, message, kw in [
        (
            ArgumentError,
            "method must be 'lbfgs' or a gradient transformation, got 'bfgs'",
            {"method": "bfgs"},
        ),
        (
            ArgumentError,
            "method must be a gradient transformation, with functions init and update, got int: 3",
            {"method": 3},
        ),
        (ArgumentError, "args must be a tuple of what fun gets after x, got 3", {"args": 3}),
        (HyperparameterError, "tol must not be negative, got -1", {"tol": -1}),
        (HyperparameterError, "max_steps must be at least 1, got 0", {"max_steps": 0}),
        (ArgumentError, "max_steps must be an integer, got float: 1.5", {"max_steps": 1.5}),
        (ArgumentError, r"bounds must be a pair \(lower, upper\), got 3;", {"bounds": 3}),
        (HyperparameterError, "lower <= upper, got 2 and 1", {"bounds": (jnp.array([0.0, 2.0]), 1.0)}),
        (HyperparameterError, "lower <= upper, got nan and inf", {"bounds": (jnp.nan, None)}),
        (
            StructureError,
            r"the lower bounds Array.* do not fit x0; each is",
            {"bounds": (jnp.zeros(3), None)},
        ),
        (StructureError, "must return a pair", {"has_aux": True}),
    ]:
        with pytest.raises(error, match=message):
            minimize(jnp.sum, x, **kw)
    with pytest.raises(StructureError, match=r"fun must return a real scalar, got float32\[2\]"):
        minimize(jnp.square, x)
    with pytest.raises(StructureError, match=r"fun must return a real scalar, got int32\[\]"):
        minimize(lambda x: jnp.sum(x.astype(int)), x)
    with pytest.raises(StructureError, match="bounds need real parameters"):
        minimize(lambda z: jnp.abs(z).sum(), x + 0j, bounds=(0.0, 1.0))
    with pytest.raises(ArgumentError, match="fun must be a function, got float"):
        minimize(1.0, x)


@pytest.mark.parametrize(
    "bounds",
    [
        [(0, 1), (0, None)],  # as many pairs as a pair has sides
        [(0, 1), (0, 1), (0, 1)],
        np.array([[0.0, 1.0], [0.0, 2.0]]),
        scipy.optimize.Bounds(0, 1),
    ],
)
def test_bounds_in_scipys_forms_are_told_the_form_here(bounds):
    """A list of two pairs cannot be told from a pair of lists, so no such list is taken."""
    with pytest.raises((ArgumentError, StructureError), match=r"is the pair \(lows, highs\) of arrays here"):
        minimize(jnp.sum, jnp.ones(2), bounds=bounds)


def test_bounds_of_trees_that_hold_none():
    x0 = {"a": jnp.ones(2), "b": None}
    result = minimize(lambda x: jnp.sum(x["a"] ** 2), x0, bounds=(0.5, None))
    np.testing.assert_allclose(result.x["a"], 0.5)
    assert result.x["b"] is None


def test_traced_bounds_are_checked_by_checkify():
    def bounded(low):
        return minimize(lambda x: jnp.sum(x**2), jnp.zeros(2), bounds=(low, 0.0)).x

    checked = jax.jit(checkify.checkify(bounded, errors=checkify.user_checks))
    assert checked(-1.0)[0].get() is None
    assert "lower <= upper" in checked(1.0)[0].get()
