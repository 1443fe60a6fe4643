"""A small transformer that learns to write, character by character: Muon for its matrices, AdamW for the rest.

    python examples/character_transformer.py [--short] [--out FOLDER]

`data/founding.txt` holds most of the Declaration of Independence, of the Constitution of the United States and of its
Bill of Rights (1776 to 1791, in the public domain). Muon makes the steps of matrices that multiply activations
orthogonal; tables of vectors (embeddings, norms, the last layer) keep AdamW, as Jordan et al. 2024 advise. Both parts
warm up and then keep their rate: the average of the parameters, by `ema_params`, stands in for a decay.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import _common
import nablax
from nablax.losses import softmax_cross_entropy_with_integer_labels

LENGTH, WIDTH, HEADS, LAYERS, BATCH = 64, 64, 4, 2, 16
TEXT = (Path(__file__).parent / "data" / "founding.txt").read_text()
ALPHABET = sorted(set(TEXT))


def start(key, layers=LAYERS):
    """Parameters by role: table, positions, layers/i/{norms, query, key, value, out, up, down}, last."""
    keys = iter(jax.random.split(key, 3 + 6 * layers))

    def matrix(m, n):
        return jax.random.normal(next(keys), (m, n)) / np.sqrt(m)

    def layer():
        square = {name: matrix(WIDTH, WIDTH) for name in ("query", "key", "value", "out")}
        return {
            "norms": jnp.ones((2, WIDTH)), **square, "up": matrix(WIDTH, 4 * WIDTH), "down": matrix(4 * WIDTH, WIDTH)
        }  # fmt: skip

    return {
        "table": 0.1 * matrix(len(ALPHABET), WIDTH) * np.sqrt(len(ALPHABET)),
        "positions": 0.1 * matrix(LENGTH, WIDTH) * np.sqrt(LENGTH),
        "layers": [layer() for _ in range(layers)],
        "last": 0.1 * matrix(WIDTH, len(ALPHABET)),
    }


def attention(p, x):
    """Every character looks back at those before it, and at itself."""
    q, k, v = ((x @ p[name]).reshape(-1, HEADS, WIDTH // HEADS) for name in ("query", "key", "value"))
    return jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(-1, WIDTH) @ p["out"]


def normed(scale, x):
    return scale * x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6)


def predict(params, characters):
    """Scores of the next character, (length, alphabet), after each of (length,) characters."""
    x = params["table"][characters] + params["positions"][: len(characters)]
    for p in params["layers"]:
        x = x + attention(p, normed(p["norms"][0], x))
        x = x + jax.nn.gelu(normed(p["norms"][1], x) @ p["up"]) @ p["down"]
    return normed(1.0, x) @ params["last"]


def loss(params, rows):
    """Mean negative log-likelihood of a character, in nats; rows has shape (batch, LENGTH + 1)."""
    scores = jax.vmap(lambda row: predict(params, row))(rows[:, :-1])
    return jnp.mean(softmax_cross_entropy_with_integer_labels(scores, rows[:, 1:]))


def optimizers(steps):
    def warm(rate):
        return nablax.warmup_constant_schedule(0.0, rate, steps // 10)

    adamw = nablax.adamw(warm(3e-3), b2=0.99, weight_decay=0.1)
    roles = nablax.partition_by_path(
        {"layers/.*/(query|key|value|out|up|down)$": nablax.muon(warm(2e-2), weight_decay=0.1)}, default=adamw
    )
    return {
        name: nablax.ema_params(nablax.chain(nablax.clip_by_global_norm(1.0), tx), 0.97)
        for name, tx in {"AdamW": adamw, "Muon by roles": roles}.items()
    }


def write(params, beginning, count, key, temperature=0.6):
    """Continues a text of at least LENGTH characters by `count` characters."""
    last = jnp.array([ALPHABET.index(c) for c in beginning[-LENGTH:]])

    def step(last, key):
        drawn = jax.random.categorical(key, predict(params, last)[-1] / temperature)
        return jnp.append(last[1:], drawn), drawn

    drawn = jax.jit(lambda last, keys: jax.lax.scan(step, last, keys)[1])(last, jax.random.split(key, count))
    return "".join(ALPHABET[i] for i in drawn.tolist())


def train(tx, params, text, held_out, steps):
    """Returns the average of the parameters, and held-out losses by step: (step, last parameters, average)."""
    step, measure = nablax.train_step(loss, tx, metrics=False), jax.jit(loss)
    state, rng, curve = step.init(params), np.random.default_rng(0), []
    for k in range(1, steps + 1):
        places = rng.integers(0, len(text) - LENGTH, BATCH)
        params, state, _ = step(params, state, text[places[:, None] + np.arange(LENGTH + 1)])
        if k % max(steps // 16, 1) == 0:
            average = nablax.averaged_params(state)
            curve.append((k, float(measure(params, held_out)), float(measure(average, held_out))))
    return average, np.array(curve)


def main(short, out):
    """Trains with each optimizer; returns, by name, held-out losses by step, as `train` does."""
    steps, layers = (2, 1) if short else (400, LAYERS)
    text = np.array([ALPHABET.index(c) for c in TEXT])
    cut = (len(text) - 32 * LENGTH) - 1  # the last 2,048 characters are held out
    held_out = text[cut + np.arange(32)[:, None] * LENGTH + np.arange(LENGTH + 1)]
    held_out = held_out[:4] if short else held_out
    curves = {}
    for name, tx in optimizers(steps).items():
        average, curves[name] = train(tx, start(jax.random.key(0), layers), text[:cut], held_out, steps)
        _, last, mean = curves[name][-1]
        print(f"{name:14s} held-out nats a character: {last:.3f}, of the average {mean:.3f}")
    beginning = "We the People of the United States, in Order to form a more perfect "
    print(beginning + write(average, beginning, 20 if short else 300, jax.random.key(1)))

    figure, ax = _common.figure(size=(6, 3.8))
    for (name, curve), color in zip(curves.items(), (_common.BLUE, _common.RED), strict=True):
        ax.plot(curve[:, 0], curve[:, 1], ":", color=color, label=f"{name}, last parameters")
        ax.plot(curve[:, 0], curve[:, 2], color=color, label=f"{name}, average")
    ax.set(xlabel="step", ylabel="nats a character", title="a text not seen in training")
    ax.legend()
    _common.save(figure, out, "character_transformer")
    return curves


if __name__ == "__main__":
    _common.run(main, __doc__)
