"""The page From PyTorch is made from the tables, and is the one in docs/."""

from pathlib import Path

from nablax.autograd._torch._page import page


def test_the_page_is_up_to_date():
    there = (Path(__file__).parents[2] / "docs" / "from-pytorch.md").read_text()
    assert there == page(), "run: python -m nablax.autograd._torch._page > docs/from-pytorch.md"
