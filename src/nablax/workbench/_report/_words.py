"""Numbers, cells, headers and notes, as the table in the terminal and the page both show them."""

from __future__ import annotations

import math

from .._results import Comparison, Entry


def number(value: float | None, digits: int = 3) -> str:
    """A number for people: `0.975`, `1.2e-05`, a dash for none."""
    if value is None or not math.isfinite(value):
        return "-"
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.{digits - 1}e}"
    return f"{value:#.{digits}g}".removesuffix(".") if abs(value) < 10**digits else f"{value:.0f}"


def rate(value: float | None) -> str:
    """A learning rate as one would type it."""
    return "-" if value is None else f"{value:g}"


def metric(entry: Entry) -> str:
    """The metric at the best rate, with the half width of its interval over seeds."""
    trial = entry.best_trial
    if trial is None:
        return "diverged"
    width = trial.metric_half_width
    return f"{number(trial.metric, 4)}{'' if width is None else f' ± {width:.2g}'}"


def cells(comparison: Comparison, entry: Entry) -> tuple[str, ...]:
    """What follows the name in an optimizer's row; under `headers`."""
    trial = entry.best_trial
    return (
        metric(entry),
        number(trial.final_loss) if trial else "-",
        rate(trial.rate) + ("*" if entry.at_edge else "") if trial else "-",
        "-" if entry.steps_to_target is None else f"{entry.steps_to_target}",
        *([f"{entry.steps}"] if _lengths_differ(comparison) else []),
        f"{entry.run_seconds:.2f}",
        f"{entry.compile_seconds:.2f}",
        f"{entry.state_bytes:.4g}",
    )


def headers(comparison: Comparison) -> tuple[str, ...]:
    """Headers of `cells`."""
    settings = comparison.settings
    return (
        f"{settings.metric} {'↑' if settings.higher_is_better else '↓'}",
        "training loss",
        "best lr",
        f"steps to {_goal(comparison)}",
        *(["steps"] if _lengths_differ(comparison) else []),
        "run, s",
        "compile, s",
        "state, B/param",
    )


def _goal(comparison: Comparison) -> str:
    if comparison.settings.target is None:
        return "target"
    name, value = comparison.settings.target
    return f"{name} {number(value)}"


def _lengths_differ(comparison: Comparison) -> bool:
    return len({entry.steps for entry in comparison.entries}) > 1


def listed(names: list[str]) -> str:
    """`a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know to read the table right."""
    settings = comparison.settings
    spread = f"mean and 95 % t-interval over {settings.seeds} seeds" if settings.seeds > 1 else "of 1 seed"
    lines = [
        f"{settings.metric}: {spread} at the best learning rate, which is the one with the lowest final training loss "
        "(last tenth of the steps). The ranking had no part in choosing it."
    ]
    close = [entry.label for entry in comparison.not_told_apart()]
    if close:
        lines.append(
            f"These seeds do not tell {listed(close)} from the first place: the 95 % t-interval of the difference, "
            "seed by seed, holds 0."
        )
    if settings.search == "halving":
        lines.append(
            "Search by halving: all rates ran for a part of the steps, the better third of them went on; only rates "
            "that ran to the end can be best."
        )
    if settings.search == "optuna":
        lines.append(
            f"Search by Optuna: {len(settings.rates)} rates between {rate(settings.rates[0])} and "
            f"{rate(settings.rates[-1])}, each suggested from what was seen before."
        )
    if _lengths_differ(comparison):
        lines.append(f"Each run took {settings.budget}: an optimizer made as many steps as it could.")
    if not comparison.target_is_given and settings.target is not None:
        lines.append("The target loss is the median of the final training losses; --target sets another.")
    if any(entry.at_edge for entry in comparison.entries):
        lines.append("* the best rate is an end of the sweep: a better one may lie outside it.")
    if comparison.not_run:
        lines.append(f"Interrupted. Not run: {', '.join(comparison.not_run)}. --resume goes on.")
    return lines
