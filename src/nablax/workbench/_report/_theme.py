"""Colours, dashes and markers as the table, the figures and the page all show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._results import Comparison

# Okabe and Ito's colours, which the colour-blind can tell apart; yellow darkened and black made grey, so that each
# can be read on white and on black.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#A89A1E", "#7A7F87")

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")

Dash = tuple[float, ...]

DASHES: tuple[Dash, ...] = (
    (), (5, 2), (1, 1.6), (6, 1.6, 1, 1.6), (9, 2.5), (3, 1.4, 1, 1.4, 1, 1.4), (2.4, 2.4), (9, 2, 3, 2),
)  # fmt: skip

_SHAPES = {
    "o": "<circle r='3.4'/>",
    "s": "<rect x='-3' y='-3' width='6' height='6'/>",
    "^": "<polygon points='0,-3.8 3.8,3 -3.8,3'/>",
    "D": "<polygon points='0,-4 4,0 0,4 -4,0'/>",
    "v": "<polygon points='0,3.8 3.8,-3 -3.8,-3'/>",
    "P": "<path d='M-1.4-4h2.8v2.6h2.6v2.8h-2.6v2.6h-2.8v-2.6h-2.6v-2.8h2.6z'/>",
    "X": "<path transform='rotate(45)' d='M-1.4-4h2.8v2.6h2.6v2.8h-2.6v2.6h-2.8v-2.6h-2.6v-2.8h2.6z'/>",
    "h": "<polygon points='0,-4 3.5,-2 3.5,2 0,4 -3.5,2 -3.5,-2'/>",
}


@dataclass(frozen=True)
class Look:
    """How one optimizer is drawn, everywhere. dash: lengths on and off, in line widths; empty for a whole line."""

    colour: str
    marker: str
    dash: Dash

    @property
    def style(self) -> Any:
        """The dash as Matplotlib takes it."""
        return (0, self.dash) if self.dash else "-"

    @property
    def swatch(self) -> str:
        """A piece of its line with its marker, as an `<svg>` within HTML."""
        dash = " ".join(f"{2 * d:g}" for d in self.dash) or "none"
        return (
            f'<svg class="swatch" viewBox="0 0 40 12" aria-hidden="true" fill="{self.colour}" stroke="{self.colour}">'
            f'<path d="M0 6H40" stroke-width="2" stroke-dasharray="{dash}"/>'
            f'<g transform="translate(20 6)" stroke="none">{_SHAPES[self.marker]}</g></svg>'
        )


def looks(comparison: Comparison) -> dict[str, Look]:
    """By label, in the order of the command line; after eight, colours come again with other dashes and markers."""
    size = len(COLOURS)
    return {
        entry.label: Look(COLOURS[i % size], MARKERS[(i + i // size) % size], DASHES[(i + i // size) % size])
        for i, entry in enumerate(comparison.entries)
    }
