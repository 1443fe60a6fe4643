"""The ranked table in the terminal."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from . import _theme
from ._results import Comparison


def show(comparison: Comparison, console: Console) -> None:
    """Prints the table and its notes; plain columns of text where the output is not a terminal."""
    looks = _theme.looks(comparison)
    plain = not console.is_terminal
    table = Table(box=None if plain else box.SIMPLE_HEAD, pad_edge=not plain, header_style="bold")
    table.add_column("#", justify="right", no_wrap=plain)
    table.add_column("optimizer", no_wrap=plain)
    for header in _theme.headers(comparison):
        table.add_column(header, justify="right", no_wrap=plain)
    for place, entry in comparison.places():
        name = (
            Text.assemble(("● ", looks[entry.label].colour), entry.label) if not plain else Text(entry.label)
        )
        table.add_row("-" if place is None else str(place), name, *_theme.row(entry))
    console.print(table)
    for line in _theme.notes(comparison):
        console.print(Text(line, style="dim"), soft_wrap=plain)
