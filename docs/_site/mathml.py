"""Equations as MathML, written when the site is built: no script, no font and no request when it is read."""

from __future__ import annotations

import html
from typing import Any

from latex2mathml.converter import convert


def _inline(self: Any, node: Any) -> None:
    self.body.append(convert(node.astext()))


def _block(self: Any, node: Any) -> None:
    """Rows are parted by empty lines; LaTeX's alignment marks make one row of what they part."""
    rows = [row for row in node.astext().split("\n\n") if row.strip()]
    self.body.append('<div class="equations">')
    for row in rows:
        if any(mark in row for mark in (r"\\", "&")) and r"\begin" not in row:
            row = rf"\begin{{aligned}}{row}\end{{aligned}}"
        self.body.append(convert(html.unescape(row), display="block"))
    self.body.append("</div>")


def _skip(self: Any, node: Any) -> None:
    from docutils.nodes import SkipNode

    raise SkipNode


def _then_skip(visit: Any) -> Any:
    def both(self: Any, node: Any) -> None:
        visit(self, node)
        _skip(self, node)

    return both


def setup(app: Any) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (_then_skip(_inline), None), (_then_skip(_block), None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
