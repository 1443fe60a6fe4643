"""Optimizers, expectations, evolution strategies, MeZO and statistics. Seeds are fixed; tolerances are 5.5
standard errors or more."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nablax
import nablax.perturbations as np_
from nablax.core._errors import ArgumentError, HyperparameterError, StructureError
from nablax.perturbations._sampling import draw

KEY = jax.random.key(3)
X = jnp.array([0.3, -0.2, 0.1])
WEIGHTS = jnp.array([1.0, -2.0, 0.5])


def smooth_function(x):
    return jnp.sum(jnp.square(x)) + x @ WEIGHTS


def test_perturbed_argmax_is_softmax_and_top_one_agrees():
    p = jax.nn.softmax(X / 0.5)
    np.testing.assert_allclose(np_.perturbed_argmax(KEY, X, sigma=0.5), p, rtol=1e-6)
    sampled = jax.jit(lambda x: np_.perturbed_top_k(KEY, x, 1, num_samples=10_000, sigma=0.5))(X)
    np.testing.assert_allclose(sampled, p, atol=5.5 * 0.5 / 100)
    normal = jax.jit(lambda x: np_.perturbed_argmax(KEY, x, num_samples=1000, sigma=0.5, noise=np_.Normal()))(
        X
    )
    np.testing.assert_allclose(jnp.sum(normal), 1, rtol=1e-5)


def test_rank_sort_and_top_k_of_clear_scores():
    x = jnp.array([3.0, 1.0, 2.0])

    @jax.jit
    def all_of_them(x):
        rank, in_order = (
            np_.perturbed_rank(KEY, x, num_samples=8, sigma=1e-3),
            np_.perturbed_sort(KEY, x, num_samples=8, sigma=1e-3),
        )
        return rank, in_order, np_.perturbed_top_k(KEY, x, 2, num_samples=8, sigma=1e-3)

    rank, in_order, top = all_of_them(x)
    np.testing.assert_allclose(rank, [3, 1, 2])
    np.testing.assert_allclose(in_order, [1, 2, 3], atol=1e-2)
    np.testing.assert_allclose(top, [1, 0, 1])
    with pytest.raises(HyperparameterError, match="at most"):
        np_.top_k_oracle(4)(x)


def test_shortest_path_ends_where_costs_vanish_beside_the_distance():
    # From 20 on, 1e-6 is less than the spacing of float32: cells of the valley are equally far.
    scores = jnp.full((6, 6), 0.0).at[0, 0].set(-40.0)
    path = np.asarray(jax.jit(np_.shortest_path_oracle())(scores))
    assert path[0, 0] == path[-1, -1] == 1
    cells = np.argwhere(path)
    assert all(np.sort(np.abs(cells - c).max(1))[1] == 1 for c in cells)  # each has a neighbour on the path
    broken = jax.jit(np_.shortest_path_oracle())(scores.at[2:4].set(jnp.nan))
    assert broken.shape == (6, 6)


def test_shortest_path_goes_round_the_mountain():
    costs = jnp.ones((4, 4)).at[1:, 1].set(50.0).at[0:3, 3].set(50.0).at[3, 2].set(40.0)
    path, perturbed = jax.jit(
        lambda costs: (
            np_.shortest_path_oracle(diagonal=False)(-costs),
            np_.perturbed_shortest_path(KEY, costs, num_samples=8, sigma=1e-4, diagonal=False),
        )
    )(costs)
    best = min(_path_costs(np.asarray(costs)))
    np.testing.assert_allclose(np.sum(path * np.asarray(costs)), best)
    np.testing.assert_allclose(perturbed, path)


def _path_costs(costs, cell=(0, 0), seen=()):
    """The costs of all simple four-neighbour paths to the last cell, by brute force."""
    height, width = costs.shape
    if cell == (height - 1, width - 1):
        yield costs[cell]
        return
    for move in ((0, 1), (1, 0), (0, -1), (-1, 0)):
        there = (cell[0] + move[0], cell[1] + move[1])
        if 0 <= there[0] < height and 0 <= there[1] < width and there not in seen:
            for rest in _path_costs(costs, there, (*seen, cell)):
                yield costs[cell] + rest


def test_fenchel_young_loss_of_gumbel_argmax():
    target, sigma = jnp.array([0.0, 1.0, 0.0]), 0.5
    loss = np_.fenchel_young_loss(np_.argmax_oracle, num_samples=20_000, sigma=sigma, noise=np_.Gumbel())
    value, slope = jax.jit(jax.value_and_grad(loss, 1))(KEY, X, target)
    p = jax.nn.softmax(X / sigma)
    exact = sigma * jax.nn.logsumexp(X / sigma) + sigma * 0.5772157 - X @ target
    np.testing.assert_allclose(value, exact, atol=0.03)
    np.testing.assert_allclose(slope, p - target, atol=0.02)
    hessian = jax.jit(jax.jacfwd(jax.jacrev(loss, 1), 1))(KEY, X, target)
    np.testing.assert_allclose(hessian, (jnp.diag(p) - jnp.outer(p, p)) / sigma, atol=0.1)


ESTIMATORS = [np_.score_function_jacobians, np_.pathwise_jacobians, np_.measure_valued_jacobians]


def assert_unbiased(jacobians, expected):
    for jac, exact in zip(jacobians, expected, strict=True):
        jac = np.asarray(jac, np.float64)
        error = jac.std(0, ddof=1) / np.sqrt(len(jac))
        np.testing.assert_array_less(np.abs(jac.mean(0) - exact), 5.5 * error + 1e-5)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("control", [None, np_.control_delta_method, np_.moving_avg_baseline])
def test_jacobians_of_expectations(estimator, control):
    log_scale = jnp.array([0.1, -0.2, 0.0])
    params = [X, log_scale]
    exact = [2 * X + WEIGHTS, 2 * jnp.exp(2 * log_scale)]
    if control is None:
        out = jax.jit(lambda k: estimator(smooth_function, params, np_.multi_normal, k, 2000))(KEY)
    else:

        @jax.jit
        def with_control(key, state):
            return np_.control_variates_jacobians(
                smooth_function,
                control,
                estimator,
                params,
                np_.multi_normal,
                key,
                2000,
                state,
                estimate_cv_coeffs=True,
            )

        _, state = with_control(KEY, None)
        out, state = with_control(jax.random.key(4), state)
        if control is np_.control_delta_method and estimator is not np_.measure_valued_jacobians:
            # The Taylor polynomial of a quadratic is exact: with c = 1 nothing random is left.
            sure, _ = jax.jit(
                lambda key: np_.control_variates_jacobians(
                    smooth_function, control, estimator, params, np_.multi_normal, key, 4
                )
            )(KEY)
            np.testing.assert_allclose(sure[0], jnp.tile(exact[0], (4, 1)), atol=1e-4)
    assert [a.shape for a in out] == [(2000, 3), (2000, 3)]
    assert_unbiased(out, exact)


@pytest.mark.skipif(importlib.util.find_spec("numpyro") is None, reason="numpyro is not installed")
@pytest.mark.filterwarnings("ignore")
def test_numpyro_distributions():
    import numpyro.distributions as dist

    def normal(loc, scale):
        return dist.Normal(loc, scale).to_event(1)

    params = [X, jnp.array([1.0, 0.5, 2.0])]
    for estimator in ESTIMATORS:
        out = jax.jit(lambda key, of=estimator: of(smooth_function, params, normal, key, 2000))(KEY)
        assert_unbiased(out, [2 * X + WEIGHTS, 2 * params[1]])
    chance = jnp.array(0.3)
    out = np_.score_function_jacobians(lambda x: 5.0 * x, [chance], dist.BernoulliProbs, KEY, 2000)
    assert_unbiased(out, [5.0])
    with pytest.raises(ArgumentError, match="score_function"):
        np_.pathwise_jacobians(lambda x: 5.0 * x, [chance], dist.BernoulliProbs, KEY, 10)
    with pytest.raises(ArgumentError, match="normal"):
        np_.measure_valued_jacobians(lambda x: x, [chance], dist.Exponential, KEY, 10)


def test_centered_ranks():
    np.testing.assert_allclose(np_.centered_ranks(jnp.array([3.0, 1.0, jnp.nan])), [0, -0.5, 0.5])
    np.testing.assert_allclose(np_.centered_ranks(jnp.ones(4)), 0)


def test_es_gradient_and_its_shaping():
    exact = 2 * X + WEIGHTS
    plain = jax.jit(lambda k: np_.es_gradient(smooth_function, k, X, num_samples=4000))(KEY)
    np.testing.assert_allclose(plain, exact, atol=0.1)
    own = jax.jit(
        lambda k, b: np_.es_gradient(
            smooth_function, k, X, num_samples=4000, shaping=lambda v: v, batch_size=b
        ),
        static_argnums=1,
    )
    np.testing.assert_allclose(own(KEY, None), own(KEY, 64), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(own(KEY, None), exact, atol=0.5)
    ranks = [
        jax.jit(lambda k, f=f: np_.es_gradient(f, k, X, num_samples=400, shaping="centered_rank"))(KEY)
        for f in (smooth_function, lambda x: jnp.exp(smooth_function(x)))
    ]
    np.testing.assert_allclose(*ranks, rtol=1e-3, atol=1e-4)
    with pytest.raises(HyperparameterError, match="even"):
        np_.es_gradient(smooth_function, KEY, X, num_samples=3, shaping="centered_rank")


@pytest.mark.parametrize("method", ["es", "spsa", "mezo"])
def test_any_optimizer_descends(method):
    params = {"w": jnp.array([1.0, -1.0]), "b": jnp.array(0.5)}

    def loss(p):
        return jnp.sum(jnp.abs(p["w"])) + jnp.abs(p["b"])

    for tx in (optax.adam(0.05), nablax.adam(0.05)):

        def step(carry, key, tx=tx):
            p, state = carry
            if method == "es":
                g = np_.es_gradient(loss, key, p, num_samples=20)
            elif method == "spsa":
                g = np_.spsa(loss, key, p, sigma=1e-2)
            else:
                p, info = np_.mezo_slopes(loss, key, p, sigma=1e-2)
                g = np_.mezo_gradient(key, p, info.slopes)
            updates, state = tx.update(g, state, p)
            return (jax.tree.map(jnp.add, p, updates), state), None

        run = jax.jit(lambda c, step=step: jax.lax.scan(step, c, jax.random.split(KEY, 200))[0][0])
        assert loss(run((params, tx.init(params)))) < 0.3 * loss(params)


def test_mezo_steps_along_the_gradient_that_it_reports_and_keeps_no_copy():
    params = {"w": jnp.linspace(-1, 1, 40_000)}
    loss = lambda p: jnp.mean(jnp.square(p["w"]))  # noqa: E731
    step = jax.jit(lambda k, p: np_.mezo(loss, k, p, 0.1, num_samples=2), donate_argnums=1)
    memory = step.lower(KEY, params).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 2.5 * 4 * 16384 * 4
    before = np.asarray(params["w"])
    expected = None
    after, info = step(KEY, jax.tree.map(jnp.copy, params))
    expected = before - 0.1 * np.asarray(jax.jit(np_.mezo_gradient)(KEY, params, info.slopes)["w"])
    np.testing.assert_allclose(after["w"], expected, atol=2e-6)


def test_gradient_statistics():
    def noisy(key):
        return {"a": jnp.array([3.0, 4.0]) + jax.random.normal(key, (2,))}

    s = jax.jit(
        lambda k: np_.gradient_statistics(noisy, k, num_repeats=4000, num_samples=10, target_error=0.1)
    )(KEY)
    np.testing.assert_allclose(s.mean["a"], [3, 4], atol=0.1)
    np.testing.assert_allclose(s.standard_error["a"], [1, 1], atol=0.07)
    np.testing.assert_allclose(s.signal_to_noise, 12.5, rtol=0.2)
    np.testing.assert_allclose(s.recommended_num_samples, 80, rtol=0.2)
    with pytest.raises(HyperparameterError, match="at least 2"):
        np_.gradient_statistics(noisy, KEY, num_repeats=1)


@pytest.mark.parametrize(("size", "pairs"), [(1, True), (3, False), (10, True)])
def test_a_sample_does_not_depend_on_its_batch(size, pairs):
    def drawn(indices):
        return draw(np_.Gumbel(), KEY, indices, size, jnp.float32, pairs)

    whole, salts = jax.tree.map(np.asarray, jax.jit(lambda: drawn(np.arange(700)))())
    for batch in (7, 64):
        draw_batch = jax.jit(lambda start, batch=batch: drawn(start + jnp.arange(batch)))
        for start in range(0, 700 - batch + 1, batch * max(1, 280 // batch)):
            part, salt = jax.tree.map(np.asarray, draw_batch(start))
            for k in range(len(whole) // 700):
                np.testing.assert_array_equal(part[k * batch :][:batch], whole[k * 700 + start :][:batch])
            np.testing.assert_array_equal(salt, salts[start:][:batch])


def test_noise_laws():
    for noise in (np_.Normal(), np_.Gumbel(), np_.Laplace()):

        @jax.jit
        def of_the_law(key, noise=noise):
            z, (first, second) = noise.sample(key, (20_000,)), noise.sample_pairs(key, 500, 10, jnp.float32)
            scores = noise.score(z), -jax.vmap(jax.grad(noise.log_prob))(z)
            return z, noise.reflect(z), noise.reflect(first), second, scores

        z, mirrored, first_mirrored, second, scores = jax.tree.map(np.asarray, of_the_law(KEY))
        for sample in (z, mirrored):
            assert abs(np.mean(sample) - noise.mean) < 5.5 * noise.std / 141
            np.testing.assert_allclose(np.std(sample), noise.std, rtol=0.08)
        assert np.corrcoef(z, mirrored)[0, 1] < -0.7
        np.testing.assert_allclose(first_mirrored, second, rtol=2e-3, atol=1e-4)
        assert np.max(np.abs(second)) < 17  # the last cell of the uniform numbers is bounded
        np.testing.assert_allclose(*scores, rtol=1e-4, atol=1e-4)
    sphere = np_.UniformSphere()
    point = sphere.sample(KEY, (3, 4))
    np.testing.assert_allclose(jnp.sum(point**2), 12, rtol=1e-5)
    assert jnp.isfinite(sphere.log_prob(point))
    assert jnp.all(jnp.abs(np_.Rademacher().sample(KEY, (9,))) == 1)


def test_bad_losses_parameters_and_targets():
    with pytest.raises(StructureError, match="mezo: fun must return a real scalar loss"):
        np_.mezo(lambda x: x, KEY, X, 0.1)
    with pytest.raises(StructureError, match="mezo: the parameters must be real floating arrays, got int32"):
        np_.mezo(smooth_function, KEY, jnp.arange(3), 0.1)
    with pytest.raises(HyperparameterError, match="mezo: learning_rate"):
        np_.mezo(smooth_function, KEY, X, float("nan"))
    with pytest.raises(StructureError, match="es_gradient: the parameters must be real"):
        np_.es_gradient(
            lambda x: jnp.sum(x * 1.0), KEY, jnp.arange(3), num_samples=10, shaping="centered_rank"
        )
    loss = np_.fenchel_young_loss(np_.argmax_oracle, num_samples=10)
    with pytest.raises(
        StructureError, match=r"target must have the structure and shapes of theta, \(3,\), got \(\)"
    ):
        loss(KEY, X, 1.0)


def test_statistics_of_a_gradient_that_is_zero():
    s = np_.gradient_statistics(lambda key: jnp.zeros(2), KEY, num_repeats=4)
    assert s.signal_to_noise == 0
    assert jnp.isinf(s[3])


def test_derivatives_of_sort_rank_top_k_and_shortest_path():
    # With Gumbel noise a difference of two is logistic: closed forms. Measured standard errors are below 0.012.
    x, samples = jnp.array([0.4, -0.3]), 20_000
    gumbel = np_.Gumbel()
    p = jax.nn.sigmoid(x[0] - x[1])
    slope = p * (1 - p)
    both = jnp.array([[1.0, -1.0], [-1.0, 1.0]]) * slope

    @jax.jit
    def jacobians(x):
        def path(x):  # by the upper right corner, or by the lower left
            grid = jnp.full((2, 2), 20.0).at[0, 1].add(-x[0]).at[1, 0].add(-x[1])  # costs
            return np_.perturbed_shortest_path(
                KEY, grid, num_samples=samples, sigma=1.0, noise=gumbel, diagonal=False
            )

        return (
            jax.jacobian(lambda x: np_.perturbed_sort(KEY, x, num_samples=samples, sigma=1.0, noise=gumbel))(
                x
            ),
            jax.jacobian(lambda x: np_.perturbed_rank(KEY, x, num_samples=samples, sigma=1.0, noise=gumbel))(
                x
            ),
            jax.jacobian(
                lambda x: np_.perturbed_top_k(KEY, x, 1, num_samples=samples, sigma=1.0, noise=gumbel)
            )(x),
            jax.jacobian(path)(x),
        )

    in_order, rank, top, path = jacobians(x)
    np.testing.assert_allclose(in_order, [[1 - p, p], [p, 1 - p]], atol=0.07)
    np.testing.assert_allclose(jnp.abs(rank), jnp.abs(both), atol=0.06)
    np.testing.assert_allclose(rank[0], -rank[1], atol=0.06)
    np.testing.assert_allclose(top, both, atol=0.06)
    np.testing.assert_allclose(path[0, 1], both[0], atol=0.06)
    np.testing.assert_allclose(path[1, 0], both[1], atol=0.06)
