"""The ranked table in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .._results import Comparison
from . import _theme, _words


def table(comparison: Comparison, console: Console) -> None:
    """Prints the table and its notes; plain columns of text where the output is not a terminal."""
    looks = _theme.looks(comparison)
    plain = not console.is_terminal
    rows = Table(box=None if plain else box.SIMPLE_HEAD, pad_edge=not plain, header_style="bold")
    rows.add_column("#", justify="right", no_wrap=plain)
    rows.add_column("optimizer", no_wrap=plain, overflow="fold")
    for header in _words.headers(comparison):
        rows.add_column(header, justify="right", no_wrap=plain)
    for place, entry in comparison.places():
        name = Text(entry.label) if plain else Text.assemble(("● ", looks[entry.label].colour), entry.label)
        rows.add_row("-" if place is None else str(place), name, *_words.cells(comparison, entry))
    for label in comparison.failed:
        rows.add_row("-", label, "not run")
    console.print(rows)
    failed = [f"{label} does not suit this problem: {reason}" for label, reason in comparison.failed.items()]
    for line in [*_words.notes(comparison), *failed]:
        console.print(Text(line, style="dim"), soft_wrap=plain)
