"""The Chinese pages are in step with the English ones: the same code, outline and pictures."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ZH = ROOT / "docs" / "zh"
PAIRS = [(ROOT / "README.md", ROOT / "README.zh-CN.md")]
PAIRS += [(ROOT / "docs" / p.relative_to(ZH), p) for p in sorted(ZH.rglob("*.md"))]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$(?:\n\n((?:    [^\n]*\n)+))?", re.MULTILINE | re.DOTALL)


def code(page):
    """Languages, code without comments, and what the page says it prints."""
    blocks = FENCED.findall(page.read_text(encoding="utf-8"))
    return [(language, re.sub(r"[ \t]*#.*", "", text).strip(), shown) for language, text, shown in blocks]


def ids(pairs):
    return [page.relative_to(ROOT).as_posix() for _, page in pairs]


@pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=ids(PAIRS))
def test_code_is_the_same(english, chinese):
    assert code(chinese) == code(english)


@pytest.mark.parametrize(("english", "chinese"), PAIRS, ids=ids(PAIRS))
def test_structure_and_pictures_are_the_same(english, chinese):
    def outline(page):
        text = FENCED.sub("", page.read_text(encoding="utf-8"))
        headings = [len(m) for m in re.findall(r"^(#+) ", text, re.MULTILINE)]
        return headings, [Path(p).name for p in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)]

    assert outline(chinese) == outline(english)
    assert re.search(r"[\u4e00-\u9fff]", chinese.read_text(encoding="utf-8"))


def test_every_tutorial_is_translated():
    tutorials = {p.name for p in (ROOT / "docs" / "tutorials").glob("*.md")}
    assert tutorials == {p.name for p in (ZH / "tutorials").glob("*.md")}
    assert {"start.md", "from-pytorch.md"} <= {p.name for p in ZH.glob("*.md")}


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "tutorials").glob("*.md")), ids=lambda p: p.stem)
def test_pictures_are_there_and_small(page):
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"))
    assert pictures
    for picture in pictures:
        assert 1000 < (page.parent / picture).stat().st_size < 60_000


def test_from_pytorch_in_chinese_is_up_to_date(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    zh = importlib.import_module("scripts.from_pytorch_zh")
    assert zh.OUT.read_text(encoding="utf-8") == zh.page_zh(), "run: python -m scripts.from_pytorch_zh"
    assert len(re.findall(r"^- `", zh.page_zh(), re.MULTILINE)) > 300
