"""Digits with equinox: the module itself goes into an `Optimizer`, which reports on every step.

    python examples/digits_equinox.py [--short] [--out FOLDER]

Functions and sizes among the module's leaves are carried along. The learning rate is set by hand on the way: it takes
effect at the next step, and nothing is compiled again.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import _common
import nablax
from nablax.losses import softmax_cross_entropy_with_integer_labels


@eqx.filter_jit
@eqx.filter_grad
def gradient(model, x, y):
    return jnp.mean(softmax_cross_entropy_with_integer_labels(jax.vmap(model)(x), y))


@eqx.filter_jit
def accuracy(model, x, y):
    return jnp.mean(jnp.argmax(jax.vmap(model)(x), 1) == y)


def main(short, out):
    """Trains; returns the accuracy after each epoch, and by name the metrics of every step."""
    (x, y), test = _common.digits()
    count = 3 if short else 24
    model = eqx.nn.MLP(64, 10, 64, 2, key=jax.random.key(0))
    told = []
    opt = nablax.Optimizer(
        nablax.lion(3e-3, weight_decay=0.1),
        model,
        metrics=True,
        callbacks=[lambda step, metrics: told.append(metrics)],
    )
    scores = []
    for epoch, batches in enumerate(_common.epochs(x, y, count)):
        if epoch and epoch % (count // 3) == 0:
            opt.hyperparameters["learning_rate"] /= 5
        for batch in zip(*batches, strict=True):
            opt.step(gradient(opt.params, *batch))
        scores.append(float(accuracy(opt.params, *test)))
    metrics = {name: np.array([m[name] for m in told]) for name in told[0]}
    print(
        f"accuracy on unseen digits {scores[-1]:.4f}, after rates {np.unique(metrics['learning_rate'])[::-1]}"
    )

    figure, axes = _common.figure(3, size=(10.5, 3.2))
    at = np.arange(len(told)) / (len(told) / count)
    axes[0].semilogy(np.arange(1, count + 1), 100 * (1 - np.array(scores)))
    axes[0].set(title="% wrong among unseen digits")
    axes[1].semilogy(at, metrics["gradient_norm"], linewidth=0.7)
    axes[1].set(title="norm of the gradient")
    axes[2].semilogy(at, metrics["update_ratio"])
    axes[2].set(title="update / parameters, by norm")
    for ax in axes:
        ax.set_xlabel("epoch")
    _common.save(figure, out, "digits_equinox")
    return {"accuracy": scores, **metrics}


if __name__ == "__main__":
    _common.run(main, __doc__)
