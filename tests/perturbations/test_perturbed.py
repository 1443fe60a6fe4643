"""`make_perturbed_fun`: structures, dtypes, transformations, options and errors.

Seeds are fixed. Comparisons with a mean allow at least 5.5 standard errors, as measured over 60 keys: a false alarm has
a chance below 4e-8 each.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax.core._errors import ArgumentError, HyperparameterError, StructureError
from nablax.perturbations import Laplace, Normal, Rademacher, UniformSphere, make_perturbed_fun

KEY = jax.random.key(7)
A = jnp.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 3.0]])
X = jnp.array([1.0, -1.0, 0.5])


def quadratic(x):
    return 0.5 * x @ A @ x


@pytest.mark.parametrize("estimator", ["score", "antithetic", "pathwise", "measure_valued"])
def test_batches_change_results_by_rounding_only(estimator):
    whole, parts = (
        make_perturbed_fun(quadratic, 50, 0.5, Normal(), estimator=estimator, batch_size=b)
        for b in (None, 16)
    )

    def all_orders(fun):
        return jax.jit(
            lambda x: (fun(KEY, x), jax.grad(fun, 1)(KEY, x), jax.jacfwd(jax.jacrev(fun, 1), 1)(KEY, x))
        )(X)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-4),
        all_orders(whole),
        all_orders(parts),
    )


@pytest.mark.parametrize("baseline", ["none", "value", "leave_one_out", "linear"])
def test_forward_and_reverse_differentiation_agree_with_many_samples(baseline):
    # From 20,000 samples on, XLA's CPU backend fuses some sums wrongly: this is the guard of how ours are
    # written.
    for noise in (Normal(), Laplace()):
        fun = make_perturbed_fun(quadratic, 20_000, 0.5, noise, baseline=baseline)
        forward, reverse = (jax.jit(d(fun, 1))(KEY, X) for d in (jax.jacfwd, jax.jacrev))
        np.testing.assert_allclose(forward, reverse, rtol=1e-4)
        np.testing.assert_allclose(reverse, A @ X, atol=0.4)


def test_compiled_reverse_differentiation_agrees_with_many_samples_and_outputs():
    def f(x):
        return jnp.concatenate([jax.nn.one_hot(jnp.argmax(part), len(part)) for part in (x[:4], x[4:])])

    smooth = make_perturbed_fun(f, 10_000, 0.5, estimator="score", baseline="linear")
    x = jax.random.normal(KEY, (7,))
    forward, backward = (jax.jit(jac(smooth, argnums=1))(KEY, x) for jac in (jax.jacfwd, jax.jacrev))
    np.testing.assert_allclose(
        backward, forward, atol=1e-5
    )  # once XLA added up wrongly: they differed by 0.1


@pytest.mark.parametrize("estimator", ["score", "antithetic"])
def test_likelihood_ratios_never_ask_for_the_derivative_of_the_function(estimator):
    @jax.custom_jvp
    def f(x):
        return x

    @f.defjvp
    def refuse(primals, tangents):
        raise AssertionError

    smooth = make_perturbed_fun(f, 10, estimator=estimator)
    assert np.isfinite(jax.jit(jax.grad(smooth, argnums=1))(KEY, jnp.array(0.0)))


def test_trees_complex_and_integer_outputs():
    x = {"a": jnp.array([1.0, 2.0]), "b": jnp.array(1 + 2j, jnp.complex64), "c": jnp.ones((2,), jnp.bfloat16)}
    sigma = {"a": 0.1, "b": 0.2, "c": 0.3}

    def fun(x):
        return {"steps": jnp.round(10 * x["a"]).astype(jnp.int32), "z": x["b"] * 2j, "low": x["c"]}

    out = jax.jit(make_perturbed_fun(fun, 2000, sigma, Normal()))(KEY, x)
    assert {k: v.dtype for k, v in out.items()} == {
        "steps": jnp.float32,
        "z": jnp.complex64,
        "low": jnp.bfloat16,
    }
    np.testing.assert_allclose(out["steps"], [10, 20], atol=0.3)
    np.testing.assert_allclose(out["z"], (1 + 2j) * 2j, atol=0.05)
    slope = jax.jit(
        jax.grad(lambda x: make_perturbed_fun(lambda x: jnp.abs(x["b"]) ** 2, 4000, sigma, Normal())(KEY, x))
    )(x)
    np.testing.assert_allclose(slope["b"], 2 * jnp.conj(x["b"]), atol=0.5)
    assert slope["c"].dtype == jnp.bfloat16


def test_sigma_may_be_traced_and_differentiated():
    def value(sigma, estimator):
        return make_perturbed_fun(quadratic, 20_000, sigma, Normal(), estimator=estimator)(KEY, X)

    for estimator in ("score", "antithetic", "pathwise"):
        slope = jax.jit(jax.grad(value), static_argnums=1)(0.5, estimator)
        np.testing.assert_allclose(slope, 0.5 * jnp.trace(A), rtol=0.15)
    with pytest.raises(HyperparameterError, match="no derivative in sigma"):
        jax.grad(value)(0.5, "measure_valued")


def test_sigma_may_be_a_traced_tree():
    x = {"a": jnp.array([1.0, -1.0]), "b": jnp.array(0.5)}
    weights = {"a": jnp.array([2.0, 3.0]), "b": jnp.array(1.5)}

    def value(sigma, estimator):
        def fun(x):
            return sum(jnp.sum(weights[k] * x[k] ** 2) for k in x)

        return make_perturbed_fun(fun, 20_000, sigma, Normal(), estimator=estimator)(KEY, x)

    sigma = {"a": 0.4, "b": 0.7}  # d/d sigma of sigma^2 (w1 + w2), leaf by leaf
    for estimator in ("score", "antithetic", "pathwise"):
        slope = jax.jit(jax.grad(value), static_argnums=1)(sigma, estimator)
        np.testing.assert_allclose(slope["a"], 2 * 0.4 * 5.0, rtol=0.22)
        np.testing.assert_allclose(slope["b"], 2 * 0.7 * 1.5, rtol=0.22)


def test_the_default_is_pairs_where_they_are_possible():
    def value(samples, noise=Normal(), **options):  # noqa: B008
        return jax.jit(make_perturbed_fun(quadratic, samples, 0.5, noise, **options))(KEY, X)

    assert value(8) == value(8, estimator="antithetic")
    assert value(7) == value(7, estimator="score")
    assert value(8, use_baseline=False) == value(8, estimator="score", baseline="none")
    assert value(8, baseline="value") == value(8, estimator="score", baseline="value")

    class NoMirror:
        sample, log_prob = Normal().sample, Normal().log_prob

    assert value(8, NoMirror()) == value(8, NoMirror(), estimator="score")


def test_common_random_numbers():
    points = jnp.array([1.0, 2.0])
    same, apart = (
        make_perturbed_fun(lambda x: x, 10, 0.5, Normal(), baseline="none", common_random_numbers=c)
        for c in (True, False)
    )
    errors = jax.jit(jax.vmap(same, (None, 0)))(KEY, points) - points
    np.testing.assert_allclose(errors[0], errors[1], atol=1e-6)
    errors = jax.jit(jax.vmap(apart, (None, 0)))(KEY, points) - points
    assert abs(errors[0] - errors[1]) > 1e-3


def test_noise_of_other_libraries():
    class Logistic:
        def sample(self, key, sample_shape, dtype):
            return jax.random.logistic(key, sample_shape, dtype)

        def log_prob(self, z):
            return -z - 2 * jnp.log1p(jnp.exp(-z))

    fun = make_perturbed_fun(quadratic, 20_000, 0.5, Logistic())
    np.testing.assert_allclose(jax.jit(jax.grad(fun, 1))(KEY, X), A @ X, atol=0.3)
    with pytest.raises(HyperparameterError, match="reflect"):
        make_perturbed_fun(quadratic, 10, 0.5, Logistic(), estimator="antithetic")


@pytest.mark.parametrize("noise", [Laplace(), Rademacher(), UniformSphere()])
def test_laws_without_a_second_derivative_refuse_it(noise):
    for batch in (None, 5):
        fun = make_perturbed_fun(quadratic, 8, 0.5, noise, batch_size=batch)
        assert jnp.all(jnp.isfinite(jax.jit(jax.grad(fun, 1))(KEY, X)))
        with pytest.raises((HyperparameterError, NotImplementedError)):
            jax.jit(jax.jacfwd(jax.jacrev(fun, 1), 1)).lower(KEY, X)


def test_closed_over_parameters_get_their_own_gradient():
    slope = jax.jit(
        jax.grad(lambda w: make_perturbed_fun(lambda x: w * jnp.sign(x), 100, 0.5, Normal())(KEY, 1.0))
    )(2.0)
    assert 0.5 < slope < 1


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"num_samples": 0}, HyperparameterError, "at least 1"),
        ({"num_samples": 1.5}, ArgumentError, "integer"),
        ({"sigma": 0.0}, HyperparameterError, "positive"),
        ({"sigma": float("nan")}, HyperparameterError, "positive"),
        ({"sigma": -1.0}, HyperparameterError, "positive"),
        ({"sigma": "a"}, ArgumentError, "real number"),
        ({"num_samples": 5, "estimator": "antithetic"}, HyperparameterError, "even"),
        ({"estimator": "magic"}, HyperparameterError, "one of"),
        ({"baseline": "best"}, HyperparameterError, "one of"),
        ({"batch_size": 0}, HyperparameterError, "at least 1"),
        ({"noise": 3}, ArgumentError, "log_prob"),
        ({"noise": Rademacher(), "estimator": "measure_valued"}, HyperparameterError, "difference of two"),
        ({"estimator": "pathwise", "baseline": "value"}, HyperparameterError, "no likelihood ratio"),
    ],
)
def test_bad_arguments(arguments, error, words):
    with pytest.raises(error, match=words):
        make_perturbed_fun(quadratic, **arguments)


def test_bad_functions_and_points():
    with pytest.raises(ArgumentError, match=r"jnp\.where"):
        make_perturbed_fun(lambda x: x if x.sum() > 0 else (x, x), 4)(KEY, X)
    with pytest.raises(ArgumentError, match="Boolean index"):
        make_perturbed_fun(lambda x: x[x > 0], 4)(KEY, X)
    calls = []

    def fickle(x):
        calls.append(1)
        return x if len(calls) < 2 else (x, x)

    with pytest.raises(StructureError, match="one structure"):
        make_perturbed_fun(fickle, 4)(KEY, X)
    with pytest.raises(StructureError, match="int32"):
        make_perturbed_fun(lambda x: x, 4)(KEY, jnp.arange(3))
    with pytest.raises(StructureError, match="sigma"):
        make_perturbed_fun(lambda x: x, 4, {"a": 0.1})(KEY, X)
    with pytest.raises(StructureError, match="pathwise"):
        make_perturbed_fun(lambda x: x > 0, 4, estimator="pathwise")(KEY, X)
    with pytest.raises(ArgumentError, match="key"):
        make_perturbed_fun(lambda x: x, 4)(3, X)
