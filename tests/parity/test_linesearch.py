"""Line searches and L-BFGS against Optax: the same rates, states and trajectories."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import nablax.linesearch as ours


def rosenbrock(p):
    return (1 - p["a"][0]) ** 2 + 100 * (p["a"][1] - p["a"][0] ** 2) ** 2 + (p["b"] - 3) ** 4


def valley(p):
    """Well conditioned: in float32, Rosenbrock's curvature of 1000 makes 1e-5 of one unit in a rate's last place."""
    return jnp.sum(jnp.array([1.0, 2.0]) * p["a"] ** 2) + (p["b"] - 3) ** 2 + 0.05 * (p["b"] + p["a"][0]) ** 4


def bowl(z):
    return jnp.sum(jnp.abs(z - (1 + 2j)) ** 2 * jnp.array([1.0, 5.0])) + 0.1 * jnp.sum(jnp.abs(z) ** 4)


START = {"a": [-1.2, 1.0], "b": 0.0}


@pytest.mark.parametrize(
    "name",
    [
        "scale_by_backtracking_linesearch", "scale_by_zoom_linesearch", "value_and_grad_from_state", "lbfgs",
        "scale_by_lbfgs", "ScaleByBacktrackingLinesearchState", "ScaleByZoomLinesearchState", "ZoomLinesearchInfo",
        "ScaleByLBFGSState",
    ],
)  # fmt: skip
def test_signatures(name):
    mine, theirs = (inspect.signature(getattr(m, name)).parameters.values() for m in (ours, optax))
    assert [(p.name, p.kind) for p in mine] == [(p.name, p.kind) for p in theirs]
    assert [p.default for p in mine if p.name != "linesearch"] == [
        p.default for p in theirs if p.name != "linesearch"
    ]


def stepper(m, tx, f, stored):
    """(x, state) -> the next x and state, and the value at x."""
    value_and_grad = m.value_and_grad_from_state(f)

    def step(x, state):
        value, grad = value_and_grad(x, state=state) if stored else jax.value_and_grad(f)(x)
        grad = jax.tree.map(jnp.conj, grad)
        updates, state = tx.update(grad, state, x, value=value, grad=grad, value_fn=f)
        return optax.apply_updates(x, updates), state, value

    return step


def compare(mine, theirs, f, x, steps, rtol, stored=True, links=ours):
    """Optax's steps, and ours from each point and state of Optax's on: so rounding does not add up along the way.

    Relative to the largest entry of each leaf. Counts are int32 here also under 64 bits, where Optax's are wider.
    """
    theirs_step, step = stepper(optax, theirs, f, stored), stepper(links, mine, f, stored)
    leaves, structure = jax.tree.flatten(jax.eval_shape(mine.init, x))
    reference = jax.eval_shape(theirs.init, x)
    assert [p.shape for p in leaves] == [p.shape for p in jax.tree.leaves(reference)]

    @jax.jit
    def both(x):
        def body(carry, _):
            following = theirs_step(*carry)
            fields = [a.astype(p.dtype) for a, p in zip(jax.tree.leaves(carry[1]), leaves, strict=True)]
            same = jax.tree.unflatten(structure, fields)
            return following[:2], (step(carry[0], same), following)

        return jax.lax.scan(body, (x, theirs.init(x)), None, length=steps)[1]

    pairs = zip(*map(jax.tree.leaves, jax.tree.map(np.asarray, both(x))), strict=True)
    for ours_leaf, theirs_leaf in pairs:
        for a, b in zip(ours_leaf, theirs_leaf, strict=True):
            # In float32 a point near the minimum 0 is known to the rounding of those before.
            largest = np.max(np.abs(b if b.dtype == np.float64 else theirs_leaf))
            np.testing.assert_allclose(a, b, rtol=0, atol=rtol * largest)


def make(m, kind):
    if kind == "lbfgs":
        return m.lbfgs()
    if kind == "plain":
        return m.lbfgs(
            linesearch=m.scale_by_zoom_linesearch(15, curv_rtol=0.1), scale_init_precond=False, memory_size=3
        )
    if kind == "gradient":
        return optax.chain(optax.sgd(1.0), m.scale_by_zoom_linesearch(15))
    search = m.scale_by_backtracking_linesearch(20, store_grad=kind == "stored")
    return optax.chain(optax.scale(-1.0), search)


def start(dtype):
    return jax.tree.map(lambda v: jnp.asarray(v, dtype), START, is_leaf=lambda v: isinstance(v, list))


KINDS = ["lbfgs", "plain", "gradient", "backtracking", "stored"]


@pytest.mark.parametrize("kind", KINDS)
def test_steps_and_states(kind):
    stored = kind != "backtracking"
    compare(make(ours, kind), make(optax, kind), valley, start(jnp.float32), 4, 1e-6, stored)
    with jax.enable_x64(True):
        compare(make(ours, kind), make(optax, kind), rosenbrock, start(jnp.float64), 15, 1e-12, stored)


def test_complex_parameters():
    with jax.enable_x64(True):
        compare(ours.lbfgs(), optax.lbfgs(), bowl, jnp.array([3 + 1j, 2 - 1j]), 6, 1e-12)


def test_links_of_both_libraries_mix():
    with jax.enable_x64(True):
        mixed = optax.chain(
            optax.scale_by_lbfgs(),
            optax.scale(-1.0),
            make(ours, "lbfgs").children["scale_by_zoom_linesearch"],
        )
        compare(mixed, optax.lbfgs(), rosenbrock, start(jnp.float64), 5, 1e-12)
