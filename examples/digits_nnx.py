"""Digits with flax nnx: a module with batch norm and dropout, which hold statistics and random state.

    python examples/digits_nnx.py [--short] [--out FOLDER]

`nnx.split` parts the module into its parameters, which the optimizer moves, and the rest, which the loss hands back
changed. Beside the run `ema_params` keeps an average of the parameters, which is steadier than the last ones.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import _common
import nablax
from nablax.losses import softmax_cross_entropy_with_integer_labels


class Network(nnx.Module):
    def __init__(self, rngs):
        self.first, self.norm = nnx.Linear(64, 64, rngs=rngs), nnx.BatchNorm(64, rngs=rngs)
        self.drop, self.last = nnx.Dropout(0.2, rngs=rngs), nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        return self.last(self.drop(nnx.relu(self.norm(self.first(x)))))


def main(short, out):
    """Trains; returns the accuracy on unseen digits after each epoch, of the last parameters and of their average."""
    (x, y), test = _common.digits()
    count = 2 if short else 25
    graph, params, rest = nnx.split(Network(nnx.Rngs(0)), nnx.Param, ...)

    def loss(params, rest, x, y):
        model = nnx.merge(graph, params, rest, copy=True)
        model.train()
        value = jnp.mean(softmax_cross_entropy_with_integer_labels(model(x), y))
        return value, nnx.split(model, nnx.Param, ...)[2]

    @jax.jit
    def accuracy(params, rest):
        model = nnx.merge(graph, params, rest, copy=True)
        model.eval()
        return jnp.mean(jnp.argmax(model(test[0]), 1) == test[1])

    tx = nablax.ema_params(nablax.adamw(1e-2, weight_decay=1e-2), 0.98)
    step = nablax.train_step(loss, tx, has_aux=True)
    state, scores = step.init(params), {"last parameters": [], "their average": []}
    for batches in _common.epochs(x, y, count):
        for batch in zip(*batches, strict=True):
            params, state, metrics = step(params, state, rest, *batch)
            rest = metrics["aux"]
        scores["last parameters"].append(float(accuracy(params, rest)))
        scores["their average"].append(float(accuracy(nablax.averaged_params(state), rest)))
    for name, values in scores.items():
        print(f"{name:16s} accuracy on unseen digits {values[-1]:.4f}")

    figure, ax = _common.figure(size=(6, 3.6))
    for name, values in scores.items():
        ax.semilogy(np.arange(1, count + 1), 100 * (1 - np.array(values)), label=name)
    ax.set(xlabel="epoch", ylabel="%", title="wrong among 360 unseen digits")
    ax.legend()
    _common.save(figure, out, "digits_nnx")
    return scores


if __name__ == "__main__":
    _common.run(main, __doc__)
