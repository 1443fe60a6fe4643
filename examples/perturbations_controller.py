"""Evolution strategies on a controller that has no gradient: a bang-bang thruster that balances a pole.

The controller pushes left or right, by the sign of a linear function of the state; its cost (how far and how
long the pole leans) is piecewise constant in places and jumps in others. Centred ranks and any optimizer do
the rest; here a plain momentum step.

    python examples/perturbations_controller.py [--short] [--out FOLDER]
"""

import jax
import jax.numpy as jnp

import _common
from nablax.perturbations import es_value_and_gradient

STARTS = jnp.array([[0.0, 0.0, 0.2, 0.0], [0.0, 0.0, -0.15, 0.1], [0.3, 0.0, 0.1, -0.2]])


def simulate(gains, start, steps=200):
    """The cart's states (place, speed, angle, turning speed) over four seconds."""

    def step(s, _):
        push = 10.0 * jnp.sign(gains @ s)
        turn = (9.8 * jnp.sin(s[2]) - jnp.cos(s[2]) * (push + 0.05 * s[3] ** 2 * jnp.sin(s[2])) / 1.1) / (
            0.5 * (4 / 3 - 0.1 * jnp.cos(s[2]) ** 2 / 1.1)
        )
        move = (push + 0.05 * (s[3] ** 2 * jnp.sin(s[2]) - turn * jnp.cos(s[2]))) / 1.1
        s = s + 0.02 * jnp.array([s[1], move, s[3], turn])
        return jnp.clip(s, -20, 20), s

    return jax.lax.scan(step, start, None, length=steps)[1]


def cost(gains):
    states = jax.vmap(lambda s: simulate(gains, s))(STARTS)
    fallen = jnp.abs(states[..., 2]) > 0.5
    return jnp.mean(
        jnp.where(fallen, 1.0, jnp.abs(states[..., 2]) + 0.1 * jnp.minimum(jnp.abs(states[..., 0]), 1))
    )


def main(short, out):
    """Trains; returns the controller's cost at first and at last."""
    steps, samples = (5, 8) if short else (120, 64)

    def step(carry, key):
        gains, velocity = carry
        value, gradient = es_value_and_gradient(
            cost, key, gains, num_samples=samples, sigma=0.3, shaping="centered_rank"
        )
        velocity = 0.8 * velocity - 0.3 * gradient
        return (gains + velocity, velocity), (value, cost(gains))

    start = (jnp.zeros(4), jnp.zeros(4))
    (gains, _), (mean, own) = jax.jit(lambda k: jax.lax.scan(step, start, jax.random.split(k, steps)))(
        jax.random.key(0)
    )
    print(f"cost {own[0]:.3f} at first, {own[-1]:.3f} at last; gains {gains.round(2)}")

    figure, axes = _common.figure(2, size=(8, 3.2))
    axes[0].plot(own, label="controller")
    axes[0].plot(mean, label="mean of its perturbations")
    axes[0].set(xlabel="step", ylabel="cost", title="Evolution strategies, 64 trials a step")
    axes[0].legend()
    seconds = 0.02 * jnp.arange(200)
    axes[1].plot(seconds, jnp.clip(simulate(jnp.zeros(4), STARTS[0])[:, 2], -1.6, 1.6), label="before")
    axes[1].plot(seconds, simulate(gains, STARTS[0])[:, 2], label="after")
    axes[1].set(xlabel="seconds", ylabel="lean of the pole (radians)", title="One start")
    axes[1].legend()
    _common.save(figure, out, "perturbations_controller")
    return float(own[0]), float(own[-1])


if __name__ == "__main__":
    _common.run(main, __doc__)
