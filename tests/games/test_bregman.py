import jax.numpy as jnp
import numpy as np

from nablax import games


def test_entropy_minimises_the_linearised_cost_plus_divergence():
    rng = np.random.default_rng(0)
    z, u = rng.dirichlet(np.ones(4), size=2), rng.normal(size=(2, 4))
    w = np.asarray(games.entropy().step(jnp.asarray(z), jnp.asarray(u)))
    np.testing.assert_allclose(w.sum(-1), 1.0, rtol=1e-6)

    def cost(v):
        return np.sum(-u * v + v * np.log(v / z), -1)

    for _ in range(50):
        other = rng.dirichlet(np.ones(4), size=2)
        assert (cost(w) <= cost(0.9 * w + 0.1 * other) + 1e-6).all()


def test_entropy_survives_large_moves_and_keeps_zeros():
    w = games.entropy().step(jnp.array([0.5, 0.5, 0.0]), jnp.array([1e4, 0.0, 1e6]))
    np.testing.assert_allclose(w, [1.0, 0.0, 0.0])


def test_sets_of_the_maps():
    on_simplex = games.entropy().projection(jnp.array([[0.5, 0.9], [3.0, 0.0]]))
    np.testing.assert_allclose(on_simplex, [[0.3, 0.7], [1.0, 0.0]], atol=1e-6)
    positive = games.euclidean(lambda z: jnp.maximum(z, 0.0))
    np.testing.assert_allclose(positive.step(jnp.array([1.0, 1.0]), jnp.array([-3.0, 2.0])), [0.0, 3.0])
    assert games.euclidean().projection is None
