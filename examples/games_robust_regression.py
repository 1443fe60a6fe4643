"""Adversarially robust logistic regression on the breast-cancer data, as a game.

    min_w max_{|delta_i| <= eps}  mean_i log(1 + exp(-y_i w . (x_i + delta_i))) + ridge |w|^2

The second player moves every measurement of every patient by up to eps standard deviations. For a linear model its
best answer is known, so the solution can be checked: the robust loss is mean log(1 + exp(-(y_i w . x_i - eps |w|_1))).

    python examples/games_robust_regression.py [--short] [--out FOLDER]
"""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_breast_cancer

import _common
from nablax import games
from nablax.games import methods
from nablax.projections import projection_box

RIDGE = 1e-3


def data(seed=0):
    """Standardised measurements with a column of ones, labels -1 and 1; 400 patients to train on, 169 to test."""
    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(x))
    x, y = x[order], 2.0 * y[order] - 1.0
    x = (x - x[:400].mean(0)) / x[:400].std(0)
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    return (x[:400], y[:400]), (x[400:], y[400:])


def loss(w, x, y):
    """Logistic loss with ridge; w holds the weights and, last, the intercept, which no attack touches."""
    return jnp.mean(jnp.logaddexp(0.0, -y * (x @ w[:-1] + w[-1]))) + RIDGE * jnp.sum(w[:-1] ** 2)


def robust_loss(w, x, y, eps):
    """The loss under the best attack, in closed form."""
    margin = y * (x @ w[:-1] + w[-1]) - eps * jnp.abs(w[:-1]).sum()
    return jnp.mean(jnp.logaddexp(0.0, -margin)) + RIDGE * jnp.sum(w[:-1] ** 2)


def attacked_accuracy(w, x, y, eps):
    """The fraction of patients that are told right under the best attack."""
    return float(jnp.mean(y * (x @ w[:-1] + w[-1]) - eps * jnp.abs(w[:-1]).sum() > 0))


@functools.partial(jax.jit, static_argnums=3)
def train(x, y, eps, steps):
    """The weights of the game's solution. The attacker's gradients are small: a patient weighs 1/400."""
    F = games.field(
        lambda w, delta: loss(w, x + delta, y),
        minimize="w",
        maximize="delta",
        projections={"delta": lambda delta: projection_box(delta, -eps, eps)},
    )
    method = methods.extragradient({"w": lambda k: 0.2 / jnp.sqrt(1 + k / 50), "delta": 40.0})
    z0 = {"w": jnp.zeros(x.shape[1] + 1), "delta": jnp.zeros_like(x)}
    solution = games.solve(method, F, z0, steps=steps)
    # The last weights swing where the attacker's answers jump; their average does not.
    return solution.average["w"].astype(jnp.float32)


def main(short: bool, out: Path) -> dict[str, float]:
    """Trains with and without an attacker; returns robust losses and accuracies under attack."""
    (x, y), (x_test, y_test) = data()
    eps, steps = 0.3, 100 if short else 3000
    plain, robust = train(x, y, 0.0, steps), train(x, y, eps, steps)
    # The same weights by subgradients of the closed form: what the game is checked against.
    checked = games.solve(
        methods.simultaneous(lambda k: 0.2 / jnp.sqrt(1 + k / 50)),
        games.operator(jax.grad(lambda w: robust_loss(w, x, y, eps))),
        jnp.zeros(x.shape[1] + 1),
        steps=2 * steps,
    ).average
    found = {
        "robust loss, game": float(robust_loss(robust, x, y, eps)),
        "robust loss, closed form": float(robust_loss(checked, x, y, eps)),
        "robust loss, plain training": float(robust_loss(plain, x, y, eps)),
        "attacked accuracy, game": attacked_accuracy(robust, x_test, y_test, eps),
        "attacked accuracy, plain training": attacked_accuracy(plain, x_test, y_test, eps),
    }
    for name, value in found.items():
        print(f"{name:34s} {value:.4f}")

    figure, axes = _common.figure(2, size=(11, 4.2))
    budgets = np.linspace(0, 0.6, 25)
    for name, w in (("plain training", plain), (f"game with eps = {eps}", robust)):
        axes[0].plot(budgets, [attacked_accuracy(w, x_test, y_test, b) for b in budgets], label=name)
    axes[0].axvline(eps, color="grey", linewidth=0.8, linestyle=":")
    axes[0].set(xlabel="attack: standard deviations a measurement", ylabel="accuracy on 169 unseen patients")
    axes[0].set(ylim=(0, 1.02), title="accuracy under attack")
    axes[0].legend()
    place = np.arange(x.shape[1])
    axes[1].bar(place - 0.2, plain[:-1], 0.4, label="plain training")
    axes[1].bar(place + 0.2, robust[:-1], 0.4, label="game")
    axes[1].set(xlabel="measurement", ylabel="weight", title="weights")
    axes[1].legend()
    _common.save(figure, out, "games_robust_regression")
    return found


if __name__ == "__main__":
    _common.run(main, __doc__)
