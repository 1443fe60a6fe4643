"""Summaries: the best rate, divergence, the ranking, and the figures and the page made from them."""

import json
import re

import numpy as np
import pytest

from nablax.workbench import _figures, _report, _theme
from nablax.workbench._optimizers import parse
from nablax.workbench._problems import Problem
from nablax.workbench._results import Comparison, compare
from nablax.workbench._runner import Sweep

RATES = [0.01, 0.1, 1.0]
STEPS = 40


def problem(**changes):
    fields = {"metric": "accuracy", "higher_is_better": True, "target": 0.5}
    return Problem("toy", "A toy", init=None, loss=None, batches=None, **{**fields, **changes})


def swept(finals, metrics, first=4.0):
    """Three rates, two seeds: losses that fall in a straight line to `finals`, one for each rate or run."""
    ends = np.stack([np.broadcast_to(np.float32(final), 2) for final in finals])
    line = np.linspace(0, 1, STEPS, dtype=np.float32)
    losses = np.where(np.isfinite(ends), ends - first, 0)[..., None] * line + first
    losses[~np.isfinite(ends), -1] = ends[~np.isfinite(ends)]
    losses[..., 0] = first
    held = np.broadcast_to(np.asarray(metrics, np.float32).reshape(3, -1, 1), (3, 2, 4))
    return Sweep(losses, held, [10, 20, 30, 40], 1.0, 2.0, 8.0)


def compared(sweeps, target=None, **changes):
    specs = [parse(text) for text in ("adam:b1=0.8", "sgd", "lion", "adagrad")[: len(sweeps)]]
    return compare(
        problem(**changes), list(zip(specs, sweeps, strict=True)), RATES, target,
        seeds=2, not_run=[], environment={"jax": "1"}, started="now", command="nablax compare toy",
    )  # fmt: skip


@pytest.fixture(scope="module")
def full():
    return compared(
        [
            # The middle rate trains best, though the last is better held out.
            swept([1.0, 0.2, 0.3], [0.1, 0.5, 0.99]),
            swept([1.0, 0.1, np.nan], [0.1, 0.9, 0.9]),
            swept([np.inf, [0.0, np.nan], np.nan], [0.9, 0.9, 0.9]),  # some seed fails at every rate
            swept([3.0, 0.3, 90.0], [0.1, 0.2, 0.3]),  # explodes at the last rate, without a NaN
        ]
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
    assert _theme.row(lion)[0] == "diverged"


def test_a_metric_that_is_not_finite_counts_as_diverged():
    entry = compared([swept([1.0, 0.2, 0.3], [0.5, np.nan, 0.5])]).entries[0]
    assert RATES[entry.best] == 1.0


def test_a_lower_metric_may_be_better():
    sweeps = [swept([1.0, 0.2, 0.3], [0.5] * 3), swept([1.0, 0.2, 0.3], [0.4] * 3)]
    assert [e.label for e in compared(sweeps).ranked()] == ["adam:b1=0.8", "sgd"]
    assert [e.label for e in compared(sweeps, higher_is_better=False).ranked()] == ["sgd", "adam:b1=0.8"]


def test_without_a_metric_the_final_loss_ranks():
    sweep = swept([1.0, 0.2, 0.3], [0] * 3)
    entry = compared([Sweep(sweep.losses, None, [], 1.0, 1.0, 0.0)], higher_is_better=False).entries[0]
    assert entry.best_trial.metric == entry.best_trial.final_loss
    assert entry.best_trial.metric_curves is None


def test_final_loss_is_the_mean_over_the_last_tenth():
    trial = compared([swept([1.0, 0.2, 0.3], [0] * 3)]).entries[0].trials[1]
    line = 4 + (0.2 - 4) * np.linspace(0, 1, STEPS)
    assert trial.final_losses[0] == pytest.approx(line[-4:].mean(), rel=1e-5)


def test_steps_to_target(full):
    line = 4 + (0.2 - 4) * np.linspace(0, 1, STEPS)
    assert full.entries[0].steps_to_target == np.flatnonzero(line <= 0.5)[0] + 1
    assert full.entries[2].steps_to_target is None
    hard = compared([swept([1.0, 0.2, 0.3], [0] * 3)], target=0.01)
    assert hard.entries[0].steps_to_target is None
    median = compared([swept([1, e, 2], [0] * 3) for e in (0.2, 0.4, 0.9)], target=None)
    assert median.target == 0.5  # the problem's own
    median = compare(
        problem(target=None), [(parse("sgd"), swept([1, e, 2], [0] * 3)) for e in (0.2, 0.4, 0.9)], RATES, None,
        seeds=2, not_run=[], environment={}, started="", command="",
    )  # fmt: skip
    assert median.target == pytest.approx(median.entries[1].best_trial.final_loss)
    assert not median.target_is_given


def test_a_best_rate_at_the_end_of_the_sweep_is_marked():
    entry = compared([swept([3.0, 2.0, 1.0], [0] * 3)]).entries[0]
    assert entry.at_edge == "highest"
    assert _theme.row(entry)[2] == "1*"


def test_json_is_strict_and_comes_back(full, tmp_path):
    full.save(tmp_path / "results.json")
    json.loads(
        (tmp_path / "results.json").read_text(), parse_constant=lambda name: pytest.fail(f"{name} in JSON")
    )
    assert Comparison.load(tmp_path / "results.json") == full


def test_the_page_refers_to_nothing_outside_itself(full):
    page = _report.html(full)
    assert "://" not in page
    assert not re.findall(r'(?:src|srcset|href)\s*=\s*"(?!#|data:)', page)
    assert not re.findall(r"url\((?!#|&quot;#)", page)
    assert "<script" not in page
    assert "@import" not in page


def test_the_page_says_what_it_must(full):
    page = _report.html(full)
    for section in ("What was run", "Ranking", "Curves", "Sensitivity", "Each optimizer", "To reproduce"):
        assert f"<h2>{section}" in page
    assert page.count("<svg") == 4
    assert page.count("<details") == 4
    assert 'class="diverged"' in page
    assert "nablax compare toy --optimizer adam:b1=0.8 --lr 0.1 --steps 40 --seeds 2" in page
    assert "$" not in re.sub(r"\$\\?math.*?\$", "", page)  # no placeholder is left
    assert full.environment["jax"] in page


def test_names_are_escaped():
    entry = compared([swept([1.0, 0.2, 0.3], [0] * 3)], metric="<b>&")
    page = _report.html(entry)
    assert "<b>&<" not in page
    assert "&lt;b&gt;&amp;" in page


def texts_overlap(figure):
    """Pairs of texts of a figure whose boxes overlap."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    in_view = [t for t in texts if t not in _tick_labels_out_of_view(figure, renderer)]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in in_view]
    return [
        (a, b)
        for i, (a, box) in enumerate(boxes)
        for b, other in boxes[i + 1 :]
        if box.x0 < other.x1 and other.x0 < box.x1 and box.y0 < other.y1 and other.y0 < box.y1
    ]


def _tick_labels_out_of_view(figure, renderer):
    """Matplotlib keeps labels beyond the ends of an axis, and does not draw them."""
    out = []
    for axes in figure.axes:
        frame = axes.get_window_extent(renderer)
        for axis, low, high, way in ((axes.xaxis, *frame.intervalx, 0), (axes.yaxis, *frame.intervaly, 1)):
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                box = tick.label1.get_window_extent(renderer)
                middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)[way]
                out += [tick.label1] if not low - 3 <= middle <= high + 3 else []
    return out


@pytest.mark.parametrize("style", [_figures.WIDE, _figures.NARROW])
@pytest.mark.parametrize("draw", [_figures.curves, _figures.sensitivity])
def test_figures_have_titles_units_a_legend_and_no_overlapping_text(full, draw, style):
    figure = draw(full, style)
    assert all(axis.get_title(loc="left") for axis in figure.axes[:1])
    assert figure.axes[-1].get_xlabel()
    assert figure.axes[-1].get_ylabel()
    shown = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert shown == ["sgd, lr 0.1", "adam:b1=0.8, lr 0.1", "adagrad, lr 0.1", "lion (diverged)"]
    assert texts_overlap(figure) == []


def test_sensitivity_is_logarithmic_and_shows_diverged_rates_apart(full):
    strip, axis = _figures.sensitivity(full).axes
    assert axis.get_xscale() == "log"
    assert axis.get_yscale() == "log"
    crosses = {line.get_color(): list(line.get_xdata()) for line in strip.lines}
    looks = _theme.looks(full)
    assert crosses == {
        looks["sgd"].colour: [1.0],
        looks["lion"].colour: RATES,
        looks["adagrad"].colour: [1.0],
    }


def test_colours_are_distinct_for_eight_and_the_same_everywhere(full):
    assert len(set(_theme.COLOURS)) == 8
    page = _report.html(full)
    for look in _theme.looks(full).values():
        assert page.lower().count(look.colour.lower()) >= 4  # swatches and both figures


def test_a_tie_is_called_a_tie():
    tied = compared(
        [
            swept([1.0, 0.2, 0.3], [0.9697] * 3),
            swept([1.0, 0.1, 0.3], [0.96968] * 3),
            swept([1.0, 0.3, 0.4], [0.5] * 3),
        ]
    )
    assert [place for place, _ in tied.places()] == [1, 1, 3]
    page = _report.html(tied)
    assert "tie for the first place" in page
    assert "ranks first" not in page
    clear = compared([swept([1.0, 0.2, 0.3], [0.9] * 3), swept([1.0, 0.1, 0.3], [0.8] * 3)])
    assert [place for place, _ in clear.places()] == [1, 2]
    assert "ranks first" in _report.html(clear)
