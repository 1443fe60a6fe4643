"""The assignment wing against the installed Optax: names, signatures, costs."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax.assignment as theirs

import nablax.assignment as ours

NAMES = ("base_hungarian_algorithm", "hungarian_algorithm")


def test_names_and_signatures():
    for module in (ours, theirs):
        functions = [n for n, v in vars(module).items() if not n.startswith("_") and inspect.isfunction(v)]
        assert sorted(functions) == list(NAMES)
    for name in NAMES:
        mine, reference = (inspect.signature(getattr(m, name)).parameters.values() for m in (ours, theirs))
        assert [(p.name, p.default, p.kind) for p in mine] == [(p.name, p.default, p.kind) for p in reference]


def test_costs_and_kinds():
    cost = jnp.asarray(np.random.default_rng(0).normal(size=(6, 9)), jnp.float32)
    for name in NAMES:
        mine, expected = (jax.eval_shape(getattr(m, name), cost) for m in (ours, theirs))
        assert [(x.shape, x.dtype) for x in mine] == [(x.shape, x.dtype) for x in expected]
    mine, expected = (m.hungarian_algorithm(cost) for m in (ours, theirs))
    np.testing.assert_allclose(cost[mine].sum(), cost[expected].sum(), rtol=1e-6)
