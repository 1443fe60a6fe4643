"""Drawing a recorded graph: operations, shapes, values that are known, and where segments cut."""

from __future__ import annotations

import html
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from .._path._recorded import Recorded, is_recorded
from .._path._steps import ancestors
from .._path._trace import local
from .._path._trie import State
from .._segment._node import Node


class _Item(NamedTuple):
    name: str  # %3
    label: str  # multiply
    aval: str
    args: tuple[str, ...]
    note: str  # a value, or a line


class Graph:
    """A drawing of a recorded graph. `print` shows text; notebooks show SVG where graphviz is installed.

    Made by `autograd.graph`.
    """

    def __init__(self, segments: list[tuple[str, list[_Item]]], root: str) -> None:
        self._segments = segments
        self._root = root

    def __str__(self) -> str:
        lines = []
        for title, items in self._segments:
            lines.append(f"── {title} " + "─" * max(0, 60 - len(title)))
            for item in items:
                call = f"{item.label}({', '.join(item.args)})" if item.args else item.label
                lines.append(f"  {item.name:>5} = {call:<28} {item.aval:<16} {item.note}".rstrip())
        return "\n".join([*lines, f"── result: {self._root}"])

    __repr__ = __str__

    def dot(self) -> str:
        """The graph in graphviz's language."""
        lines = [
            "digraph {",
            '  rankdir=TB; node [shape=box, style=rounded, fontname="Helvetica", fontsize=11];',
        ]
        for i, (title, items) in enumerate(self._segments):
            lines.append(
                f'  subgraph cluster_{i} {{ label="{title}"; style=dashed; fontname="Helvetica"; fontsize=10;'
            )
            for item in items:
                shown = "<br/>".join(html.escape(t) for t in (item.label, item.aval, item.note) if t)
                fill = ', style="rounded,filled", fillcolor="#dbeafe"' if not item.args else ""
                bold = ", penwidth=2" if item.name == self._root else ""
                lines.append(f'    "{item.name}" [label=<{shown}>{fill}{bold}];')
            lines.append("  }")
        for _, items in self._segments:
            lines += [f'  "{arg}" -> "{item.name}";' for item in items for arg in item.args]
        return "\n".join([*lines, "}"])

    def save(self, path: str | Path) -> Path:
        """Write a drawing; the suffix says which kind: .svg, .png, .pdf (these need graphviz), .dot or .txt.

        Raises:
          RuntimeError: graphviz's `dot` is not installed.
        """
        path = Path(path)
        if path.suffix in (".dot", ".txt"):
            path.write_text(self.dot() if path.suffix == ".dot" else str(self))
            return path
        path.write_bytes(self._render(path.suffix.lstrip(".")))
        return path

    def _render(self, kind: str) -> bytes:
        program = shutil.which("dot")
        if program is None:
            raise RuntimeError(
                "graph: drawing needs graphviz's `dot`, which is not installed; save as .txt or .dot instead."
            )
        return subprocess.run(
            [program, f"-T{kind}"], input=self.dot().encode(), capture_output=True, check=True
        ).stdout

    def _repr_svg_(self) -> str | None:
        return self._render("svg").decode() if shutil.which("dot") else None


def graph(tensor: Any) -> Graph:
    """The recorded graph of a tensor, segment by segment. Nothing is computed for it.

    >>> from nablax import autograd
    >>> x = autograd.tensor(2.0, requires_grad=True, name="x")
    >>> print(autograd.graph(x * x))
    ── recorded, not yet run ──...
         x = leaf                         float32[]        2.
        %1 = multiply(x, x)               float32[]        ...
    ── result: %1
    """
    if not isinstance(tensor, Recorded):
        raise TypeError(f"graph: a tensor is needed, got {type(tensor).__name__}.")
    return _Drawing().draw(tensor)


class _Drawing:
    def __init__(self) -> None:
        self.segments: list[tuple[str, list[_Item]]] = []
        self.names: dict[Any, str] = {}  # (id of a node or the recording, slot) and ids of leaves
        self.count = 0
        self.seen: set[int] = set()
        self.alive: list[Any] = []  # nodes whose ids are in use

    def draw(self, tensor: Any) -> Graph:
        if is_recorded(tensor):
            root = self._recording(tensor)
        elif isinstance(tensor._n, Node) and tensor._n.values is not None:
            self._node(tensor._n)
            root = self.names[id(tensor._n), tensor._n.program.roots[tensor._k]]
        else:
            item = self._leaf(tensor)
            self.segments.append(("no graph", [item]))
            root = item.name
        return Graph(self.segments, root)

    def _recording(self, tensor: Any) -> str:
        trace = local.trace
        path = trace.state.path()
        needed = ancestors(trace.state.steps(), tensor._s.slot)
        for slot, link in trace.links.items():
            if slot in needed:
                self._link(link)
        entered = [s.slot for s in trace.state.inputs()]
        sources = dict(zip(entered, zip(trace.values, trace.inputs, strict=True), strict=True))
        items = self._steps(path, needed, id(trace), sources, trace.links)
        self.segments.append(("recorded, not yet run", items))
        return self.names[id(trace), tensor._s.slot]

    def _node(self, node: Node) -> None:
        if id(node) in self.seen or node.values is None:
            return
        self.seen.add(id(node))
        self.alive.append(node)
        for link in node.links:
            self._link(link)
        program = node.program
        links = dict(zip(program.targets, node.links, strict=True))
        sources = {slot: (value, None) for slot, value in zip(program.inputs, node.values, strict=True)}
        needed = set(range(len(program.avals)))
        items = self._steps(node.state.path(), needed, id(node), sources, links)
        self.segments.append((f"segment {len(self.segments) + 1}, has run", items))

    def _link(self, link: Any) -> None:
        if isinstance(link, tuple) and isinstance(link[0], Node):
            self._node(link[0])

    def _name(self, tensor: Any = None) -> str:
        self.count += 1
        return tensor._name if tensor is not None and tensor._name else f"%{self.count - 1}"

    def _leaf(self, tensor: Any) -> _Item:
        name = self.names.get(id(tensor))
        if name is None:
            name = self.names[id(tensor)] = self._name(tensor)
            self.alive.append(tensor)
        return _Item(
            name,
            "leaf" if tensor._r else "input",
            repr(tensor._aval),
            (),
            _shown(getattr(tensor, "_v", None)),
        )

    def _steps(
        self, path: list[State], needed: set[int], scope: int, sources: dict, links: dict
    ) -> list[_Item]:
        items: list[_Item] = []
        slot = 0
        for state in path:
            for k, value in enumerate(state.outs or (state,)):
                if slot in needed:
                    item = self._row(state.step, value.aval, state.where, k, slot, scope, sources, links)
                    if item is not None:
                        items.append(item)
                slot += 1
        return items

    def _row(
        self, step: Any, aval: Any, line: str, k: int, slot: int, scope: int, sources: dict, links: dict
    ) -> _Item | None:
        if step.enters:
            link = links.get(slot)
            value, tensor = sources[slot]
            if isinstance(link, tuple):  # the result of an earlier segment: an edge, no item
                self.names[scope, slot] = self.names.get((id(link[0]), _root(link)), "freed")
                return None
            owner = link if isinstance(link, Recorded) else tensor
            if owner is not None:
                known = id(owner) in self.names
                item = self._leaf(owner)
                self.names[scope, slot] = item.name
                return None if known else item._replace(note=_shown(value))
            name = self.names[scope, slot] = self._name()
            return _Item(name, "constant", repr(aval), (), _shown(value))
        name = self.names[scope, slot] = self._name()
        label = f"{step.label}[{k}]" if k else step.label
        return _Item(name, label, repr(aval), tuple(self.names[scope, a] for a in step.reads), _short(line))


def _root(link: Any) -> int:
    return link[0].program.roots[link[1]] if isinstance(link[0], Node) else -1


def _shown(value: Any) -> str:
    if value is None or isinstance(value, jax.core.Tracer):
        return ""
    array = (
        np.asarray(value)
        if not jax.numpy.issubdtype(getattr(value, "dtype", float), jax.dtypes.extended)
        else None
    )
    if array is None:
        return ""
    return (
        np.array2string(array, precision=4)
        if array.size <= 4
        else f"mean {array.mean():.4g}, of {array.size}"
    )


def _short(line: str) -> str:
    return line.rsplit("/", 1)[-1]
