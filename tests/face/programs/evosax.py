"""Evolution strategies whose mean an Optax optimizer moves, in a scan."""

import jax
import jax.numpy as jnp
import optax
from evosax.algorithms import PGPE, Open_ES

for algorithm in (Open_ES, PGPE):
    es = algorithm(population_size=32, solution=jnp.zeros(4), optimizer=optax.adam(0.1))
    params = es.default_params

    def step(state, key, es=es, params=params):
        population, state = es.ask(key, state, params)
        fitness = jnp.sum((population - 1) ** 2, -1)
        state, _ = es.tell(key, population, fitness, state, params)
        return state, jnp.min(fitness)

    state = es.init(jax.random.key(0), jnp.zeros(4), params)
    _, best = jax.lax.scan(step, state, jax.random.split(jax.random.key(1), 100))
    assert best[-1] < best[0]
