"""The examples, each in its short form: they run, draw, and find what a few steps can show."""

import importlib
import re
from pathlib import Path

import jax
import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
# Examples that are no scripts with `main(short, out)`, or need several processes, have tests of their own.
ELSEWHERE = {"autograd_tour", "multiprocess"}
pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")


def character_transformer(curves):
    first = {name: curve[0, 1] for name, curve in curves.items()}
    assert all(1.5 < loss < 1.2 * np.log(60) for loss in first.values())
    assert len(set(first.values())) == 2  # two optimizers, not one twice


def digits_autograd(found, functional):
    np.testing.assert_allclose(found["losses"], functional["losses"], rtol=2e-3)
    np.testing.assert_allclose(found["accuracy"], functional["accuracy"], atol=0.01)


def digits_functional(found):
    assert found["losses"][-5:].mean() < 0.5 * found["losses"][:5].mean()
    assert found["accuracy"][-1] > 0.7


def digits_cnn(found):
    assert found["accuracy"][-1] > 0.2


def digits_equinox(found):
    assert found["accuracy"][-1] > 0.7
    np.testing.assert_allclose(np.unique(found["learning_rate"]), [3e-3 / 25, 3e-3 / 5, 3e-3], rtol=1e-6)


def digits_nnx(found):
    assert found["last parameters"][-1] > 0.85  # without the means of batch norm it is 0.78
    assert found["their average"][-1] > 0.85


def games_constrained_classifier(found):
    loss, missed = found["scipy SLSQP"]
    assert missed == pytest.approx(0.02, abs=1e-4)
    assert 0.2 < loss < 0.4
    for cost, misses in found.values():  # of weights 0: log 2, and half of the tumours
        assert cost == pytest.approx(loss, abs=0.06)
        assert misses < 0.05


def games_gan(found):
    assert found == {"extra-gradient": [0, 0]}  # ten steps cover nothing; so its parts are asked
    gan = importlib.import_module("games_gan")
    for modes in (0, 3, 8):
        points = np.concatenate([np.zeros((8, 2)), gan.CENTRES])[modes : modes + 8]
        assert gan.covered(np.repeat(points, 125, axis=0)) == modes
    z, batch = gan.start(0), gan.draw(jax.random.key(0))
    assert np.abs(np.linalg.norm(batch["ring"], axis=1) - 1).max() < 6 * gan.SPREAD
    z["discriminator"][-1]["b"] += 20.0  # it takes everything for the ring
    assert gan.generator_loss(**z, batch=batch) < 0.1
    assert gan.discriminator_loss(**z, batch=batch) > 10


def games_matrix(found):
    for gap, error in found.values():
        assert 0 <= gap < 0.1
        assert error <= gap  # the value of the linear program lies within the gap


def games_robust_regression(found):
    assert found["robust loss, game"] < found["robust loss, plain training"]
    assert found["robust loss, game"] == pytest.approx(found["robust loss, closed form"], abs=0.05)
    assert found["attacked accuracy, game"] >= found["attacked accuracy, plain training"]


def games_trajectories(found):
    assert found["simultaneous"] > np.sqrt(2) > found["extra-gradient"]
    assert found["FEG"] < found["extra-gradient"]


def lbfgs_fit(found):
    for name, true in {"height": [1.0, 0.6], "place": [-0.5, 0.6], "width": [0.25, 0.5]}.items():
        np.testing.assert_allclose(found["found"][name], true, atol=0.05)
    assert found["needed"]["L-BFGS"] < 60
    assert found["needed"]["L-BFGS"] < min(found["needed"]["Adam"], found["needed"]["gradient descent"])


def learned_learning_rate(found):
    assert found["learned"] < 1.05 * found["constant"] < np.log(10)


def perturbations_bandit(found):
    assert found["linear"] > 5.14  # the mean of the arms, where every policy begins


def perturbations_controller(found):
    assert found[1] < found[0]


def perturbations_shortest_path(found):
    assert 0 <= found["regret"] < 0.05
    assert found["costs"][2:].min() > found["costs"][0] == 1  # the dear kinds of terrain are


def population_sweep(found):
    assert found["errors"].shape == (3, 4, 2)
    assert found["errors"].mean((1, 2)).argmin() > 0  # the lowest rate is too low


def resume_after_kill(found):
    assert found["same"]
    (begin, killed), (resumed, end) = found["lives"]
    assert (begin, end) == (0, 39)
    assert 0 < resumed <= killed + 1 < end


CHECKS = {
    name: check for name, check in globals().items() if (EXAMPLES / f"{name}.py").exists() and callable(check)
}
FOUND = {}


@pytest.mark.parametrize("name", CHECKS)
def test_short_form(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    FOUND[name] = importlib.import_module(name).main(short=True, out=tmp_path)
    assert 2_000 < (tmp_path / f"{name}.png").stat().st_size < 100_000
    if name == "digits_autograd":
        if "digits_functional" not in FOUND:
            FOUND["digits_functional"] = importlib.import_module("digits_functional").main(True, tmp_path)
        CHECKS[name](FOUND[name], FOUND["digits_functional"])
    else:
        CHECKS[name](FOUND[name])


def test_every_example_is_here_and_in_the_table():
    scripts = {path.stem for path in EXAMPLES.glob("[a-z]*.py")} - ELSEWHERE
    assert scripts == CHECKS.keys()
    table = (EXAMPLES / "README.md").read_text()
    assert scripts | ELSEWHERE == set(re.findall(r"\[(\w+)\]\(\1\.py\)", table))
    for picture in re.findall(r'src="(.*?)"', table):
        assert (EXAMPLES / picture).stat().st_size < 60_000
