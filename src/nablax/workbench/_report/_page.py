"""report.html: one page that holds its style and its figures, and refers to nothing outside itself."""

from __future__ import annotations

import re
from html import escape
from importlib import resources
from string import Template

from .._results import Comparison, Entry, Trial
from . import _canvas, _figures, _theme, _words
from ._snippet import snippet


def page(comparison: Comparison) -> str:
    """The page."""
    template = Template(resources.files(__package__).joinpath("_page.html").read_text(encoding="utf-8"))
    settings = comparison.settings
    return template.substitute(
        title=escape(f"{settings.problem}: {len(comparison.entries)} optimizers compared"),
        problem=escape(settings.problem),
        headline=_headline(comparison),
        facts=_facts(comparison),
        table=_table(comparison),
        notes="".join(f"<p>{escape(line)}</p>" for line in _words.notes(comparison)),
        legend=_legend(comparison),
        curves=_picture(
            comparison, _figures.curves, "Training loss, metric and size of updates at the best rates"
        ),
        sensitivity=_picture(comparison, _figures.sensitivity, "Training loss and metric by learning rate"),
        details="".join(_details(comparison, entry) for entry in comparison.ranked()),
        winner=_winner(comparison),
        command=escape(settings.command),
        environment=_pairs(settings.environment),
        started=escape(settings.started),
    )


def _headline(comparison: Comparison) -> str:
    settings = comparison.settings
    first = [entry for place, entry in comparison.places() if place == 1]
    if not first:
        return "Every run diverged."
    best = first[0].best_trial
    assert best is not None
    close = comparison.not_told_apart()
    behind = (
        f" These seeds do not tell {_words.listed([_strong(e) for e in close])} from it." if close else ""
    )
    if len(first) > 1:
        names = _words.listed([_strong(entry) for entry in first])
        value = f"{escape(settings.metric)} {_words.number(best.metric, 4)}"
        return f"{names} tie for the first place, with {value}.{behind.replace('from it', 'from them')}"
    return (
        f"{_strong(first[0])} at learning rate {_words.rate(best.rate)} ranks first, with {escape(settings.metric)} "
        f"{escape(_words.metric(first[0]))}.{behind}"
    )


def _strong(entry: Entry) -> str:
    return f"<strong>{escape(entry.label)}</strong>"


def _facts(comparison: Comparison) -> str:
    settings = comparison.settings
    rates = settings.rates
    span = _words.rate(rates[0])
    if len(rates) > 1:
        span = f"{len(rates)}, from {span} to {_words.rate(rates[-1])}"
    compiling = sum(entry.compile_seconds for entry in comparison.entries)
    running = sum(entry.run_seconds for entry in comparison.entries)
    facts = {
        "Problem": settings.summary,
        "Length of a run": re.sub(r"(?<=\d)(?=[a-z])", " ", settings.budget),
        "Learning rates": f"{span}{'' if settings.search == 'grid' else f', by {settings.search}'}",
        "Seeds": str(settings.seeds),
        "Runs": str(sum(len(t.seeds) for entry in comparison.entries for t in entry.trials)),
        "Time": f"{compiling + running:.1f} s, of which {compiling:.1f} s compiling",
        **({"File": settings.source} if settings.source else {}),
    }
    return _pairs(facts)


def _pairs(facts: dict[str, str]) -> str:
    return "".join(
        f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in facts.items()
    )


def _swatch(comparison: Comparison, entry: Entry) -> str:
    return _theme.looks(comparison)[entry.label].swatch


def _table(comparison: Comparison) -> str:
    headers = _words.headers(comparison)
    head = "".join(f'<th scope="col">{re.sub(" (?=[↑↓s]$)", "&nbsp;", escape(h))}</th>' for h in headers)
    rows = []
    for place, entry in comparison.places():
        shown = "&ndash;" if place is None else place
        name = f'<span class="place">{shown}</span>{_swatch(comparison, entry)}<span>{_breakable(entry.label)}</span>'
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in _words.cells(comparison, entry))
        kind = ' class="diverged"' if entry.diverged else ' class="first"' if place == 1 else ""
        rows.append(f'<tr{kind}><th scope="row"><div>{name}</div></th>{cells}</tr>')
    for label, reason in comparison.failed.items():
        name = f'<th scope="row"><div><span class="place">&ndash;</span><span>{_breakable(label)}</span></div></th>'
        rows.append(
            f'<tr class="failed">{name}<td colspan="{len(headers)}">not run: {escape(reason)}</td></tr>'
        )
    return f'<thead><tr><th scope="col">optimizer</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'


def _breakable(label: str) -> str:
    """With places where a line may end."""
    return re.sub(r"([:,])", r"\1<wbr>", escape(label))


def _legend(comparison: Comparison) -> str:
    items = (
        f"<li>{_swatch(comparison, entry)}<span>{_breakable(_canvas.legend_text(comparison, place))}</span></li>"
        for place, entry in enumerate(comparison.ranked())
    )
    return f'<ul class="legend">{"".join(items)}</ul>'


def _picture(comparison: Comparison, draw: _canvas.Draw, label: str) -> str:
    """The figure twice; the page's style shows the one that fits the screen."""
    pictures = {
        name: _canvas.svg(draw(comparison, style), style, label)
        for name, style in (("wide", _canvas.WIDE), ("narrow", _canvas.NARROW))
    }
    return "".join(f'<figure class="{name}">{picture}</figure>' for name, picture in pictures.items())


def _winner(comparison: Comparison) -> str:
    entry = comparison.ranked()[0]
    trial = entry.best_trial
    if trial is None:
        return ""
    return f"<p>{_strong(entry)}, in code and on the command line:</p>{_recipe(comparison, entry, trial)}"


def _recipe(comparison: Comparison, entry: Entry, trial: Trial) -> str:
    command = comparison.settings.command_for([entry.label], [trial.rate])
    return f"<pre>{escape(snippet(entry, trial.rate))}</pre><pre>{escape(command)}</pre>"


def _details(comparison: Comparison, entry: Entry) -> str:
    settings, trial = comparison.settings, entry.best_trial
    best = f"best at {_words.rate(trial.rate)}" if trial else "diverged at every rate"
    edge = f" The best rate is the {entry.at_edge} of the sweep." if entry.at_edge else ""
    rows = "".join(_rate_row(entry, index) for index in range(len(entry.trials)))
    options = ", ".join(f"{k}={v}" for k, v in entry.options.items()) or "its defaults"
    schedule = f", rate multiplied by {entry.schedule}" if entry.schedule else ""
    command = settings.command_for([entry.label], [t.rate for t in entry.trials])
    recipe = _recipe(comparison, entry, trial) if trial else f"<pre>{escape(command)}</pre>"
    return (
        f"<details><summary>{_swatch(comparison, entry)}<b>{escape(entry.label)}</b> "
        f"<span>{escape(best)}</span></summary>"
        f"<p>{escape(entry.optimizer)} with {escape(options)}{escape(schedule)}; {entry.steps} steps a run, "
        f"{1e6 * entry.step_seconds:.3g} µs a step; state of {entry.state_bytes:.4g} bytes "
        f"a parameter.{escape(edge)}</p>"
        f'{recipe}<div class="scroll"><table><thead><tr><th>learning rate</th><th>training loss</th>'
        f"<th>{escape(settings.metric)}</th><th>steps</th><th>seeds diverged</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _rate_row(entry: Entry, index: int) -> str:
    trial = entry.trials[index]
    failed = sum(trial.diverged)
    cells = (
        _words.rate(trial.rate),
        "diverged" if failed else _words.number(trial.final_loss),
        "diverged" if failed else _words.number(trial.metric, 4),
        f"{trial.steps}",
        f"{failed} of {len(trial.seeds)}",
    )
    kind = ' class="best"' if index == entry.best else ' class="diverged"' if failed else ""
    return f"<tr{kind}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
