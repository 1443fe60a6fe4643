"""The code on the pages runs as it stands, page by page, and prints what the page says."""

import contextlib
import io
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(p.name for p in DOCS.glob("*.md"))
ALONE = set()  # pages whose blocks do not build on each other
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n((?:    [^\n]*\n)+))?", re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for code, shown in BLOCK.findall((DOCS / page).read_text()):
        if page in ALONE:
            names = {"__name__": "__main__"}
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, page, "exec"), names)
        for line in shown.splitlines():
            assert line.strip() in printed.getvalue(), (page, code)
