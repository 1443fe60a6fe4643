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


def run(m, tx, f, x, steps, stored=True):
    value_and_grad = m.value_and_grad_from_state(f)

    @jax.jit
    def step(x, state):
        value, grad = value_and_grad(x, state=state) if stored else jax.value_and_grad(f)(x)
        grad = jax.tree.map(jnp.conj, grad)
        updates, state = tx.update(grad, state, x, value=value, grad=grad, value_fn=f)
        x = optax.apply_updates(x, updates)
        return x, state, (value, state[-1].learning_rate, state[-1].info.num_linesearch_steps)

    state, out = tx.init(x), []
    for _ in range(steps):
        x, state, told = step(x, state)
        out.append([float(t) for t in told])
    return np.array(out), x, state


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


@pytest.mark.parametrize("kind", ["lbfgs", "plain", "gradient", "backtracking", "stored"])
def test_trajectories(kind):
    with jax.enable_x64(True):
        x = jax.tree.map(jnp.asarray, START, is_leaf=lambda v: isinstance(v, list))
        stored = kind != "backtracking"
        mine, theirs = (run(m, make(m, kind), rosenbrock, x, 15, stored) for m in (ours, optax))
        # Rounding in another order grows along a trajectory through a curved valley.
        np.testing.assert_allclose(mine[0][:4], theirs[0][:4], rtol=1e-11)
        np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-8)
        assert [p.shape for p in jax.tree.leaves(mine[2])] == [p.shape for p in jax.tree.leaves(theirs[2])]


def test_complex_parameters():
    with jax.enable_x64(True):
        z = jnp.array([3 + 1j, 2 - 1j])
        mine, theirs = (run(m, m.lbfgs(), bowl, z, 6) for m in (ours, optax))
        np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-9)


def test_one_step_in_float32():
    x = jax.tree.map(jnp.asarray, START, is_leaf=lambda v: isinstance(v, list))
    mine, theirs = (run(m, m.lbfgs(), rosenbrock, x, 2) for m in (ours, optax))
    np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-5)


def test_links_of_both_libraries_mix():
    with jax.enable_x64(True):
        x = jax.tree.map(jnp.asarray, START, is_leaf=lambda v: isinstance(v, list))
        mixed = optax.chain(
            optax.scale_by_lbfgs(),
            optax.scale(-1.0),
            make(ours, "lbfgs").children["scale_by_zoom_linesearch"],
        )
        got, want = run(ours, mixed, rosenbrock, x, 5), run(optax, optax.lbfgs(), rosenbrock, x, 5)
        np.testing.assert_allclose(got[0], want[0], rtol=1e-10)
