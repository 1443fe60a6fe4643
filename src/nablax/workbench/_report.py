"""report.html: one page that holds its style and its images, and refers to nothing outside itself."""

from __future__ import annotations

import shlex
from html import escape
from importlib import resources
from string import Template

from . import _figures, _theme
from ._results import Comparison, Entry


def html(comparison: Comparison) -> str:
    """The page."""
    template = Template(resources.files(__package__).joinpath("_report.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(f"{comparison.problem}: {len(comparison.entries)} optimizers compared"),
        problem=escape(comparison.problem),
        headline=_headline(comparison),
        facts=_facts(comparison),
        table=_table(comparison),
        notes="".join(f"<p>{escape(line)}</p>" for line in _theme.notes(comparison)),
        curves=_picture(comparison, _figures.curves, "Training loss and held-out metric against steps"),
        sensitivity=_picture(comparison, _figures.sensitivity, "Final training loss against learning rate"),
        details="".join(_details(comparison, entry) for entry in comparison.ranked()),
        command=escape(comparison.command),
        environment=_pairs(comparison.environment),
        started=escape(comparison.started),
    )


def _headline(comparison: Comparison) -> str:
    winner = comparison.ranked()[0]
    trial = winner.best_trial
    if trial is None:
        return "Every run diverged."
    first = [entry for place, entry in comparison.places() if place == 1]
    if len(first) > 1:
        names = [f"<strong>{escape(entry.label)}</strong>" for entry in first]
        return (
            f"{', '.join(names[:-1])} and {names[-1]} tie for the first place, with {escape(comparison.metric)} "
            f"{escape(_theme.number(trial.metric, 4))}."
        )
    return (
        f"<strong>{escape(winner.label)}</strong> at learning rate {_theme.rate(trial.rate)} ranks first, with "
        f"{escape(comparison.metric)} {escape(_theme.metric(winner))}."
    )


def _facts(comparison: Comparison) -> str:
    rates = comparison.rates
    span = _theme.rate(rates[0])
    if len(rates) > 1:
        span = f"{len(rates)}, from {span} to {_theme.rate(rates[-1])}"
    seconds = sum(entry.run_seconds + entry.compile_seconds for entry in comparison.entries)
    facts = {
        "Problem": comparison.summary,
        "Steps": str(comparison.steps),
        "Learning rates": span,
        "Seeds": str(comparison.seeds),
        "Runs": str(len(rates) * comparison.seeds * len(comparison.entries)),
        "Time": f"{seconds:.1f} s, of which {sum(e.compile_seconds for e in comparison.entries):.1f} s compiling",
        **({"File": comparison.source} if comparison.source else {}),
    }
    return _pairs(facts)


def _pairs(facts: dict[str, str]) -> str:
    return "".join(
        f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in facts.items()
    )


def _swatch(comparison: Comparison, entry: Entry) -> str:
    return f'<span class="swatch" style="background:{_theme.looks(comparison)[entry.label].colour}"></span>'


def _table(comparison: Comparison) -> str:
    names = ("#", "optimizer", *_theme.headers(comparison))
    head = "".join(
        f"<th>{escape(name).replace(' ↑', '&nbsp;↑').replace(' ↓', '&nbsp;↓')}</th>" for name in names
    )
    rows = []
    for place, entry in comparison.places():
        name = f'<th scope="row">{_swatch(comparison, entry)}{escape(entry.label)}</th>'
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in _theme.row(entry))
        kind = ' class="diverged"' if entry.diverged else ""
        rows.append(f"<tr{kind}><td>{'-' if place is None else place}</td>{name}{cells}</tr>")
    return f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"


def _picture(comparison: Comparison, draw: _figures.Draw, label: str) -> str:
    """The figure twice; the page's style shows the one that fits the screen."""
    wide = _figures.svg(draw, comparison, _figures.WIDE, label)
    narrow = _figures.svg(draw, comparison, _figures.NARROW, label)
    return f'<figure class="wide">{wide}</figure><figure class="narrow">{narrow}</figure>'


def reproduce(comparison: Comparison, entry: Entry) -> str:
    """The command that runs this optimizer again, at its best rate if it has one."""
    trial = entry.best_trial
    rates = comparison.rates if trial is None else [trial.rate]
    return shlex.join(
        ["nablax", "compare", comparison.source or comparison.problem, "--optimizer", entry.label,
         "--lr", ",".join(repr(r) for r in rates), "--steps", str(comparison.steps), "--seeds", str(comparison.seeds)]
    )  # fmt: skip


def _details(comparison: Comparison, entry: Entry) -> str:
    trial = entry.best_trial
    best = f"best at {_theme.rate(trial.rate)}" if trial else "diverged at every rate"
    edge = f" The best rate is the {entry.at_edge} of the sweep." if entry.at_edge else ""
    rows = "".join(_rate_row(comparison, entry, index) for index in range(len(entry.trials)))
    options = ", ".join(f"{k}={v}" for k, v in entry.options.items()) or "its defaults"
    schedule = f", rate multiplied by {entry.schedule}" if entry.schedule else ""
    return (
        f"<details><summary>{_swatch(comparison, entry)}<b>{escape(entry.label)}</b> "
        f"<span>{escape(best)}</span></summary>"
        f"<p>{escape(entry.optimizer)} with {escape(options)}{escape(schedule)}.{escape(edge)}</p>"
        f"<pre>{escape(reproduce(comparison, entry))}</pre>"
        f'<div class="scroll"><table><thead><tr><th>learning rate</th><th>training loss</th>'
        f"<th>{escape(comparison.metric)}</th><th>seeds diverged</th></tr></thead><tbody>{rows}</tbody></table></div>"
        "</details>"
    )


def _rate_row(comparison: Comparison, entry: Entry, index: int) -> str:
    trial = entry.trials[index]
    failed = sum(trial.diverged)
    cells = (
        _theme.rate(trial.rate),
        "diverged" if failed else _theme.number(trial.final_loss),
        "diverged" if failed else _theme.number(trial.metric, 4),
        f"{failed} of {comparison.seeds}",
    )
    kind = ' class="best"' if index == entry.best else ' class="diverged"' if failed else ""
    return f"<tr{kind}>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
