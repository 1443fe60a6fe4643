"""Fits a sum of two peaks to noisy data by L-BFGS, within bounds, beside Adam and gradient descent.

    python examples/lbfgs_fit.py [--short] [--out FOLDER]

For a smooth function of few parameters whose gradient is exact, a quasi-Newton method needs tens of evaluations where
first-order steps need hundreds: heights, places and widths bend the loss by different amounts.
"""

import jax
import jax.numpy as jnp
import numpy as np

import _common
import nablax

TRUTH = {"height": np.array([1.0, 0.6]), "place": np.array([-0.5, 0.6]), "width": np.array([0.25, 0.5])}


def peaks(p, x):
    """The sum of the peaks at x of shape (n,)."""
    return jnp.sum(p["height"] * jnp.exp(-(((x[:, None] - p["place"]) / p["width"]) ** 2)), 1)


def loss(p, x, y):
    return jnp.mean((peaks(p, x) - y) ** 2)


def path(tx, start, x, y, steps):
    """The loss after each step of a transformation, and what it cost in evaluations of the function."""

    def value_of(p):
        return loss(p, x, y)

    def step(carry, _):
        p, state = carry
        value, grad = jax.value_and_grad(value_of)(p)
        updates, state = tx.update(grad, state, p, value=value, grad=grad, value_fn=value_of)
        searched = nablax.tree.get(state, "num_linesearch_steps", 0)  # each is one more evaluation
        return (nablax.apply_updates(p, updates), state), (value, 1 + searched)

    tx = nablax.with_extra_args_support(tx)
    return jax.jit(lambda p: jax.lax.scan(step, (p, tx.init(p)), None, length=steps)[1])(start)


def main(short, out):
    """Fits; returns the parameters that were found, and by method the evaluations it needs to come as close."""
    rng = np.random.default_rng(0)
    x = jnp.linspace(-2, 2, 200)
    y = peaks(TRUTH, x) + 0.05 * rng.normal(size=200).astype(np.float32)
    start = {"height": jnp.array([0.5, 0.5]), "place": jnp.array([-1.0, 1.0]), "width": jnp.array([0.5, 0.5])}
    # Widths stay positive; the rest is free.
    bounds = ({"height": None, "place": None, "width": 0.05}, None)
    fit = nablax.minimize(loss, start, args=(x, y), bounds=bounds, tol=1e-5)
    print(f"minimize: {fit.reason.value} {int(fit.steps)} steps, {int(fit.evaluations)} evaluations")
    for name, true in TRUTH.items():
        print(f"  {name:8s} {np.asarray(fit.x[name]).round(3)}, true {true}")

    steps = 30 if short else 1000
    curves = {
        "L-BFGS": path(nablax.lbfgs(), start, x, y, 30),
        "Adam": path(nablax.adam(0.02), start, x, y, steps),
        "gradient descent": path(nablax.sgd(0.5), start, x, y, steps),
    }
    figure, axes = _common.figure(2)
    axes[0].plot(x, y, ".", color="#999999", markersize=3, label="data")
    axes[0].plot(x, peaks(start, x), "--", color=_common.ORANGE, label="start")
    axes[0].plot(x, peaks(fit.x, x), color=_common.BLUE, label="fit")
    axes[0].set(title="two peaks")
    axes[0].legend()
    needed = {}
    for name, (values, cost) in curves.items():
        above = np.minimum.accumulate(np.asarray(values)) - float(fit.value)
        spent = np.cumsum(cost)
        axes[1].loglog(spent, np.maximum(above, 1e-9), label=name)
        needed[name] = int(spent[above < 1e-6][0]) if above[-1] < 1e-6 else np.inf
        print(f"{name:18s} {needed[name]} evaluations until the loss is within 1e-6 of the fit's")
    axes[1].set(title="loss above the fit's", xlabel="evaluations", ylim=(1e-9, 1))
    axes[1].legend(loc="lower left")
    _common.save(figure, out, "lbfgs_fit")
    return {"found": fit.x, "needed": needed}


if __name__ == "__main__":
    _common.run(main, __doc__)
