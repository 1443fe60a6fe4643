"""A GAN on a mixture of eight Gaussians on a ring: modes that each method covers, over five seeds.

    python examples/games_gan.py [--short] [--out FOLDER]

The generator minimises -log D(G(noise)), the discriminator the logistic loss: a game of general sum. All methods use
Adam with the same hyperparameters and the same number of gradients, and differ only in where gradients are taken.
"""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import _common
from nablax import games
from nablax.games import methods
from nablax.optimizers import adam

MODES, SPREAD, NOISE, BATCH, WIDTH = 8, 0.05, 8, 128, 48
ANGLES = 2 * jnp.pi * jnp.arange(MODES) / MODES
CENTRES = jnp.stack([jnp.cos(ANGLES), jnp.sin(ANGLES)], 1)


def layers(rng, sizes):
    """Dense layers with He's initialisation."""
    return [
        {"w": (rng.normal(size=(m, n)) * np.sqrt(2 / m)).astype(np.float32), "b": np.zeros(n, np.float32)}
        for m, n in itertools.pairwise(sizes)
    ]


def start(seed):
    """Both networks."""
    rng = np.random.default_rng(seed)
    sizes = [WIDTH, WIDTH]
    return {"generator": layers(rng, [NOISE, *sizes, 2]), "discriminator": layers(rng, [2, *sizes, 1])}


def network(params, x):
    """A multilayer perceptron with leaky rectifiers."""
    for layer in params[:-1]:
        x = jax.nn.leaky_relu(x @ layer["w"] + layer["b"], 0.2)
    return x @ params[-1]["w"] + params[-1]["b"]


def draw(key):
    """What one step needs: points of the ring, and noise for the generator in both losses."""
    normal = jax.random.normal(key, (BATCH, 2 + 2 * NOISE))
    modes = jax.random.randint(jax.random.fold_in(key, 1), (BATCH,), 0, MODES)
    return {
        "ring": CENTRES[modes] + SPREAD * normal[:, :2],
        "noise": (normal[:, 2 : 2 + NOISE], normal[:, 2 + NOISE :]),
    }


def generator_loss(generator, discriminator, batch):
    """-log D(G(noise)), the form that does not saturate."""
    fake = network(generator, batch["noise"][0])
    return jnp.mean(jax.nn.softplus(-network(discriminator, fake)))


def discriminator_loss(generator, discriminator, batch):
    """The logistic loss of telling the ring from the generator."""
    fake = network(generator, batch["noise"][1])
    real_loss = jax.nn.softplus(-network(discriminator, batch["ring"]))
    return jnp.mean(real_loss) + jnp.mean(jax.nn.softplus(network(discriminator, fake)))


GAME = games.field({"generator": generator_loss, "discriminator": discriminator_loss})


def covered(points):
    """The number of modes with at least a quarter of their share of points within three standard deviations."""
    near = jnp.linalg.norm(points[:, None] - CENTRES, axis=-1) < 3 * SPREAD
    return jnp.sum(jnp.sum(near, 0) >= points.shape[0] / MODES / 4)


def play(method, steps, seeds):
    """Trains all seeds at once; returns 1,000 points of each generator and the modes they cover."""

    look = np.random.default_rng(0).normal(size=(1000, NOISE)).astype(np.float32)

    @jax.jit
    @jax.vmap
    def one(seed, z0):
        key = jax.random.key(seed)
        z = games.solve(
            method, GAME, z0, steps=steps, batches=lambda k: draw(jax.random.fold_in(key, k))
        ).last
        points = network(z["generator"], look)
        return points, covered(points)

    z0 = jax.tree.map(lambda *leaves: np.stack(leaves), *[start(seed) for seed in range(seeds)])
    points, modes = one(jnp.arange(seeds), z0)
    return np.asarray(points), np.asarray(modes)


def main(short: bool, out: Path) -> dict[str, list[int]]:
    """Trains with each method; returns the modes covered by each seed."""
    gradients, seeds = (20, 2) if short else (3000, 5)
    rate = adam(2e-3, b1=0.5, b2=0.9)
    chosen = {
        "simultaneous": (methods.simultaneous(rate), 1),
        "alternating": (methods.alternating(rate), 1),
        "optimistic": (methods.optimistic(rate), 1),
        "past extra-gradient": (methods.past_extragradient(rate), 1),
        "extra-gradient": (methods.extragradient(rate), 2),
        "lookahead-minmax": (
            methods.lookahead_minmax(methods.alternating(rate), sync_period=10, slow_step_size=0.5),
            1,
        ),
    }
    if short:
        chosen = {name: chosen[name] for name in ("extra-gradient",)}
    found, samples = {}, {}
    for name, (method, cost) in chosen.items():
        samples[name], modes = play(method, gradients // cost, seeds)
        found[name] = modes.tolist()
        print(f"{name:20s} modes covered by each seed: {found[name]}, mean {modes.mean():.1f} of {MODES}")

    figure, axes = _common.figure((len(chosen) + 1) // 2, 2, size=(9, 6.2), squeeze=False)
    for ax, (name, points) in zip(axes.ravel(), samples.items(), strict=False):
        # The seed that is in the middle by its modes.
        middle = np.argsort(found[name])[len(found[name]) // 2]
        ax.plot(*np.asarray(CENTRES).T, "o", color="#D55E00", markersize=10, alpha=0.35)
        ax.plot(*points[middle].T, ".", color="#0072B2", markersize=2, alpha=0.5)
        ax.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal", xticks=[], yticks=[])
        ax.set_title(
            f"{name}\n{' '.join(map(str, found[name]))}: mean {np.mean(found[name]):.1f} of 8", fontsize=10
        )
    _common.save(figure, out, "games_gan")
    return found


if __name__ == "__main__":
    _common.run(main, __doc__)
