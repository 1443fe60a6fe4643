"""Large arrays entry by entry: what functions make of them at some places is what they make of them at all."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax.core import Entry, WholeLeaf, arrays_of, at, entries_of

X, Y = jnp.linspace(0.1, 2.0, 64).reshape(8, 8), jnp.linspace(-1.0, 1.0, 64).reshape(8, 8)
MADE = [
    lambda x, y: 2 * x + jnp.sum(y),
    lambda x, y: x * y / jnp.sqrt(x) + jnp.where(x > y, 3.0, x.astype(jnp.bfloat16)),
    lambda x, y: jax.jit(jnp.tanh)(x) + jax.nn.relu(y) - jnp.full((8, 8), jnp.max(y)),
    lambda x, y: jax.lax.optimization_barrier((x, jnp.ones(3)))[0].reshape(64).reshape(8, 8)[None][0] - y,
    lambda x, y: jnp.flip(y) * x + jnp.arange(64.0).reshape(8, 8),
    lambda x, y: x - y[:, :1] * y[2],
    lambda x, y: x * jnp.linalg.norm(y / jnp.linalg.norm(y)),
]
WHOLE = [
    lambda x, y: x - jnp.sum(x),
    lambda x, y: jnp.flip(x),
    lambda x, y: x.T + y,
    lambda x, y: jax.jit(jnp.cumsum)(x),
    lambda x, y: jax.lax.fori_loop(0, 3, lambda _, c: 2 * c, x),
    lambda x, y: x.reshape(64, 1) * y.reshape(1, 64),
]


@pytest.mark.parametrize("function", MADE)
def test_some_places(function):
    made = entries_of(function, (X, Y), (True, False), 32)
    assert isinstance(made, Entry)
    assert made.shape == (8, 8)
    assert made.watched
    assert any(x is X for x in arrays_of([made]))
    (found,) = at([made], lambda x: jnp.ravel(x)[10:17], 7)
    np.testing.assert_allclose(found, function(X, Y).ravel()[10:17], rtol=1e-6)


@pytest.mark.parametrize("function", WHOLE)
def test_more_than_entries(function):
    with pytest.raises(WholeLeaf):
        entries_of(function, (X, Y), (True, False), 32)
    free = entries_of(function, (X, Y), (False, False), 32)
    if isinstance(free, Entry):
        free = at([free], jnp.ravel, free.size)[0].reshape(free.shape)
    np.testing.assert_allclose(free, function(X, Y), rtol=1e-6)
    np.testing.assert_allclose(entries_of(function, (X, Y), (True, True), 65), function(X, Y), rtol=1e-6)


def test_a_long_chain_of_operations():
    """Longer than Python's calls may be deep."""

    def many(x):
        for _ in range(1500):
            x = 1 - x
        return x

    (found,) = at([entries_of(many, (X,), (True,), 32)], jnp.ravel, 64)
    np.testing.assert_allclose(found, X.ravel(), atol=1e-5)


def test_what_is_small_or_made_of_nothing():
    small, none, scalar = entries_of(lambda x, y: (x[:2], None, jnp.sum(y)), (X, Y), (False, True), 65)
    np.testing.assert_array_equal(small, X[:2])
    assert none is None
    assert float(scalar) == pytest.approx(float(jnp.sum(Y)))
    assert entries_of(lambda x: x, (X,), (True,), 32).array is X
    with pytest.raises(WholeLeaf):
        entries_of(lambda x: jax.debug.print("{}", x[0, 0]), (X,), (False,), 32)
