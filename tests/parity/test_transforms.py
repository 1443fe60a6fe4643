"""Transformations against the installed Optax: random trees, 20 steps, three dtypes."""

import warnings
import zlib

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from parity.stepping import DRAWS, Case, compare, draw
from parity.transform_cases import CASES, NOT_COMPLEX, NOT_FLOAT64, OURS, THEIRS

SHAPES = [(), (2, 3)]
WITH_NANS = ("zero_nans", "apply_if_finite", "MultiSteps skip_not_finite")


def trees():
    """Tuples of a leaf and any nesting of leaves and Nones; few shapes, so that programs are shared."""
    leaf = st.sampled_from(SHAPES)
    inner = st.recursive(
        leaf | st.none(),
        lambda children: (
            st.lists(children, max_size=3) | st.dictionaries(st.sampled_from("xyz"), children, max_size=3)
        ),
        max_leaves=4,
    )
    return st.tuples(leaf, inner)


def numbers(name, shapes, dtype, seed):
    params, grads, values = draw(shapes, dtype, seed)
    if name == "keep_params_nonnegative":
        params = jax.tree.map(np.abs, params)
    if name.startswith(WITH_NANS):
        grads[0][[2, 3, 4, 9]] = np.nan
    return params, grads, values


def check(name, dtype, tol, examples):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # inject_stateful_hyperparams, seeds
        case = Case(CASES[name](OURS), CASES[name](THEIRS))

    @hypothesis.seed(zlib.crc32(name.encode()))  # each case its own trees
    @settings(max_examples=examples, phases=[Phase.generate])  # shrinking would compile for minutes
    @given(shapes=trees(), seed=st.integers(0, 99))
    def run(shapes, seed):
        draws = [numbers(name, shapes, dtype, (seed, i)) for i in range(DRAWS)]
        compare(case, draws, tol)

    run()


@pytest.mark.parametrize("name", CASES)
def test_random_trees_in_float32(name):
    check(name, np.float32, 1e-6, examples=2)


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_FLOAT64])
def test_float64(name):
    with jax.enable_x64(True):
        check(name, np.float64, 1e-12, examples=1)


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_COMPLEX])
def test_complex64(name):
    check(name, np.complex64, 3e-6, examples=1)


def test_complex_clip_takes_the_parts():
    """As it clips the two real numbers that a complex one is; Optax raises."""
    u = np.array([3 - 0.2j, -0.1 + 2j], np.complex64)
    np.testing.assert_array_equal(
        OURS.clip(0.5).update(u, ())[0], np.array([0.5 - 0.2j, -0.1 + 0.5j], u.dtype)
    )
    with pytest.raises(ValueError, match="complex"):
        THEIRS.clip(0.5).update(u, ())
