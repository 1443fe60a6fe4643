"""Equations as MathML, written when the site is built: no script, no font and no request when it is read."""

from __future__ import annotations

from typing import Any

from docutils.nodes import SkipNode
from latex2mathml.converter import convert


def _inline(self: Any, node: Any) -> None:
    self.body.append(convert(node.astext()))
    raise SkipNode


def _block(self: Any, node: Any) -> None:
    """Rows are parted by empty lines; LaTeX's own marks for rows and columns ask for `aligned`."""
    rows = [row for row in node.astext().split("\n\n") if row.strip()]
    self.body.append('<div class="equations">')
    for row in rows:
        if any(mark in row for mark in (r"\\", "&")) and r"\begin" not in row:
            row = rf"\begin{{aligned}}{row}\end{{aligned}}"
        self.body.append(convert(row, display="block"))
    self.body.append("</div>")
    raise SkipNode


def setup(app: Any) -> None:
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
