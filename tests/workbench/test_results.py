"""Summaries: the best rate, divergence, the ranking, intervals, ties, and the folder that holds them."""

import json

import numpy as np
import pytest

from nablax.core import ArgumentError
from nablax.workbench._report import _words
from nablax.workbench._results import Comparison, Folder, missing, summarise
from nablax.workbench._results._interval import half_width, told_apart
from workbench.found import RATES, STEPS, compared, runs, settings


@pytest.fixture(scope="module")
def full():
    return compared(
        # The middle rate trains best, though the last is better held out.
        ([1.0, 0.2, 0.3], [0.1, 0.5, 0.99]),
        ([1.0, 0.1, np.nan], [0.1, 0.9, 0.9]),
        ([np.inf, [0.0, np.nan], np.nan], [0.9, 0.9, 0.9]),  # some seed fails at every rate
        ([3.0, 0.3, 90.0], [0.1, 0.2, 0.3]),  # explodes at the last rate, without a NaN
    )


def test_the_best_rate_is_chosen_by_training_loss_not_by_the_metric(full):
    adam = full.entries[0]
    assert RATES[adam.best] == 0.1
    assert adam.best_trial.metric == pytest.approx(0.5)


def test_diverged_runs_are_named_and_never_ranked(full):
    sgd, lion, adagrad = full.entries[1:]
    assert [t.diverged for t in sgd.trials] == [[False, False], [False, False], [True, True]]
    assert sgd.best == 1
    assert lion.diverged
    assert lion.trials[1].diverged == [False, True]
    assert adagrad.trials[2].diverged == [True, True]
    assert adagrad.best == 1
    assert [e.label for e in full.ranked()] == ["sgd", "adam:b1=0.8", "adagrad", "lion"]
    assert _words.cells(full, lion)[0] == "diverged"


def test_a_metric_that_is_not_finite_counts_as_diverged():
    entry = compared(([1.0, 0.2, 0.3], [0.5, np.nan, 0.5])).entries[0]
    assert RATES[entry.best] == 1.0


def test_a_rate_that_was_stopped_is_never_the_best():
    made = runs(
        "sgd", [-4.4, 0.2, 0.3], [0.9, 0.8, 0.7], stopped=[0.01]
    )  # stopped with the lowest loss of all
    found = summarise(settings(optimizers=["sgd"], search="halving"), [made]).entries[0]
    assert (found.trials[0].steps, found.trials[1].steps) == (STEPS // 2, STEPS)
    assert not any(found.trials[0].diverged)
    line = 4 - 8.4 * np.linspace(0, 1, STEPS)
    assert found.trials[0].final_loss == pytest.approx(line[18:20].mean(), rel=1e-4)
    assert found.trials[0].final_loss < found.trials[1].final_loss
    assert RATES[found.best] == 0.1


def test_a_lower_metric_may_be_better():
    found = [([1.0, 0.2, 0.3], [0.5] * 3), ([1.0, 0.2, 0.3], [0.4] * 3)]
    assert [e.label for e in compared(*found).ranked()] == ["adam:b1=0.8", "sgd"]
    assert [e.label for e in compared(*found, higher_is_better=False).ranked()] == ["sgd", "adam:b1=0.8"]


def test_without_a_metric_the_final_loss_ranks():
    entry = compared(([1.0, 0.2, 0.3], None), higher_is_better=False).entries[0]
    assert entry.best_trial.metric == entry.best_trial.final_loss
    assert entry.curves.metrics is None


def test_final_loss_is_the_mean_over_the_last_tenth():
    trial = compared(([1.0, 0.2, 0.3], [0] * 3)).entries[0].trials[1]
    line = 4 + (0.2 - 4) * np.linspace(0, 1, STEPS)
    assert trial.final_losses[0] == pytest.approx(line[-4:].mean(), rel=1e-5)


def test_steps_to_target(full):
    line = 4 + (0.2 - 4) * np.linspace(0, 1, STEPS)
    assert full.entries[0].steps_to_target == np.flatnonzero(line <= 0.5)[0] + 1
    assert full.entries[2].steps_to_target is None
    hard = compared(([1.0, 0.2, 0.3], [0] * 3), target=("loss", 0.01))
    assert hard.entries[0].steps_to_target is None
    median = compared(*[([1, e, 2], [0] * 3) for e in (0.2, 0.4, 0.9)], target=None)
    assert median.settings.target[1] == pytest.approx(median.entries[1].best_trial.final_loss)
    assert not median.target_is_given


def test_a_target_may_be_a_metric():
    made = runs("sgd", [1.0, 0.2, 0.3], [0.1, 0.5, 0.9])
    made.metrics[:] *= np.array([0.2, 0.5, 0.8, 1.0])  # 0.1, 0.25, 0.4, 0.5 at the best rate
    for higher, value, steps in ((True, 0.3, 30), (True, 0.6, None), (False, 0.3, 10)):
        found = summarise(
            settings(target=("accuracy", value), higher_is_better=higher, optimizers=["sgd"]), [made]
        )
        assert found.entries[0].steps_to_target == steps
        assert _words.headers(found)[3] == f"steps to accuracy {value:.3f}"


def test_a_best_rate_at_the_end_of_the_sweep_is_marked():
    found = compared(([3.0, 2.0, 1.0], [0] * 3))
    assert found.entries[0].at_edge == "highest"
    assert _words.cells(found, found.entries[0])[2] == "1*"


def test_the_interval_is_students():
    scipy = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    for count in (2, 3, 10):
        values = rng.normal(size=count)
        low, high = scipy.t.interval(0.95, count - 1, loc=values.mean(), scale=scipy.sem(values))
        assert half_width(values) == pytest.approx((high - low) / 2)
    covered = [abs(np.mean(v)) < half_width(v) for v in rng.normal(size=(2000, 4))]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.015)  # three deviations of the mean of 2000
    assert half_width([1.0]) is None
    assert (
        told_apart([1.0, 2.0, 3.0], [0.9, 1.9, 2.9]) is True
    )  # always by the same, whatever the seeds' spread
    assert told_apart([1.0, 2.0, 3.0], [2.0, 1.0, 3.0]) is False
    assert told_apart([1.0], [2.0]) is None


def test_a_tie_is_called_a_tie():
    tied = compared(
        ([1.0, 0.2, 0.3], [0.9697] * 3), ([1.0, 0.1, 0.3], [0.96968] * 3), ([1.0, 0.3, 0.4], [0.5] * 3)
    )
    assert [place for place, _ in tied.places()] == [1, 1, 3]
    clear = compared(([1.0, 0.2, 0.3], [0.9] * 3), ([1.0, 0.1, 0.3], [0.8] * 3))
    assert [place for place, _ in clear.places()] == [1, 2]
    assert clear.not_told_apart() == []


def test_what_the_seeds_do_not_tell_apart_is_named():
    found = compared(
        ([1.0, 0.2, 0.3], [0.9, [0.90, 0.94], 0.9]),
        ([1.0, 0.2, 0.3], [0.9, [0.92, 0.88], 0.9]),
        ([1.0, 0.2, 0.3], [0.9, [0.50, 0.54], 0.9]),
    )
    assert [place for place, _ in found.places()] == [1, 2, 3]
    assert [e.label for e in found.not_told_apart()] == ["sgd"]  # lion is below by the same for each seed
    assert any("do not tell sgd from the first place" in line for line in _words.notes(found))


def test_json_is_strict_and_comes_back(full):
    json.loads(full.to_json(), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert Comparison.from_json(full.to_json()) == full


def test_what_is_missing_comes_as_products():
    have = runs("sgd", [1, 1, 1], None)
    assert missing(have, RATES, 2) == []
    assert missing(have, [0.01, 0.5], 3) == [([0.5], [0, 1, 2]), ([0.01], [2])]


def test_a_folder_gives_back_what_it_was_given(tmp_path, full):
    folder = Folder(tmp_path / "new")
    assert not folder.is_taken
    with pytest.raises(ArgumentError, match=r"holds no comparison: there is no comparison\.json"):
        folder.settings()
    folder.make()
    folder.write_settings(settings())
    assert folder.settings() == settings()
    assert not folder.is_taken  # nothing has finished
    made = [runs(label, [1.0, 0.2, 0.3], [0.5] * 3) for label in ("adam:b1=0.8", "adam:b1=0.9", "a" * 300)]
    for each in made:
        folder.write_runs(each)
    assert set(folder.runs()) == {each.label for each in made}
    assert folder.is_taken
    next((tmp_path / "new" / "runs").glob("*.npz")).write_bytes(b"half")
    with pytest.raises(ArgumentError, match=r"runs/.*\.npz: cannot be read .* delete it"):
        folder.runs()


def test_settings_say_in_words_what_differs():
    assert settings().differs(settings(optimizers=["x"], rates=[3.0], seeds=9)) == ""
    other = settings(budget="2s", fingerprint="abc")
    words = settings().differs(other)
    assert "the length of a run ('40steps' there, '2s' here)" in words
    assert "the text of the problem's file" in words
