"""A classifier that may miss at most 2% of the malignant tumours, as a game of weights and a multiplier.

    min_w  mean loss on benign cases    subject to    mean miss(w) on malignant cases <= 2%

with the sigmoid of the wrong-signed score as the miss, a smooth count. The Lagrangian's multiplier is the price of a
missed tumour: nobody has to choose it by hand. It is raised while too many are missed and lowered otherwise, by plain
ascent, which swings, or by the nuPI controller, which does not.

    python examples/games_constrained_classifier.py [--short] [--out FOLDER]
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize
from sklearn.datasets import load_breast_cancer

import _common
from nablax import games
from nablax.games import methods, nupi
from nablax.optimizers import sgd

BUDGET, RIDGE = 0.02, 1e-2


def data():
    """Standardised measurements and a column of ones: benign and malignant cases, 400 patients."""
    x, y = load_breast_cancer(return_X_y=True)
    x, y = x[:400], y[:400]
    x = np.hstack([(x - x.mean(0)) / x.std(0), np.ones((400, 1))])
    return jnp.asarray(x[y == 1], jnp.float32), jnp.asarray(x[y == 0], jnp.float32)


BENIGN, MALIGNANT = data()


def false_alarms(w):
    """Logistic loss on benign cases, whose scores should be negative."""
    return jnp.mean(jax.nn.softplus(BENIGN @ w)) + RIDGE * w @ w


def excess_misses(w):
    """The smooth rate of missed tumours, less the budget; not positive where the budget holds."""
    return jnp.mean(jax.nn.sigmoid(-(MALIGNANT @ w))) - BUDGET


PROBLEM = games.lagrangian(false_alarms, inequality=excess_misses)


def reference():
    """The same problem for scipy's SLSQP."""

    def double(fn):
        return lambda w: np.asarray(fn(jnp.asarray(w, jnp.float32)), np.float64)

    return minimize(
        double(false_alarms),
        np.zeros(BENIGN.shape[1]),
        jac=double(jax.grad(false_alarms)),
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-7},
        constraints={
            "type": "ineq",
            "fun": lambda w: -double(excess_misses)(w),
            "jac": lambda w: -double(jax.grad(excess_misses))(w),
        },
    )


def exact_price(w):
    """The multiplier that balances the two gradients at the solution."""
    w = jnp.asarray(w, jnp.float32)
    cost, gain = jax.grad(false_alarms)(w), -jax.grad(excess_misses)(w)
    return float(cost @ gain / (gain @ gain))


def main(short: bool, out: Path) -> dict[str, tuple[float, float]]:
    """Trains with each method; returns the loss on benign cases and the rate of misses at the end, by method."""
    steps, up = 50 if short else 1000, 100.0
    chosen = {
        "gradient ascent": methods.alternating({"x": sgd(0.1), "inequality": sgd(up)}),
        "nuPI, kp = 20": methods.alternating({"x": sgd(0.1), "inequality": nupi(up, kp=20.0)}),
        "extra-gradient": methods.extragradient({"x": 0.1, "inequality": up}),
    }
    if short:
        chosen = {"nuPI, kp = 20": chosen["nuPI, kp = 20"]}
    start = PROBLEM.start(jnp.zeros(BENIGN.shape[1]))
    exact = reference()
    found = {"scipy SLSQP": (float(false_alarms(exact.x)), float(excess_misses(exact.x)) + BUDGET)}
    figure, axes = _common.figure(2, size=(11, 4.2))
    for name, method in chosen.items():
        path = games.trajectory(method, PROBLEM, start, steps=steps)
        missed = BUDGET + jax.vmap(excess_misses)(path["x"])
        axes[0].plot(path["inequality"], label=name, linewidth=1.3)
        axes[1].semilogy(missed, label=name, linewidth=1.3)
        found[name] = float(false_alarms(path["x"][-1])), float(missed[-1])
    for name, (loss, missed) in found.items():
        print(f"{name:16s} loss on benign cases {loss:.4f}, missed tumours {100 * missed:.2f}%")
    axes[0].set(title="the multiplier: the price of a miss", xlabel="step")
    axes[0].axhline(exact_price(exact.x), color="grey", linestyle=":", label="exact")
    axes[1].axhline(BUDGET, color="grey", linestyle=":", label="budget")
    axes[1].set(title="smooth rate of missed tumours", xlabel="step")
    for ax in axes:
        ax.legend()
        ax.set_xlim(0, min(400, steps))
    _common.save(figure, out, "games_constrained_classifier")
    return found


if __name__ == "__main__":
    _common.run(main, __doc__)
