"""Facts of perturbed functions, against closed forms.

Every statistical test has a fixed seed and compares with 5.5 standard errors, taken from theory or from
independent repeats: a correct program fails a comparison with probability below 4e-8, and no test makes more
than 25 of them (1e-6 a test). The identity alone is held to four standard errors, the figure promised for it: a
correct program would miss one of its 24 comparisons with probability 1.5e-3 if the seed were free.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax.perturbations import Gumbel, Normal, Rademacher, make_perturbed_fun

KEY = jax.random.key(20)
LIMIT = 5.5
H = jnp.array([[2.0, 0.5], [0.5, 1.0]])


def repeats(fun, x, orders, count=300):
    """Independent estimates of several derivatives, in one program: a list of arrays with one estimate a row."""
    derivatives = [fun, jax.jacrev(fun, 1)]
    for _ in range(max(orders, default=0) - 1):
        derivatives.append(jax.jacfwd(derivatives[-1], 1))

    def once(key):
        return [derivatives[order](key, x) for order in orders]

    return [np.asarray(a, np.float64) for a in jax.jit(jax.vmap(once))(jax.random.split(KEY, count))]


def assert_means(fun, x, expected, count=300):
    """`expected`: the exact value of each order of differentiation that is checked."""
    for out, exact in zip(repeats(fun, x, expected, count), expected.values(), strict=True):
        error = out.std(0, ddof=1) / np.sqrt(count)
        np.testing.assert_array_less(np.abs(out.mean(0) - np.asarray(exact)), LIMIT * error + 1e-6)


def rounding_variance(x, sigma, dtype):
    """E[(rounding error)^2 z^2]/sigma^2 of stochastic rounding at x, by quadrature over z."""
    gap = float(np.spacing(np.asarray(abs(x), dtype)))
    z = np.linspace(-9, 9, 2_000_001)
    part = np.mod(np.abs(sigma * z) / gap, 1)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return np.sum(z**2 * part * (1 - part) * density) * (z[1] - z[0]) * gap**2 / sigma**2


@pytest.mark.parametrize("x64", [False, True])
def test_identity_has_slope_one_whatever_sigma_and_x(x64):
    count, samples = 64, 1000
    with jax.enable_x64(x64):
        dtype = np.float64 if x64 else np.float32

        @jax.jit
        def estimates(x, sigma):
            fun = make_perturbed_fun(lambda x: x, samples, sigma, Normal(), baseline="value")
            return jax.vmap(jax.value_and_grad(fun, 1), (0, None))(jax.random.split(KEY, count), x)

        print("sigma      x    estimated gradient (must be 1, not sigma)")
        for sigma in (1e-3, 0.1, 0.5, 10.0):
            for x in (0.0, 1.0, 1e6):
                value, slope = (np.asarray(a, np.float64) for a in estimates(jnp.asarray(x, dtype), sigma))
                variance = 2 + (rounding_variance(x, sigma, dtype) if x else 0)
                error = np.sqrt(variance / samples / count)
                print(f"{sigma:6g} {x:8g}  {slope.mean():.4f} +- {error:.4f}")
                assert abs(slope.mean() - 1) < 4 * error
                # The sample's standard error agrees with theory: a variance of 64 numbers, five sigma.
                assert 0.5 < slope.var(ddof=1) / (variance / samples) < 2.0
                spacing = float(np.spacing(np.asarray(abs(x), dtype)))
                assert abs(value.mean() - x) < 4 * sigma / np.sqrt(samples * count) + 0.6 * spacing


@pytest.mark.parametrize("noise", [Normal(), Gumbel()])
@pytest.mark.parametrize("estimator", ["score", "antithetic", "pathwise", "measure_valued"])
def test_quadratic_value_gradient_and_hessian(noise, estimator):
    x, sigma = jnp.array([1.0, -0.5]), 0.5
    fun = make_perturbed_fun(lambda x: 0.5 * x @ H @ x, 40, sigma, noise, estimator=estimator)
    center = x + sigma * noise.mean
    value = 0.5 * center @ H @ center + 0.5 * (sigma * noise.std) ** 2 * jnp.trace(H)
    assert_means(fun, x, {0: value, 1: H @ center, 2: H})


@pytest.mark.parametrize(
    ("noise", "estimator"),
    [
        (Normal(), "score"),
        (Normal(), "antithetic"),
        (Normal(), "pathwise"),
        (Normal(), "measure_valued"),
        (Gumbel(), "score"),
    ],
)
def test_third_and_fourth_derivatives(noise, estimator):
    # Of x^4 - 2 x^3 smoothed: the third is linear in x, so that only the mean of the noise enters.
    x, sigma = jnp.float32(0.5), 0.8
    fun = make_perturbed_fun(lambda x: x**4 - 2 * x**3, 60, sigma, noise, estimator=estimator)
    exact = {3: 24 * (0.5 + sigma * noise.mean) - 12}
    if estimator == "score":
        exact[4] = 24.0
    assert_means(fun, x, exact, 2000)


@pytest.mark.parametrize("baseline", ["none", "value", "leave_one_out", "linear"])
@pytest.mark.parametrize("estimator", ["score", "antithetic"])
def test_baselines_leave_every_order_unbiased(baseline, estimator):
    # Few samples: a baseline that depends on its own sample would show a bias of 1/8.
    fun = make_perturbed_fun(
        lambda x: 3 + 0.5 * x @ H @ x, 8, 0.7, Normal(), estimator=estimator, baseline=baseline
    )
    x = jnp.array([1.0, -0.5])
    assert_means(fun, x, {1: H @ x, 2: H}, 3000)


def test_argmax_with_gumbel_noise_is_softmax():
    x, sigma = jnp.array([0.2, 0.0, -0.3]), 0.5
    p = jax.nn.softmax(x / sigma)
    fun = make_perturbed_fun(lambda x: jax.nn.one_hot(jnp.argmax(x), 3), 50, sigma, Gumbel())
    assert_means(fun, x, {0: p, 1: (jnp.diag(p) - jnp.outer(p, p)) / sigma})


def test_gumbel_noise_shifts_the_identity():
    fun = make_perturbed_fun(lambda x: x, 50, 0.5, Gumbel(), baseline="none")
    assert_means(fun, jnp.float32(2), {0: 2 + 0.5 * 0.5772157})


def test_sign_and_relu_smoothing():
    sigma, x = 0.5, jnp.float32(0.3)
    density = lambda x: jnp.exp(-((x / sigma) ** 2) / 2) / (sigma * np.sqrt(2 * np.pi))  # noqa: E731
    sign = make_perturbed_fun(jnp.sign, 50, sigma, Normal())
    relu = make_perturbed_fun(lambda x: jnp.maximum(x, 0), 50, sigma, Normal())
    chance = jax.scipy.stats.norm.cdf(x / sigma)
    assert_means(sign, x, {0: 2 * chance - 1, 1: 2 * density(x), 2: 2 * jax.grad(density)(x)})
    assert_means(relu, x, {1: chance, 2: density(x)})


@pytest.mark.parametrize(("noise", "excess"), [(Normal(), 1), (Rademacher(), -1)])
def test_variance_of_a_linear_function_with_the_value_as_baseline(noise, excess):
    a, samples = jnp.array([1.0, -2.0, 0.5, 3.0]), 50
    fun = make_perturbed_fun(lambda x: a @ x, samples, 0.3, noise, baseline="value")
    (out,) = repeats(fun, jnp.zeros(4), [1], 4000)
    squared = np.sum((out - np.asarray(a)) ** 2, 1)
    expected = (4 + excess) * float(a @ a) / samples
    assert abs(squared.mean() - expected) < LIMIT * squared.std() / np.sqrt(len(squared))


def test_leave_one_out_is_the_centred_sum_and_the_plain_mean_would_shrink_it():
    fun = make_perturbed_fun(lambda x: x, 4, 0.5, Normal(), baseline="leave_one_out")
    (out,) = repeats(fun, jnp.float32(1.0), [1], 4000)
    mean, error = out.mean(), out.std(ddof=1) / np.sqrt(4000)
    assert abs(mean - 1) < LIMIT * error
    assert abs(0.75 * mean - 1) > LIMIT * error


@pytest.mark.parametrize("estimator", ["score", "antithetic", "measure_valued"])
def test_a_point_known_when_compiling_is_smoothed_like_any_other(estimator):
    # XLA may compute (x + delta) - x as delta where it knows x: then nothing would be left to round by chance.
    fun = make_perturbed_fun(lambda x: x, 500, 1e-2, Normal(), estimator=estimator)
    x, key = jnp.float32(1e6), jax.random.key(0)
    known = jax.jit(lambda k: jax.grad(fun, 1)(k, x))(key)
    given = jax.jit(jax.grad(fun, 1))(key, x)
    np.testing.assert_allclose(known, given, rtol=1e-5)
