"""The README's code runs as it stands; its commands exist, and so do the files that it links to."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Pages that people read where no generator checks their links.
READ_AS_THEY_ARE = [
    "README.md",
    "README.zh-CN.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "examples/README.md",
]
READ_AS_THEY_ARE += [path.relative_to(ROOT).as_posix() for path in (ROOT / "src").rglob("README.md")]
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMANDS = [
    pytest.param(line, id=f"{path.relative_to(ROOT).as_posix()}: {line.partition('#')[0].strip()}")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for block in SHELL.findall(path.read_text(encoding="utf-8"))
    for line in block.splitlines()
    if line.startswith("nablax ")
]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_python_blocks_run(block):
    exec(compile(block, "README.md", "exec"), {})


def test_make_targets_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert named
    assert named <= targets


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_and_their_options_exist(line):
    click = pytest.importorskip("click")
    from nablax.workbench._cli import cli

    name, *arguments = shlex.split(line, comments=True)[1:]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, f"there is no command {name}"
    command.make_context(name, arguments)  # parses, and raises where an option or its value is unknown


@pytest.mark.parametrize("page", READ_AS_THEY_ARE)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text)
    inside = [link.partition("#")[0] for link in links if "://" not in link and not link.startswith("#")]
    assert [link for link in inside if not ((ROOT / page).parent / link).exists()] == []
