"""One function over many leaves: eager, traced, and concrete leaves met while something else is traced."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax.core._program import Program, _known, quick_compile_options, step_compile_options
from nablax.optimizers import adamw


def _program():
    return Program(lambda row, shared: (row[0] * shared + 1, row[0].sum()), "affine")


def test_rows_come_back_in_their_order():
    rows = [(jnp.arange(n, dtype=jnp.float32),) for n in (3, 5, 3, 1, 5)]
    for got in (_program().map(rows, 2.0), jax.jit(lambda r: _program().map(r, 2.0))(rows)):
        for (x,), (y, total) in zip(rows, got, strict=True):
            np.testing.assert_array_equal(y, 2 * x + 1)
            np.testing.assert_array_equal(total, x.sum())


@pytest.mark.parametrize("count", [1, 3])
def test_concrete_leaves_inside_a_trace_are_staged(count):
    rows = [(jnp.arange(4.0),)] * count

    def f(x):
        return x + sum(total for _, total in _program().map(rows, 2.0))

    assert jax.jit(f)(1.0) == 1 + 6 * count
    assert jax.grad(f)(1.0) == 1
    np.testing.assert_array_equal(jax.vmap(f)(jnp.zeros(2)), [6.0 * count] * 2)


def test_an_update_of_constants_inside_jit():
    tx, params = adamw(0.1), {"w": jnp.ones(3)}
    state = tx.init(params)
    eager, _ = tx.update(params, state, params)
    staged, _ = jax.jit(lambda: tx.update(params, state, params))()
    np.testing.assert_allclose(staged["w"], eager["w"], rtol=1e-6)


def test_other_value_errors_are_not_swallowed():
    def fails(row, shared):
        raise ValueError("no such leaf")

    with pytest.raises(ValueError, match="no such leaf"):
        Program(fails, "fails").map([(jnp.ones(2),)], 1.0)


def test_this_xla_knows_the_options():
    assert quick_compile_options() == {"xla_cpu_use_fusion_emitters": False}
    step = {"xla_cpu_copy_insertion_use_region_analysis": True, "xla_cpu_prefer_vector_width": 512}
    assert step_compile_options() == step
    assert _known({"xla_no_such_option": True, **step}) == step
    assert _known({"xla_no_such_option": True}) is None
