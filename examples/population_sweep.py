"""A sweep of learning rates, weight decays and seeds as one program: `vmap` over whole training runs.

    python examples/population_sweep.py [--short] [--out FOLDER]

Hyperparameters are ordinary arguments that may be traced, so a function that trains with given ones can be mapped over
arrays of them: one compilation, and all runs side by side on the device.
"""

import jax
import jax.numpy as jnp
import numpy as np

import _common
import nablax
from nablax.losses import softmax_cross_entropy_with_integer_labels

WIDTH = 24


def start(key):
    first, second = jax.random.split(key)
    return {
        "w1": jax.random.normal(first, (64, WIDTH)) / 8, "b1": jnp.zeros(WIDTH),
        "w2": jax.random.normal(second, (WIDTH, 10)) / np.sqrt(WIDTH), "b2": jnp.zeros(10),
    }  # fmt: skip


def predict(p, x):
    return jax.nn.relu(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]


def loss(p, x, y):
    return jnp.mean(softmax_cross_entropy_with_integer_labels(predict(p, x), y))


def train(rate, decay, key, data, test, steps):
    """One run; returns the share of unseen digits that it gets wrong. All arguments but steps may be traced."""
    x, y = jax.tree.map(jnp.asarray, data)
    tx = nablax.adamw(rate, weight_decay=decay)
    params = start(key)

    def step(carry, key):
        params, state = carry
        rows = jax.random.randint(key, (64,), 0, len(x))
        updates, state = tx.update(jax.grad(loss)(params, x[rows], y[rows]), state, params)
        return (nablax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(step, (params, tx.init(params)), jax.random.split(key, steps))
    return jnp.mean(jnp.argmax(predict(params, test[0]), 1) != test[1])


def main(short, out):
    """Sweeps; returns the rates, the decays and the errors, (rates, decays, seeds)."""
    data, test = _common.digits()
    count, seeds, steps = (3, 2, 20) if short else (8, 4, 300)
    rates, decays = np.geomspace(3e-4, 1e-1, count), np.array([0.0, 0.1, 1.0, 3.0])

    def one(rate, decay, key):
        return train(rate, decay, key, data, test, steps)

    over_seeds = jax.vmap(one, (None, None, 0))
    sweep = jax.jit(jax.vmap(jax.vmap(over_seeds, (None, 0, None)), (0, None, None)))
    errors = np.asarray(sweep(rates, decays, jax.random.split(jax.random.key(0), seeds)))
    means = errors.mean(2)
    i, j = np.unravel_index(means.argmin(), means.shape)
    print(f"{errors.size} runs, {sweep._cache_size()} compilation")
    print(f"best: learning_rate {rates[i]:.4f}, weight_decay {decays[j]:g}: {100 * means[i, j]:.2f}% wrong")

    figure, ax = _common.figure(size=(6, 3.8))
    for k, decay in enumerate(decays):
        line = ax.loglog(rates, 100 * means[:, k], "o-", markersize=3, label=f"{decay:g}")
        low, high = 100 * errors[:, k].min(1), 100 * errors[:, k].max(1)
        ax.fill_between(rates, low, high, color=line[0].get_color(), alpha=0.12, linewidth=0)
    ax.set(
        xlabel="learning rate",
        ylabel="% wrong among unseen digits",
        title=f"{errors.size} runs in one program",
    )
    ax.legend(title="weight decay")
    _common.save(figure, out, "population_sweep")
    return {"rates": rates, "decays": decays, "errors": errors}


if __name__ == "__main__":
    _common.run(main, __doc__)
