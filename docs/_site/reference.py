"""The reference: a block `{reference} nablax.optimizers` on a page becomes everything that the module lists.

Names stand in groups, one for each file they were written in, under what that file says about itself: its equations
and sources.
A name that is at home in another wing, or has a second name, is a row of a table.
"""

from __future__ import annotations

import enum
import functools
import inspect
import re
import textwrap
from typing import Any

from . import names
from .docstrings import markdown, prose
from .signatures import signature

COMMANDS = "```{commands}\n```"
BLOCK = re.compile(r"^```\{reference\} ([\w.]+)\n```$", re.MULTILINE)


def expand(source: str) -> str:
    """A page's text with its reference blocks written out."""
    source = source.replace(COMMANDS, commands()) if COMMANDS in source else source
    return BLOCK.sub(lambda match: module(match.group(1)), source)


@functools.cache
def module(name: str) -> str:
    """Everything that a module lists, as Markdown."""
    groups: dict[str, list[str]] = {}
    rows = []
    for short, value, home in names.entries(name):
        if home == f"{name}.{short}":
            groups.setdefault(_group(value), []).append(entry(short, value))
        else:
            rows.append((short, value, home))
    shown = [(n, at) for n, _, at in names.entries(name) if at == f"{name}.{n}" and not n.endswith("State")]
    here = " ".join(f"{{py:obj}}`{n} <{at}>`" for n, at in shown)
    out = [f"```{{py:module}} {name}\n```", *(["{.names}\n" + here] if here else [])]
    titles = {file: _title(names.head_of(file)) if file else ("Types", "") for file in groups}
    for file, parts in groups.items():
        if len(groups) > 1 and titles[file][0]:
            title, rest = titles[file]
            out.append(f"## {prose(title)}\n\n{markdown(rest)}")
        out += parts
    if rows:
        out += ["## Names of other wings"] if groups else []
        out.append(_table(name, rows))
    return "\n\n".join(out)


def commands() -> str:
    """What the command line says about itself, command by command."""
    import click

    from nablax.workbench._cli import cli

    out = []
    top = click.Context(cli, info_name="nablax", terminal_width=96)
    for name in ["", *cli.list_commands(top)]:
        command = cli.get_command(top, name) if name else cli
        context = click.Context(command, info_name=name, parent=top, terminal_width=96) if name else top
        out.append(f"## `nablax {name}`\n\n```text\n{click.unstyle(command.get_help(context))}\n```")
    return "\n\n".join(out).replace("`nablax `", "`nablax`")


def _group(value: Any) -> str:
    return names.file_of(value) if callable(value) and names.file_of(value).startswith("nablax") else ""


def _title(head: str) -> tuple[str, str]:
    """What comes before the colon or the end of a head's first sentence, and the rest."""
    first, _, rest = head.partition("\n")
    found = re.match(r"(.{3,60}?)(?:: +|\.(?: |$)|$)(.*)", first)
    if not found:
        return first.rstrip("."), rest
    after = found.group(2)
    return found.group(1).strip("`"), (after[:1].upper() + after[1:] + "\n" if after else "") + rest


def entry(short: str, value: Any) -> str:
    """One name: signature, docstring, and the methods of a class."""
    doc = inspect.getdoc(value) or ""
    if not callable(value) or not _group(value):
        about = doc if type(value).__module__.startswith("nablax") else "A type, for annotations."
        return _directive("data", short, markdown(about), 4)
    if not inspect.isclass(value):
        text = "" if doc.endswith("recorded.") and doc.startswith("torch's ") else markdown(doc)
        return _directive("function", short + signature(value), text, 4)
    kind = "exception" if issubclass(value, BaseException) else "class"
    head = short if kind == "exception" or issubclass(value, enum.Enum) else short + signature(value)
    return _directive(kind, head, "\n\n".join([markdown(doc), *_members(value)]), 5)


def _members(cls: type) -> list[str]:
    """Public members with a docstring, of the class and of what it inherits from within nablax."""
    if issubclass(cls, enum.Enum):
        return [f"- `{m.name}`: {prose(str(m.value))}" for m in cls]
    found = {}
    for base in reversed([b for b in cls.__mro__ if b.__module__.startswith("nablax")]):
        found.update({n: m for n, m in vars(base).items() if not n.startswith("_")})
    out = []
    for name, member in found.items():
        doc = inspect.getdoc(member) or ""
        plain = getattr(member, "__func__", member)
        if isinstance(member, property) and doc:
            out.append(_directive("property", name, markdown(doc), 4))
        elif inspect.isfunction(plain) and doc:
            static = isinstance(member, staticmethod)
            out.append(_directive("method", name + signature(plain, bound=not static), markdown(doc), 4))
    return out


def _directive(kind: str, head: str, body: str, ticks: int) -> str:
    fence = "`" * ticks
    return f"{fence}{{py:{kind}}} {' '.join(head.split())}\n\n{body}\n{fence}"


def summary(value: Any) -> str:
    """The first sentence of a docstring."""
    first = textwrap.shorten((inspect.getdoc(value) or "").split("\n\n")[0], 400, placeholder="")
    return prose(re.split(r"(?<=\.)\s|:$|:\s\s", first)[0]).replace("|", "\\|")


def _table(name: str, rows: list[tuple[str, Any, str]]) -> str:
    """Names with a link to their home, and an entry in the inventory each."""
    lines = ["| name | lives in | what |", "|---|---|---|"]
    for short, value, home in rows:
        wing, _, last = home.rpartition(".")
        what = "a type" if not _group(value) else summary(value)
        what = what if last == short else f"the same as `{last}`"
        lines.append(f"| {{listed}}`{name}.{short} <{home}>` | {wing.removeprefix('nablax.')} | {what} |")
    return "\n".join(lines)
