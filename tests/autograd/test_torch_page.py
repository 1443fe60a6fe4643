"""The page From PyTorch is made from the tables, and is the one in docs/."""

import inspect
from pathlib import Path

from nablax.autograd._tensor._torch._rows import shown
from nablax.autograd._tensor._torch._table import METHODS
from nablax.autograd._torch._page import page


def test_the_page_is_up_to_date():
    there = (Path(__file__).parents[2] / "docs" / "from-pytorch.md").read_text()
    assert there == page(), "run: python -m nablax.autograd._torch._page > docs/from-pytorch.md"


def _oddly(a, /, b=1, *c, d, e="x", **f):
    return a


def test_signatures_are_shown_as_python_says_them():
    bare = inspect.Parameter.empty
    for fn in (*[row.fn for row in METHODS.values()], _oddly, lambda *, a: a, len, page):
        given = [p.replace(annotation=bare) for p in inspect.signature(fn).parameters.values()]
        assert shown(fn) == str(inspect.Signature(given))
