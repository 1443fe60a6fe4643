"""Learns the learning rate of every step by differentiating through the training run.

    python examples/learned_learning_rate.py [--short] [--out FOLDER]

A run is a `scan` of 40 momentum steps on digits, and its result a function of 40 rates: the loss on digits that the run
has not seen. So the rates have a gradient, and Adam learns them. An optimizer's number may be traced: `sgd(rate)` takes
the rate of the step, and one transformation serves the run while another learns it.
"""

import jax
import jax.numpy as jnp
import numpy as np

import _common
import nablax
from nablax.losses import softmax_cross_entropy_with_integer_labels

STEPS = 40


def loss(w, x, y):
    return jnp.mean(softmax_cross_entropy_with_integer_labels(x @ w["kernel"] + w["bias"], y))


def run(rates, batches):
    """Parameters after one step of momentum for each of the rates, (STEPS,), and its batch."""
    start = {"kernel": jnp.zeros((64, 10)), "bias": jnp.zeros(10)}
    state = nablax.sgd(0.0, momentum=0.9).init(start)

    def step(carry, at):
        (w, state), (rate, batch) = carry, at
        tx = nablax.sgd(rate, momentum=0.9)
        updates, state = tx.update(jax.grad(loss)(w, *batch), state, w)
        return (nablax.apply_updates(w, updates), state), None

    return jax.lax.scan(step, (start, state), (rates, batches))[0][0]


def main(short, out):
    """Learns the rates; returns the losses of the best constant rate, and of the learned ones on new data."""
    (x, y), test = _common.digits()
    # Learn on half of the digits with runs on the other half; judge by digits and batches that no run has seen.
    inner, outer = (x[:700], y[:700]), (x[700:], y[700:])
    shuffled = _common.epochs(*inner, count=400, size=16)

    def batches():
        """Of the next run."""
        return jax.tree.map(lambda rows: rows[:STEPS], next(shuffled))

    fresh = [batches() for _ in range(2 if short else 20)]
    fresh = jax.tree.map(lambda *runs: np.stack(runs), *fresh)

    @jax.jit
    def judged(rates):
        return jnp.mean(jax.vmap(lambda b: loss(run(rates, b), *test))(fresh))

    constants = np.geomspace(0.03, 3, 3 if short else 15)
    grid = np.array([judged(jnp.full(STEPS, c)) for c in constants])
    best = constants[grid.argmin()]

    meta = nablax.train_step(lambda logs, b: loss(run(jnp.exp(logs), b), *outer), nablax.adam(0.03))
    logs = jnp.full(STEPS, np.log(best))
    state, curve = meta.init(logs), []
    for k in range(2 if short else 300):
        logs, state, _ = meta(logs, state, batches())
        if k % 10 == 0:
            curve.append((k, float(judged(jnp.exp(logs)))))
    learned = float(judged(jnp.exp(logs)))
    print(
        f"loss on unseen digits: {grid.min():.4f} with the best constant rate, {best:.2f}; {learned:.4f} learned"
    )

    figure, axes = _common.figure(3, size=(10.5, 3.3))
    axes[0].loglog(constants, grid, "o-", markersize=3)
    axes[0].set(title="constant rates", xlabel="rate", ylabel="loss on unseen digits")
    axes[1].plot(*np.array(curve).T)
    axes[1].axhline(grid.min(), color="grey", linestyle=":", label="best constant rate")
    axes[1].set(title="learning the rates", xlabel="runs", ylabel="loss on unseen digits")
    axes[1].legend()
    axes[2].plot(np.arange(1, STEPS + 1), np.exp(logs))
    axes[2].axhline(best, color="grey", linestyle=":", label="where it began")
    axes[2].set(title="learned rates", xlabel="step of a run", ylim=(0, None))
    axes[2].legend()
    _common.save(figure, out, "learned_learning_rate")
    return {"constant": float(grid.min()), "learned": learned}


if __name__ == "__main__":
    _common.run(main, __doc__)
