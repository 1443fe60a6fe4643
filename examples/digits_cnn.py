"""A convolutional network on digits, with shifted pictures, SGD with Nesterov's momentum and a one-cycle schedule.

    python examples/digits_cnn.py [--short] [--out FOLDER]

Kernels decay, biases do not: the mask is a function of the parameters. `keys` tells `train_step` which argument of the
loss is a random key.
"""

import jax
import jax.numpy as jnp
import numpy as np

import _common
import nablax
from nablax.losses import softmax_cross_entropy_with_integer_labels


def start(seed=0):
    """Two convolutions and a dense layer, with He's initialisation."""
    rng = np.random.default_rng(seed)
    shapes = {"conv1": (3, 3, 1, 16), "conv2": (3, 3, 16, 32), "dense": (2 * 2 * 32, 10)}
    return {
        name: {
            "kernel": (rng.normal(size=s) * np.sqrt(2 / np.prod(s[:-1]))).astype(np.float32),
            "bias": np.zeros(s[-1], np.float32),
        }
        for name, s in shapes.items()
    }


def block(p, x):
    """Convolution, rectifier, and the maximum of each 2 x 2 square: (n, h, w, c) to (n, h/2, w/2, c')."""
    x = jax.lax.conv_general_dilated(
        x, p["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    x = jax.nn.relu(x + p["bias"])
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def predict(params, x):
    x = block(params["conv2"], block(params["conv1"], x.reshape(-1, 8, 8, 1)))
    return x.reshape(len(x), -1) @ params["dense"]["kernel"] + params["dense"]["bias"]


def shifted(key, x):
    """Each picture moved by up to one pixel."""

    def one(shift, picture):
        return jax.lax.dynamic_slice(jnp.pad(picture.reshape(8, 8), 1), shift, (8, 8))

    return jax.vmap(one)(jax.random.randint(key, (len(x), 2), 0, 3), x)


def loss(params, x, y, key):
    scores = predict(params, shifted(key, x))
    return jnp.mean(softmax_cross_entropy_with_integer_labels(scores, y))


def main(short, out):
    """Trains; returns the accuracy on unseen digits after each epoch."""
    (x, y), test = _common.digits()
    count = 2 if short else 25
    steps = count * (len(x) // 64)
    tx = nablax.chain(
        nablax.add_decayed_weights(1e-3, mask=lambda params: jax.tree.map(lambda p: p.ndim > 1, params)),
        nablax.sgd(nablax.cosine_onecycle_schedule(steps, 0.1), momentum=0.9, nesterov=True),
    )
    step, params = nablax.train_step(loss, tx, keys="key"), start()
    state, answers = step.init(params), jax.jit(lambda params, x: jnp.argmax(predict(params, x), 1))
    scores, rates = [], []
    for epoch, batches in enumerate(_common.epochs(x, y, count)):
        for k, batch in enumerate(zip(*batches, strict=True)):
            params, state, metrics = step(params, state, *batch, jax.random.key(epoch * steps + k))
            rates.append(metrics["learning_rate"])
        found = np.asarray(answers(params, test[0]))
        scores.append(float(np.mean(found == test[1])))
    wrong = np.flatnonzero(found != test[1])
    print(f"accuracy on unseen digits {scores[-1]:.4f}: {len(wrong)} of {len(found)} wrong")

    figure, axes = _common.figure(5, 2, size=(10, 3.6), width_ratios=[3, 3, 1, 1, 1])
    for ax in axes[:, :2].ravel():
        ax.remove()
    grid = axes[0, 0].get_gridspec()
    ax, rate = figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[:, 1])
    ax.semilogy(np.arange(1, count + 1), 100 * (1 - np.array(scores)))
    ax.set(xlabel="epoch", title="% wrong among unseen digits")
    rate.plot(np.arange(steps) / steps * count, np.array(rates))
    rate.set(xlabel="epoch", title="learning rate")
    for ax, i in zip(axes[:, 2:].ravel(), [*wrong, *[None] * 6], strict=False):
        ax.set_axis_off()
        if i is not None:
            ax.imshow(test[0][i].reshape(8, 8), cmap="gray_r")
            ax.set_title(f"{test[1][i]}, not {found[i]}", fontsize=9)
    _common.save(figure, out, "digits_cnn")
    return {"accuracy": scores}


if __name__ == "__main__":
    _common.run(main, __doc__)
