"""A multilayer perceptron on handwritten digits, in the functional form: a step is a pure function.

    python examples/digits_functional.py [--short] [--out FOLDER]

An epoch is one compiled `scan` over its batches. `digits_autograd.py` does the same, to rounding, define-by-run.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

import _common
import nablax
from nablax.losses import softmax_cross_entropy_with_integer_labels

SIZES = (64, 64, 32, 10)


def start(seed=0):
    """Dense layers with He's initialisation."""
    rng = np.random.default_rng(seed)
    return [
        {"w": (rng.normal(size=(m, n)) * np.sqrt(2 / m)).astype(np.float32), "b": np.zeros(n, np.float32)}
        for m, n in itertools.pairwise(SIZES)
    ]


def predict(params, x):
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def loss(params, x, y):
    return jnp.mean(softmax_cross_entropy_with_integer_labels(predict(params, x), y))


def accuracy(params, x, y):
    return jnp.mean(jnp.argmax(predict(params, x), 1) == y)


def main(short, out):
    """Trains; returns the loss of each step and the accuracy on unseen digits after each epoch."""
    (x, y), test = _common.digits()
    count = 2 if short else 30
    tx = nablax.chain(
        nablax.clip_by_global_norm(1.0),
        nablax.adamw(nablax.cosine_decay_schedule(1e-2, count * (len(x) // 64)), weight_decay=1e-2),
    )

    def step(carry, batch):
        params, state = carry
        value, grads = jax.value_and_grad(loss)(params, *batch)
        updates, state = tx.update(grads, state, params)
        return (nablax.apply_updates(params, updates), state), value

    @jax.jit
    def epoch(carry, batches):
        carry, losses = jax.lax.scan(step, carry, batches)
        return carry, (losses, accuracy(carry[0], *test))

    params = start()
    carry, history = (params, tx.init(params)), []
    for batches in _common.epochs(x, y, count):
        carry, report = epoch(carry, batches)
        history.append(report)
    losses, scores = np.concatenate([h[0] for h in history]), np.array([h[1] for h in history])
    print(f"loss {losses[-20:].mean():.4f} at the end, accuracy on unseen digits {scores[-1]:.4f}")

    figure, axes = _common.figure(2)
    per_epoch = len(losses) // count
    axes[0].semilogy(np.arange(len(losses)) / per_epoch, losses, linewidth=0.8)
    axes[0].set(xlabel="epoch", title="training loss of each batch")
    axes[1].plot(np.arange(1, count + 1), scores)
    axes[1].set(xlabel="epoch", title="accuracy on 360 unseen digits", ylim=(min(0.9, scores.min()), 1))
    _common.save(figure, out, "digits_functional")
    return {"losses": losses, "accuracy": scores}


if __name__ == "__main__":
    _common.run(main, __doc__)
