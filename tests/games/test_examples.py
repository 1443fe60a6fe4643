"""The examples, each in its quick form: they run, draw, and find what they claim."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name, out):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = module.main(quick=True, out=out)
    assert (out / f"{name}.png").stat().st_size > 5_000
    return found


def test_trajectories(tmp_path):
    found = run("games_trajectories", tmp_path)
    assert found["simultaneous"] > np.sqrt(2) > found["extra-gradient"]
    assert found["FEG"] < found["extra-gradient"]


def test_matrix_games(tmp_path):
    found = run("games_matrix", tmp_path)
    for gap, error in found.values():
        assert 0 <= gap < 0.1
        assert error <= gap  # the value of the linear program lies within the gap


def test_robust_regression(tmp_path):
    pytest.importorskip("sklearn")
    found = run("games_robust_regression", tmp_path)
    assert found["robust loss, game"] < found["robust loss, plain training"]
    assert found["robust loss, game"] == pytest.approx(found["robust loss, closed form"], abs=0.05)
    assert found["attacked accuracy, game"] >= found["attacked accuracy, plain training"]


def test_constrained_classifier(tmp_path):
    pytest.importorskip("sklearn")
    found = run("games_constrained_classifier", tmp_path)
    loss, missed = found["scipy SLSQP"]
    assert missed == pytest.approx(0.02, abs=1e-4)
    assert 0.2 < loss < 0.4
    assert all(m < 0.1 for _, m in found.values())


def test_gan(tmp_path):
    found = run("games_gan", tmp_path)
    assert set(found) == {"extra-gradient"}
    assert all(0 <= modes <= 8 for seeds in found.values() for modes in seeds)
