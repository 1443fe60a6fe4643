"""The code on the pages runs as it stands, page by page, and prints what the page says: all of it, or lines of it."""

import contextlib
import io
import re
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

DOCS = Path(__file__).parent.parent / "docs"
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n((?:    [^\n]*\n)+))?", re.DOTALL)
FOUND = sorted(p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md") if BLOCK.search(p.read_text()))
PAGES = [page for page in FOUND if not page.startswith("zh/")]  # translated pages have the same code
ALONE = set()  # pages whose blocks do not build on each other
CACHE = (
    "compilation_cache_dir",
    "persistent_cache_min_compile_time_secs",
    "persistent_cache_min_entry_size_bytes",
)


@pytest.fixture
def own_cache(page):
    """The page about JAX's compilation cache sets it; afterwards it is the tests' again."""
    if page != "compilation-cache.md":
        yield
        return
    before = {name: getattr(jax.config, f"jax_{name}") for name in CACHE}
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(f"jax_{name}", value)
    compilation_cache.reset_cache()


@pytest.mark.parametrize("page", PAGES)
def test_blocks_run(page, tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for code, shown in BLOCK.findall((DOCS / page).read_text()):
        if page in ALONE:
            names = {"__name__": "__main__"}
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, page, "exec"), names)
        said = iter([line.strip() for line in printed.getvalue().splitlines()])
        excerpt = [line.strip() for line in shown.splitlines() if line.strip(" .")]
        # `in` reads on in an iterator: whole lines, in their order.
        assert [line for line in excerpt if line not in said] == [], (page, code, printed.getvalue())
        assert shown or not printed.getvalue(), f"{page} does not show what this prints:\n{code}"
