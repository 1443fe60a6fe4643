"""Learning the cost of terrain from paths alone, by differentiating through a shortest-path solver.

A map of four kinds of terrain has unknown costs. Shown only the cheapest paths of training maps, a
Fenchel-Young loss learns one cost for each kind of terrain, up to their common scale.

    python examples/perturbations_shortest_path.py [--short] [--out FOLDER]
"""

import jax
import jax.numpy as jnp

import _common
import nablax
from nablax.perturbations import Normal, fenchel_young_loss, shortest_path_oracle
from nablax.schedules import cosine_decay_schedule

TRUE_COSTS = jnp.array([1.0, 2.5, 6.0, 9.0])


def terrain(key, size):
    """A smooth random field cut into four levels."""
    field = jax.image.resize(jax.random.normal(key, (4, 4)), (size, size), "cubic")
    return jnp.digitize(field, jnp.array([-0.6, 0.0, 0.6]))


def main(short, out):
    """Learns; returns the costs, in units of the cheapest, and the share that learned paths cost above the best."""
    size, maps, steps, samples = (5, 4, 3, 4) if short else (12, 24, 150, 16)
    oracle = shortest_path_oracle()
    kinds = jax.vmap(lambda k: terrain(k, size))(jax.random.split(jax.random.key(0), maps))
    paths = jax.vmap(lambda m: oracle(-TRUE_COSTS[m]))(kinds)
    loss = fenchel_young_loss(oracle, num_samples=samples, sigma=0.5, noise=Normal())

    def mean_loss(log_costs, key):
        keys = jax.random.split(key, maps)
        return jnp.mean(jax.vmap(lambda k, m, y: loss(k, -jnp.exp(log_costs)[m], y))(keys, kinds, paths))

    tx = nablax.sgd(cosine_decay_schedule(0.1, steps))

    def step(carry, key):
        log_costs, state = carry
        updates, state = tx.update(jax.grad(mean_loss)(log_costs, key), state)
        log_costs = nablax.apply_updates(log_costs, updates)
        return (log_costs, state), jnp.exp(log_costs)

    start = jnp.full((4,), jnp.log(3.0))
    (log_costs, _), history = jax.jit(
        lambda k: jax.lax.scan(step, (start, tx.init(start)), jax.random.split(k, steps))
    )(jax.random.key(1))
    costs = jnp.exp(log_costs)
    found = jax.vmap(lambda m: oracle(-costs[m]))(kinds)
    true = TRUE_COSTS[kinds]
    regret = jnp.sum(found * true) / jnp.sum(paths * true) - 1
    print(
        f"costs relative to the cheapest: {[round(float(c), 2) for c in costs / costs[0]]}, true {TRUE_COSTS.tolist()}"
    )
    print(f"learned paths cost {100 * regret:.2f}% more than the cheapest")

    figure, axes = _common.figure(3, size=(9, 3))
    for axis, path, title in (
        (axes[0], paths[0], "cheapest path"),
        (axes[1], found[0], "path by learned costs"),
    ):
        axis.imshow(TRUE_COSTS[kinds[0]], cmap="YlGn")
        rows, columns = jnp.nonzero(path)
        axis.scatter(columns, rows, s=18, color="crimson")
        axis.set(title=title, xticks=[], yticks=[])
    for kind in range(4):
        line = axes[2].plot(history[:, kind] / history[:, 0])
        axes[2].axhline(TRUE_COSTS[kind], color=line[0].get_color(), linewidth=0.8, linestyle=":")
    axes[2].set(title="learned costs (dotted: true)", xlabel="step", ylabel="relative to the cheapest")
    _common.save(figure, out, "perturbations_shortest_path")
    return {"costs": costs / costs[0], "regret": float(regret)}


if __name__ == "__main__":
    _common.run(main, __doc__)
