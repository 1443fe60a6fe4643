"""Every optimizer and every part that scales, against the installed Optax: random trees, 20 steps, three dtypes."""

import itertools
import zlib

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from parity.optimizer_cases import CASES, NO_NONES, NO_SCALARS, NOT_COMPLEX, PARTS
from parity.stepping import DRAWS, compare, draw, names

SHAPES = [(), (3,), (2, 3), (0,), (2, 0)]


def trees(name):
    """Nestings of shapes and Nones; nothing is the simplest."""
    leaf = st.sampled_from([s for s in SHAPES if s or not names([name]) & NO_SCALARS])
    return st.just({}) | st.recursive(
        leaf if names([name]) & NO_NONES else leaf | st.none(),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=2)
        ),
        max_leaves=3,
    )


def check(name, case, dtype, tol, simplest=True):
    """On one tree: the simplest, with which Hypothesis begins, or that after it."""
    passed_over = itertools.count(int(simplest))

    @hypothesis.seed(zlib.crc32(name.encode()))  # each case its own trees
    @settings(max_examples=2 - simplest, phases=[Phase.generate])  # shrinking would compile for minutes
    @given(rest=trees(name), seed=st.integers(0, 99))
    def run(rest, seed):
        if not next(passed_over):
            return
        shapes = {"w": (2, 3), "v": (3,), "rest": rest}
        compare(case, [draw(shapes, dtype, (seed, i)) for i in range(DRAWS)], tol)

    run()


@pytest.mark.parametrize("name", CASES)
def test_random_trees_in_float32(name):
    check(name, CASES[name], np.float32, CASES[name].tol, simplest=False)


@pytest.mark.parametrize("name", CASES)
def test_float64(name):
    with jax.enable_x64(True):
        check(name, CASES[name], np.float64, CASES[name].float64)


@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_COMPLEX])
def test_complex64(name):
    check(name, CASES[name], np.complex64, max(CASES[name].tol, 3e-6))


# In the other dtypes they run within their optimizers.
@pytest.mark.parametrize("name", PARTS)
def test_parts_in_float32(name):
    check(name, PARTS[name], np.float32, PARTS[name].tol)
