"""The programs of benchmarks/course: each trains, and where torch is installed its losses are torch's."""

import functools
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from course import LIBRARIES, PROGRAMS

sys.path.pop()  # it holds an autograd.py

STEPS = 6


@functools.cache
def losses(program: str, library: str) -> np.ndarray:
    step = PROGRAMS[program](LIBRARIES[library](), small=True)
    return np.array([step(i) for i in range(STEPS)])


@pytest.mark.parametrize("program", PROGRAMS)
def test_trains(program: str) -> None:
    found = losses(program, "nablax")
    assert np.isfinite(found).all()
    assert len(set(found)) > 1  # something was learned, or forgotten


@pytest.mark.parametrize("program", PROGRAMS)
def test_agrees_with_torch(program: str) -> None:
    pytest.importorskip("torch")
    np.testing.assert_allclose(losses(program, "nablax"), losses(program, "torch"), rtol=2e-4, atol=1e-5)
