"""The perceptron of `digits_functional.py` again, define-by-run: `loss.backward()`, `opt.step()`.

    python examples/digits_autograd.py [--short] [--out FOLDER]

The same start, batches and optimizer, so the same losses up to rounding. The gradient at the input costs one more
`requires_grad`: it shows which pixels speak against the network's answer.
"""

import itertools

import numpy as np

import _common
import nablax
from nablax import autograd
from nablax.autograd import nn

SIZES = (64, 64, 32, 10)


def start(seed=0):
    """Dense layers with He's initialisation."""
    rng = np.random.default_rng(seed)
    return [
        {
            "w": autograd.Parameter((rng.normal(size=(m, n)) * np.sqrt(2 / m)).astype(np.float32)),
            "b": autograd.Parameter(np.zeros(n, np.float32)),
        }
        for m, n in itertools.pairwise(SIZES)
    ]


def predict(params, x):
    for layer in params[:-1]:
        x = (x @ layer["w"] + layer["b"]).relu()
    return x @ params[-1]["w"] + params[-1]["b"]


def accuracy(params, x, y):
    with autograd.no_grad():
        return np.mean(predict(params, x).argmax(1).numpy() == y)


def main(short, out):
    """Trains; returns the loss of each step and the accuracy on unseen digits after each epoch."""
    (x, y), test = _common.digits()
    count = 2 if short else 30
    tx = nablax.chain(
        nablax.clip_by_global_norm(1.0),
        nablax.adamw(nablax.cosine_decay_schedule(1e-2, count * (len(x) // 64)), weight_decay=1e-2),
    )
    params = start()
    opt = nablax.Optimizer(tx, params)
    losses, scores = [], []
    for batches in _common.epochs(x, y, count):
        for x_batch, y_batch in zip(*batches, strict=True):
            loss = nn.functional.cross_entropy(predict(params, x_batch), y_batch)
            loss.backward()
            opt.step()
            opt.zero_grad()
            losses.append(loss.item())
        scores.append(accuracy(params, *test))
    losses, scores = np.array(losses), np.array(scores)
    print(f"loss {losses[-20:].mean():.4f} at the end, accuracy on unseen digits {scores[-1]:.4f}")

    pictures = autograd.tensor(test[0][:8], requires_grad=True)
    nn.functional.cross_entropy(predict(params, pictures), test[1][:8]).backward()
    gradients = pictures.grad.numpy()

    figure, axes = _common.figure(9, 2, size=(9, 2.9), width_ratios=[4] + [1] * 8)
    for ax in axes[:, 0]:
        ax.remove()
    ax = figure.add_subplot(axes[0, 0].get_gridspec()[:, 0])
    ax.semilogy(np.arange(len(losses)) / (len(losses) // count), losses, linewidth=0.8)
    ax.set(xlabel="epoch", title="training loss")
    for (above, below), picture, gradient in zip(axes[:, 1:].T, test[0], gradients, strict=False):
        above.imshow(picture.reshape(8, 8), cmap="gray_r")
        reach = np.abs(gradient).max()
        below.imshow(gradient.reshape(8, 8), cmap="RdBu_r", vmin=-reach, vmax=reach)
        above.set_axis_off()
        below.set_axis_off()
    axes[0, 4].set_title("digits", loc="left")
    axes[1, 4].set_title("d loss / d pixel", loc="left")
    _common.save(figure, out, "digits_autograd")
    return {"losses": losses, "accuracy": scores}


if __name__ == "__main__":
    _common.run(main, __doc__)
