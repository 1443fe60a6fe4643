"""Policy gradient on a bandit whose best arm is known: how much a control saves.

A policy chooses arm i with probability softmax(theta)_i; arm i pays reward_i. Perturbing theta with Gumbel
noise and taking the argmax samples that policy, so that the gradient of the perturbed reward is the policy
gradient.

    python examples/perturbations_bandit.py [--short] [--out FOLDER]
"""

import jax
import jax.numpy as jnp

import _common
from nablax.perturbations import Gumbel, gradient_statistics, make_perturbed_fun

REWARDS = jnp.array([5.0, 5.5, 6.0, 4.0, 5.2])


def reward(theta):
    return REWARDS[jnp.argmax(theta)]


def train(baseline, steps, samples=16):
    """The policy's exact mean reward after each step of gradient ascent."""
    smooth = make_perturbed_fun(reward, samples, 1.0, Gumbel(), baseline=baseline)

    def step(theta, key):
        theta = theta + 0.3 * jax.grad(smooth, 1)(key, theta)
        return theta, jax.nn.softmax(theta) @ REWARDS

    def run(key):
        return jax.lax.scan(step, jnp.zeros(5), jax.random.split(key, steps))[1]

    return jax.jit(jax.vmap(run))(jax.random.split(jax.random.key(0), 20))


def main(short, out):
    """Trains with each baseline; returns the mean reward of the policies at the end, by baseline."""
    steps = 20 if short else 150
    curves = {}
    for baseline in ("none", "leave_one_out", "linear"):
        curves[baseline] = train(baseline, steps)
        gradient = jax.grad(make_perturbed_fun(reward, 16, 1.0, Gumbel(), baseline=baseline), 1)
        statistics = jax.jit(
            lambda key, g=gradient: gradient_statistics(
                lambda k: g(k, jnp.zeros(5)), key, num_repeats=200, num_samples=16
            )
        )
        s = statistics(jax.random.key(1))
        print(
            f"{baseline:14} mean reward {curves[baseline][:, -1].mean():.3f} of 6; signal to noise "
            f"{s.signal_to_noise:.3f}, samples for 10% error {s.recommended_num_samples:.0f}"
        )

    figure, axis = _common.figure(size=(6, 3.5))
    for baseline, curve in curves.items():
        low, middle, high = jnp.percentile(curve, jnp.array([10, 50, 90]), axis=0)
        axis.plot(middle, label=baseline)
        axis.fill_between(range(steps), low, high, alpha=0.2)
    axis.axhline(6, color="black", linewidth=0.8, linestyle=":")
    axis.set(
        xlabel="step (16 samples each)",
        ylabel="mean reward of the policy",
        title="Policy gradient, five-armed bandit",
    )
    axis.legend(title="baseline", loc="lower right")
    _common.save(figure, out, "perturbations_bandit")
    return {name: float(curve[:, -1].mean()) for name, curve in curves.items()}


if __name__ == "__main__":
    _common.run(main, __doc__)
