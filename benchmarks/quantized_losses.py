"""What few bits cost in training: losses of AdamW with its state in float32, in 8 and in 4 bits, seed by seed.

python benchmarks/quantized_losses.py                 three models; two to ten minutes on two cores; draws the figure
python benchmarks/quantized_losses.py --only cnn      one of mlp, cnn and characters; draws nothing
python benchmarks/quantized_losses.py --quick         a smoke check

An MLP and a convolutional network on scikit-learn's digits, and a small transformer that reads the characters of
Python's own documentation. All seeds of a run are one program. Every run of a seed begins at one point and sees the
same batches, so that what few bits change is the mean of differences within a seed: their standard error is much
smaller than that of a mean loss. The loss is that of the held-out part at the end.
"""

from __future__ import annotations

import pydoc_data.topics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import nablax
from harness import arguments, table, where
from nablax.losses import softmax_cross_entropy_with_integer_labels as cross_entropy

FIGURE = Path(__file__).parent.parent / "docs" / "figures" / "quantized.svg"
STATES = {
    "float32": lambda tx: tx,
    "8 bits": lambda tx: nablax.quantize_state(tx, min_size=256),
    "4 bits": lambda tx: nablax.quantize_state(tx, 4, min_size=256),
    "4 bits, nearest": lambda tx: nablax.quantize_state(tx, 4, stochastic=False, min_size=256),
}


class Problem(NamedTuple):
    """init: key -> parameters. loss: (parameters, batch) -> scalar. batch: key -> one batch. held_out: batch."""

    init: Callable[[Any], Any]
    loss: Callable[[Any, Any], Any]
    batch: Callable[[Any], Any]
    held_out: Any
    rate: float
    steps: int
    seeds: int


def dense(key: Any, *shape: int) -> jax.Array:
    """Weights whose outputs are of the size of their inputs."""
    return jax.random.normal(key, shape) / np.sqrt(np.prod(shape[:-1]))


def digits(init: Any, logits: Any) -> Problem:
    """A classifier of the digits; every fifth is held out."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x, y = np.float32(found.data / 16), np.int32(found.target)
    out = np.arange(len(x)) % 5 == 0
    train = jnp.asarray(x[~out]), jnp.asarray(y[~out])

    def loss(params: Any, batch: Any) -> jax.Array:
        return jnp.mean(cross_entropy(logits(params, batch[0]), batch[1]))

    def batch(key: Any) -> Any:
        rows = jax.random.randint(key, (64,), 0, len(train[1]))
        return train[0][rows], train[1][rows]

    return Problem(init, loss, batch, (jnp.asarray(x[out]), jnp.asarray(y[out])), 3e-3, 300, 32)


def mlp() -> Problem:
    def init(key: Any) -> Any:
        a, b = jax.random.split(key)
        return {"w": dense(a, 64, 128), "b": jnp.zeros(128), "v": dense(b, 128, 10), "c": jnp.zeros(10)}

    def logits(p: Any, x: Any) -> jax.Array:
        return jax.nn.relu(x @ p["w"] + p["b"]) @ p["v"] + p["c"]

    return digits(init, logits)


def cnn() -> Problem:
    def init(key: Any) -> Any:
        a, b, c = jax.random.split(key, 3)
        return {"a": dense(a, 3, 3, 1, 16), "b": dense(b, 3, 3, 16, 32), "c": dense(c, 128, 10)}

    def conv(x: Any, kernel: Any) -> jax.Array:
        """Of stride 2, as one product: a convolution with a kernel for each seed is slow on a CPU."""
        x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
        h, w, c = x.shape[1:]
        parts = [x[:, i : h - 2 + i : 2, j : w - 2 + j : 2] for i in range(3) for j in range(3)]
        return jax.nn.relu(jnp.concatenate(parts, -1) @ kernel.reshape(9 * c, -1))

    def logits(p: Any, x: Any) -> jax.Array:
        x = conv(conv(x.reshape(-1, 8, 8, 1), p["a"]), p["b"])
        return x.reshape(len(x), -1) @ p["c"]

    return digits(init, logits)


def transformer(width: int = 64, layers: int = 2, heads: int = 4, length: int = 32) -> Problem:
    """Predicts the next character; the last tenth of the text is held out."""
    text = "\n".join(pydoc_data.topics.topics[k] for k in sorted(pydoc_data.topics.topics))
    known = sorted(set(text))
    codes = jnp.asarray([known.index(c) for c in text], jnp.int32)
    cut = len(text) * 9 // 10

    def init(key: Any) -> Any:
        keys = iter(jax.random.split(key, 2 + 4 * layers))

        def layer() -> Any:
            return {
                "qkv": dense(next(keys), width, 3 * width),
                "out": dense(next(keys), width, width),
                "up": dense(next(keys), width, 4 * width),
                "down": dense(next(keys), 4 * width, width),
            }

        return {
            "embed": 0.1 * jax.random.normal(next(keys), (len(known), width)),
            "place": 0.1 * jax.random.normal(next(keys), (length, width)),
            "layers": [layer() for _ in range(layers)],
        }

    def norm(x: Any) -> jax.Array:
        return x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6)

    def loss(p: Any, batch: Any) -> jax.Array:
        x = p["embed"][batch[:, :-1]] + p["place"]
        for layer in p["layers"]:
            q, k, v = jnp.split((norm(x) @ layer["qkv"]).reshape(*x.shape[:2], heads, -1), 3, -1)
            mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True)
            x = x + mixed.reshape(x.shape) @ layer["out"]
            x = x + jax.nn.gelu(norm(x) @ layer["up"]) @ layer["down"]
        return jnp.mean(cross_entropy(norm(x) @ p["embed"].T * 8, batch[:, 1:]))

    def pieces(starts: Any) -> jax.Array:
        return codes[starts[:, None] + jnp.arange(length + 1)]

    held_out = pieces(jnp.linspace(cut, len(text) - length - 2, 256).astype(jnp.int32))

    def batch(key: Any) -> jax.Array:
        return pieces(jax.random.randint(key, (16,), 0, cut))

    return Problem(init, loss, batch, held_out, 3e-3, 400, 4)


PROBLEMS = {"mlp": mlp, "cnn": cnn, "characters": transformer}
TITLES = {"mlp": "MLP on digits", "cnn": "CNN on digits", "characters": "transformer on characters"}


def train(problem: Problem, state: Any, steps: int, seeds: int) -> tuple[Any, Any]:
    """For each of so many seeds, the losses of all steps, and that of the held-out part at the end."""
    tx = state(nablax.adamw(nablax.cosine_decay_schedule(problem.rate, steps)))

    def one(seed: Any) -> tuple[Any, Any]:
        start, stream = jax.random.split(jax.random.key(seed))

        def step(carry: Any, key: Any) -> tuple[Any, Any]:
            params, state = carry
            value, grads = jax.value_and_grad(problem.loss)(params, problem.batch(key))
            updates, state = tx.update(grads, state, params)
            return (nablax.apply_updates(params, updates), state), value

        params = problem.init(start)
        (params, _), losses = jax.lax.scan(step, (params, tx.init(params)), jax.random.split(stream, steps))
        return losses, problem.loss(params, problem.held_out)

    return jax.jit(jax.vmap(one))(jnp.arange(seeds))


def beside(losses: Any, base: Any) -> str:
    """The mean loss; and that of the differences to `base` seed by seed, with its standard error, in percent of it."""
    percent = 100 * np.asarray(losses - base) / np.mean(base)
    error = percent.std(ddof=1) / np.sqrt(len(percent))
    return f"{np.mean(losses):.4f} ({percent.mean():+.1f}% ± {error:.1f}%)"


def draw(found: dict[str, dict[str, Any]], path: Path) -> None:
    """The losses on the way, of all seeds, smoothed."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.fonttype": "none", "font.size": 9, "svg.hashsalt": "quantized"})
    figure, axes = plt.subplots(1, len(found), figsize=(9, 2.8), layout="constrained")
    looks = {
        "float32": ("#222222", "-", 2.4),
        "8 bits": ("#1f77b4", "-", 1.2),
        "4 bits": ("#d95f02", "--", 1.2),
    }
    for ax, (name, runs) in zip(axes, found.items(), strict=True):
        for label, (color, style, width) in looks.items():
            losses, _ = runs[label]
            smooth = np.mean(losses, 0).reshape(-1, 10).mean(1)
            ax.plot(10 * np.arange(len(smooth)) + 5, smooth, style, color=color, lw=width, label=label)
        ax.set(title=TITLES[name], xlabel="step", yscale="log")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("training loss, mean of the seeds")
    axes[0].legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    args = arguments(__doc__ or "", list(PROBLEMS))
    found: dict[str, dict[str, Any]] = {}
    rows = []
    for name in args.only or PROBLEMS:
        problem = PROBLEMS[name]()
        steps, seeds = (20, 3) if args.quick else (problem.steps, problem.seeds)
        runs = {label: train(problem, state, steps, seeds) for label, state in STATES.items()}
        base, *others = (held for _, held in runs.values())
        rows.append(
            [TITLES[name], str(seeds), f"{base.mean():.4f}", *(beside(held, base) for held in others)]
        )
        found[name] = runs
    table("Loss of the held-out part, and the differences within a seed", ["", "seeds", *STATES], rows)
    print(f"\n{where()}")
    if not args.quick and not args.only:
        draw(found, FIGURE)


if __name__ == "__main__":
    main()
