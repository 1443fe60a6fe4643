"""A docstring as Markdown: its sections as lists, its equations set, its examples and tables as blocks of code."""

from __future__ import annotations

import re
import textwrap

from .equations import NotAnEquation, is_equation, latex
from .inline import pieces

SECTION = re.compile(
    r"^(Args|Arguments|Attributes|Returns|Yields|Raises|Examples?|Notes?|Methods|Sources?|Players):\s*$"
)
TITLES = {"Args": "Arguments", "Attributes": "Fields"}
SOURCE = re.compile(r"^(Sources?|Defaults|Returns|Raises|Example|Note): ")
SPAN = re.compile(r"(``[^`]+``|`[^`]+`)")
BULLET = re.compile(r"\s*[-*+] ")
BEGINS = (SECTION, SOURCE, BULLET, re.compile(r">>>|    "))


def markdown(text: str) -> str:
    """The whole docstring; what stands at its left margin is prose."""
    out: list[str] = []
    lines = text.expandtabs().splitlines()
    while lines:
        found = SECTION.match(lines[0])
        if found and len(lines) > 1 and (not lines[1].strip() or lines[1].startswith(" ")):
            title = found.group(1)
            del lines[0]
            body = textwrap.dedent("\n".join(_indented(lines, 1))).strip("\n")
            out += ["", f"**{TITLES.get(title, title)}**", "", _section(title, body), ""]
        elif lines[0].startswith("    ") and (not out or not out[-1].strip()):
            out += ["", _block(textwrap.dedent("\n".join(_indented(lines, 4))).strip("\n")), ""]
        elif lines[0].startswith(">>>"):
            out += ["", _fence("pycon", "\n".join(_until_blank(lines))), ""]
        else:
            first, *rest = _paragraph(lines)
            marked = SOURCE.match(first)
            if marked:
                out += ["", f"**{marked.group(1)}:** " + prose("\n".join([first[marked.end() :], *rest]))]
            else:
                out.append(prose("\n".join([first, *rest])))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out)).strip("\n")


def prose(text: str) -> str:
    """Text with its equations set, its papers as links, and everything escaped that Markdown would take for markup,
    except code and bullets."""
    bullet = BULLET.match(text)
    head = bullet.group() if bullet else ""
    parts = SPAN.split(text[len(head) :])
    for k in range(0, len(parts), 2):
        parts[k] = "".join(f"${t}$" if is_equation else _escaped(t) for t, is_equation in pieces(parts[k]))
    return head + "".join(parts)


def _escaped(text: str) -> str:
    text = re.sub(r"([\\*_$\[\]{}])", r"\\\1", text).replace("<", "&lt;")
    text = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
    return re.sub(r"doi:(10\.[^\s,;]+[^\s,;.])", _doi, text)


def _doi(match: re.Match[str]) -> str:
    plain = re.sub(r"\\(.)", r"\1", match.group(1))
    plain = plain.rstrip(")") if plain.count(")") > plain.count("(") else plain
    return f"[doi:{match.group(1)}](<https://doi.org/{plain}>)"


def _indented(lines: list[str], width: int) -> list[str]:
    """Takes the lines from the front that are indented by at least so much, and the empty ones among them."""
    taken = []
    while lines and (not lines[0].strip() or lines[0].startswith(" " * width)):
        taken.append(lines.pop(0))
    return taken


def _paragraph(lines: list[str]) -> list[str]:
    """Takes a line from the front, and those that go on with its sentences."""
    taken = [lines.pop(0)]
    while taken[0].strip() and lines and lines[0].strip() and not any(r.match(lines[0]) for r in BEGINS):
        taken.append(lines.pop(0))
    return taken


def _until_blank(lines: list[str]) -> list[str]:
    taken = []
    while lines and lines[0].strip():
        taken.append(lines.pop(0))
    return taken


def _section(title: str, body: str) -> str:
    if title in ("Returns", "Yields", "Note", "Notes", "Source", "Sources", "Example", "Examples"):
        return markdown(body)
    return "\n".join(_item(item, title == "Raises") for item in re.split(r"\n(?=\S)", body))


def _item(item: str, linked: bool) -> str:
    """`b1, b2: decays.` as a bullet; the names in bold, or as code, which becomes a link."""
    head, _, rest = item.partition("\n")
    named = re.match(r"([*\w.`]+(?:, [*\w.`]+)*)(?: \([^)]*\))?: +", head)
    rest = textwrap.dedent(rest)
    text = head[named.end() :] if named else head
    body = markdown(text + ("\n" + rest if rest else ""))
    if not named:
        return "- " + textwrap.indent(body, "  ").lstrip()
    found = [n.strip("`") for n in named.group(1).split(", ")]
    names = ", ".join(f"`{n}`" if linked else f"**{prose(n)}**" for n in found)
    return f"- {names}: " + textwrap.indent(body, "  ").lstrip()


def _block(text: str) -> str:
    if text.startswith(">>>"):
        return _fence("pycon", text)
    if is_equation(text):
        try:
            return _fence("{math}", "\n\n".join(latex(text)))
        except NotAnEquation:
            pass
    return _fence(
        "python" if re.search(r"^(def|class|@|import|for|with)\b|\w\(.*\w=\w", text) else "text", text
    )


def _fence(language: str, text: str) -> str:
    return f"```{language}\n{text}\n```"
