"""What the site adds to Sphinx: the reference, code spans that are links or equations, a check for missing names."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from . import mathml, names, reference
from .inline import in_code

LOG = logging.getLogger(__name__)


class Listed(SphinxRole):
    """{listed}`nablax.adam <nablax.optimizers.adam>`: a second name, in the inventory, that leads to the first."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        full, _, home = self.text.rstrip(">").partition(" <")
        short = full.rpartition(".")[2]
        anchor = nodes.literal(short, short, ids=[full])
        kind = "data" if short[0].isupper() else "function"
        self.env.get_domain("py").note_object(full, kind, full, aliased=True, location=anchor)
        link = _to(home, self.env.current_document.docname)
        link += anchor
        return [link], []


def _to(home: str, page: str) -> addnodes.pending_xref:
    return addnodes.pending_xref(
        "", reftype="obj", refdomain="py", reftarget=home, refexplicit=True, refdoc=page, refwarn=True
    )


def _expand(app: Any, page: str, source: list[str]) -> None:
    source[0] = reference.expand(source[0])


def _outdated(app: Any, env: Any, added: Any, changed: Any, removed: Any) -> list[str]:
    """The reference is read again each time: its pages say nothing of the docstrings that may have changed."""
    return [page for page in env.found_docs if page.startswith("reference/")]


def _wing(page: str) -> str:
    """The wing that a page is about: reference/games.methods, or games."""
    about = page.rpartition("/")[2]
    name = "nablax." + ("autograd" if about == "from-pytorch" else about)
    return name if name in names.WINGS else ""


def _link_types(app: Any, tree: nodes.document) -> None:
    """Of the names in signatures ours become links at once, others plain text.

    Sphinx would search all objects for each of them, which takes half of the build.
    """
    wing = _wing(app.env.current_document.docname)
    for link in list(tree.findall(addnodes.pending_xref)):
        if link.get("refdomain") == "py" and "refspecific" in link:
            home = _home(link["reftarget"].rpartition(".")[2], [wing, "nablax.core", "nablax"])
            if home:
                link["reftarget"] = home
                del link["refspecific"]
            else:
                link.replace_self(link.children)


def _read_code(app: Any, tree: nodes.document) -> None:
    """A code span that is a public name, or a call of one, becomes a link: `adamw`, `games.solve(...)`. One that is an
    equation is set as such: `1 + a^2`."""
    page = app.env.current_document.docname
    wing = _wing(page)
    spaces = [wing] if wing.startswith("nablax.autograd") else [wing, "nablax"]
    for span in list(tree.findall(nodes.literal)):
        name = re.match(r"[\w.]+(?=\(.*\)$|$)", span.astext())
        home = _home(name.group(), [s for s in spaces if s]) if name else ""
        if _within(span, (nodes.reference, nodes.title, addnodes.pending_xref)):
            continue
        if home:
            link = _to(home, page)
            span.replace_self(link)
            link += span
        elif found := in_code(span.astext()):
            span.replace_self(nodes.math(found, found))


def _within(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    while node is not None:
        if isinstance(node, kinds):
            return True
        node = node.parent
    return False


def _home(text: str, spaces: list[str]) -> str:
    """Where the name that a code span holds is described; empty if it is none."""
    first, _, rest = text.partition(".")
    tries = [(s, text) for s in spaces if "." not in text]
    if rest:
        path = text if first == "nablax" else f"nablax.{text}"
        tries.append((path.rpartition(".")[0], path.rpartition(".")[2]))
    for module, name in tries:
        if module in names.MODULES and name in (listed := names.public(module)):
            return names.HOMES.get(id(listed[name]), f"{module}.{name}")
    return ""


def _check(app: Any, env: Any) -> None:
    """Every public name has its place; a missing one is a warning, which a strict build refuses."""
    objects = env.get_domain("py").objects
    for module in names.MODULES:
        for name in names.public(module):
            if f"{module}.{name}" not in objects:
                LOG.warning("%s.%s is public and not in the reference", module, name, type="nablax")


def _is_no_empty_glob(record: Any) -> bool:
    """A chapter of the index may be empty; Sphinx has no setting for that."""
    return getattr(record, "subtype", "") != "empty_glob"


def setup(app: Any) -> dict[str, bool]:
    mathml.setup(app)
    logging.getLogger("sphinx.directives.other").logger.addFilter(_is_no_empty_glob)
    app.add_role("listed", Listed())
    app.connect("env-get-outdated", _outdated)
    app.connect("source-read", _expand)
    app.connect("doctree-read", _link_types)
    app.connect("doctree-read", _read_code)
    app.connect("env-check-consistency", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
