"""The table, the figures and the page."""

import re

import numpy as np
import pytest

import nablax
from nablax.workbench._catalogue import parse
from nablax.workbench._report import _canvas, _figures, _page, _theme, page
from nablax.workbench._report._snippet import snippet
from workbench.found import RATES, STEPS, compared, runs, settings


@pytest.fixture(scope="module")
def full():
    return compared(
        ([1.0, 0.2, 0.3], [0.1, 0.5, 0.99]),
        ([1.0, 0.1, np.nan], [0.1, 0.9, 0.9]),
        ([np.inf, [0.0, np.nan], np.nan], [0.9, 0.9, 0.9]),
        ([3.0, 0.3, 90.0], [0.1, 0.2, 0.3]),
        failed={"dpsgd": "needs <examples>"},
        metric="validation <b>& MSE",
    )


@pytest.fixture(scope="module")
def whole_page(full):
    return page(full)


def test_the_page_refers_to_nothing_outside_itself(whole_page):
    assert "://" not in whole_page
    assert not re.findall(r'(?:src|srcset|href)\s*=\s*"(?!#|data:)', whole_page)
    assert not re.findall(r"url\((?!#|&quot;#)", whole_page)
    assert "<script" not in whole_page
    assert "@import" not in whole_page


def test_the_page_says_what_it_must(full, whole_page):
    for section in ("What was run", "Ranking", "Curves", "Sensitivity", "Each optimizer", "To reproduce"):
        assert f"<h2>{section}" in whole_page
    assert whole_page.count('<svg class="figure"') == 4
    assert whole_page.count("<details") == 4
    assert 'class="diverged"' in whole_page
    assert (
        "nablax compare toy --optimizer sgd --lr 0.1 --budget 40steps --seeds 2 --target loss=0.5"
        in whole_page
    )
    assert "tx = nablax.sgd(0.1)" in whole_page
    assert "not run: needs &lt;examples&gt;" in whole_page
    assert "$" not in re.sub(r"\$\\?math.*?\$", "", whole_page)  # no placeholder is left
    assert full.settings.environment["jax"] in whole_page
    assert "state of 8 bytes a parameter" in whole_page


def test_ids_are_unique(whole_page):
    ids = re.findall(r'\sid="([^"]+)"', whole_page)
    by_name = {
        name: ids.count(name)
        for name in ids
        if not re.match(r"(figure|axes|patch|text|line2d|xtick|ytick|matplotlib|legend|Fill|PolyColl)", name)
    }
    assert not [name for name, count in by_name.items() if count > 1]


def test_the_metric_is_the_second_column_as_the_user_wrote_it(whole_page):
    heads = re.findall(r'<th scope="col">(.*?)</th>', whole_page)
    assert heads[:2] == ["optimizer", "validation &lt;b&gt;&amp; MSE&nbsp;↑"]
    assert "validation mse" not in whole_page
    assert "<b>&" not in whole_page


def test_ties_and_what_seeds_do_not_tell_apart_are_in_the_headline():
    def headline(*metrics):
        return _page._headline(compared(*[([1, 0.2 - i / 50, 0.3], m) for i, m in enumerate(metrics)]))

    tied = headline([0.9697] * 3, [0.96968] * 3, [0.5] * 3)
    assert "<strong>adam:b1=0.8</strong> and <strong>sgd</strong> tie for the first place" in tied
    assert "ranks first" not in tied
    close = headline([0.9, [0.90, 0.94], 0], [0.9, [0.92, 0.88], 0])
    assert "ranks first" in close
    assert "These seeds do not tell <strong>sgd</strong> from it." in close
    clear = headline([0.9] * 3, [0.8] * 3)
    assert "ranks first" in clear
    assert "do not tell" not in clear


@pytest.mark.parametrize(
    "label",
    [
        "adamw:weight_decay=0.1",
        "sam:rho=0.1",
        "mechanize",
        "sgd:schedule=cosine",
        "lion:schedule=warmup_cosine",
    ],
)
def test_the_snippet_makes_the_optimizer(label):
    import jax.numpy as jnp

    entry = compared(([1.0, 0.2, 0.3], [0.5] * 3)).entries[0]
    entry = type(entry)(**{**vars(entry), "label": label})
    names = {"params": {"w": jnp.ones(3)}}
    exec(snippet(entry, 0.1), names)
    ours = parse(label).build(0.1, entry.steps)
    if "schedule" not in label:
        assert names["tx"] == ours
    state, theirs = ours.init(names["params"]), names["tx"].init(names["params"])
    for _ in range(3):
        update, state = ours.update({"w": jnp.arange(3.0)}, state, names["params"])
        same, theirs = names["tx"].update({"w": jnp.arange(3.0)}, theirs, names["params"])
        np.testing.assert_array_equal(update["w"], same["w"])
    assert isinstance(names["opt"], nablax.Optimizer)


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
        and {a, b} != {"✕"}  # crosses of two optimizers may touch
    ]  # fmt: skip


def _tick_labels_out_of_view(figure, renderer):
    """Matplotlib keeps labels beyond the ends of an axis, and does not draw them."""
    out = []
    for axes in figure.axes:
        box = axes.get_window_extent(renderer)
        for axis, low, high, way in ((axes.xaxis, *box.intervalx, 0), (axes.yaxis, *box.intervaly, 1)):
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                label = tick.label1.get_window_extent(renderer)
                middle = ((label.x0 + label.x1) / 2, (label.y0 + label.y1) / 2)[way]
                out += [tick.label1] if not low - 3 <= middle <= high + 3 else []
    return out


@pytest.mark.parametrize("style", [_canvas.FILE, _canvas.NARROW])
@pytest.mark.parametrize("draw", [_figures.curves, _figures.sensitivity])
def test_figures_have_titles_units_a_legend_and_no_overlapping_text(full, draw, style):
    figure = draw(full, style)
    for axis in figure.axes:
        assert axis.get_title(loc="left")
        assert axis.get_xlabel()
        assert axis.get_ylabel()
    shown = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    legend = ["sgd, lr 0.1", "adam:b1=0.8, lr 0.1", "adagrad, lr 0.1", "lion (diverged)"]
    assert shown == (legend if style.legend else [])
    assert texts_overlap(figure) == []


def test_a_long_name_of_an_axis_is_wrapped(full):
    _, axes = _canvas.panels(_canvas.FILE, ["a"], full)
    axis = axes["a"]
    said = "the mean of all that was measured on what nobody trained with, in units of its own"
    _canvas.decorate(axis, _canvas.FILE, "title", "step", said)
    lines = axis.get_ylabel().split("\n")
    assert max(map(len, lines)) <= 34
    assert " ".join(lines) == said


def test_curves_are_against_steps_and_seconds_and_have_the_raw_ones_faint(full):
    steps, seconds, metric, ratio = _figures.curves(full).axes
    assert seconds.get_xlabel() == "seconds of one run"
    assert metric.get_ylabel() == "validation <b>& MSE"
    assert "norm of update" in ratio.get_ylabel()
    strong = [line for line in steps.lines if line.get_alpha() is None]
    faint = [line for line in steps.lines if line.get_alpha() is not None]
    assert len(strong) == len(faint) == 3
    by_second = next(line for line in seconds.lines if line.get_alpha() is None)
    np.testing.assert_allclose(by_second.get_xdata()[-1], STEPS * full.ranked()[0].step_seconds)
    np.testing.assert_array_equal(by_second.get_ydata(), strong[0].get_ydata())


def test_sensitivity_shows_diverged_rates_apart_and_the_metric_beside_the_loss(full):
    loss, metric = _figures.sensitivity(full).axes
    assert loss.get_xscale() == "log"
    assert loss.get_yscale() == "log"
    assert metric.get_ylabel() == "validation <b>& MSE"
    crosses = {}
    for text in loss.texts:
        if text.get_text() == "✕":
            crosses.setdefault(text.get_color(), []).append(text.xy[0])
    looks = _theme.looks(full)
    assert crosses == {
        looks["sgd"].colour: [1.0],
        looks["lion"].colour: RATES,
        looks["adagrad"].colour: [1.0],
    }


def test_one_outlier_never_flattens_the_rest():
    found = [([1.0, 0.5 + 0.01 * i, 0.7], [0.8, 0.9, 0.85]) for i in range(3)]
    outlier = ([1.0, 0.6, 39.0], [0.8, 0.9, -1e4])  # an R2, far below
    loss, metric = _figures.sensitivity(compared(*found, outlier)).axes
    assert loss.get_ylim()[1] < 3
    assert metric.get_ylim()[0] > 0.5
    arrows = [line for line in metric.lines if line.get_marker() == "v"]
    assert [line.get_xdata()[0] for line in arrows] == [1.0]
    assert arrows[0].get_ydata()[0] >= metric.get_ylim()[0]  # it points there, from within


def test_a_stopped_rate_is_hollow():
    from nablax.workbench._results import summarise

    made = runs("sgd", [0.3, 0.2, 0.4], [0.5] * 3, stopped=[0.01, 1.0])
    loss, _ = _figures.sensitivity(summarise(settings(optimizers=["sgd"]), [made])).axes
    hollow = [line.get_xdata()[0] for line in loss.lines if line.get_markerfacecolor() == "none"]
    assert hollow == [0.01, 1.0]


def test_looks_differ_in_colour_dash_and_marker_and_are_the_same_everywhere(full, whole_page):
    for table in (_theme.COLOURS, _theme.DASHES, _theme.MARKERS):
        assert len(set(table)) == 8
    many = compared(*[([1.0, 0.2, 0.3], [0.5] * 3)] * 4)
    many = type(many)(**{**vars(many), "entries": [
        type(e)(**{**vars(e), "label": str(i)}) for i, e in enumerate(many.entries * 10)
    ]})  # fmt: skip
    assert len(set(_theme.looks(many).values())) == 40
    for look in _theme.looks(full).values():
        assert whole_page.lower().count(look.colour.lower()) >= 4  # swatches and figures
