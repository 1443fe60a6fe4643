"""Every row of the tables of torch's names, called as torch calls it: see rows.py."""

import pytest

from autograd.rows import ROWS, broken, check, unwatch
from nablax.autograd._tensor._torch._elementwise import NOT_TORCHS
from nablax.autograd._tensor._torch._table import TABLE
from nablax.autograd._torch._functional._table import TABLE as FUNCTIONAL

RANDOM = {"gumbel_softmax"}  # in test_nn.py


@pytest.fixture(scope="module", autouse=True)
def names_as_they_were():
    yield
    unwatch()


def test_every_row_has_a_check():
    there = dict.fromkeys(id(row) for name, row in TABLE.items() if name not in NOT_TORCHS)
    named = {name for row in ROWS if not row.startswith("F.") for name in row.split()}
    assert named == set(TABLE) - NOT_TORCHS
    assert len(there) == len([row for row in ROWS if not row.startswith("F.")])  # one each
    assert {row[2:] for row in ROWS if row.startswith("F.")} == set(FUNCTIONAL) - RANDOM


@pytest.mark.parametrize("row", ROWS)
def test_row(row):
    check(row)


@pytest.mark.parametrize("row", ROWS[3::67])
def test_a_broken_row_turns_exactly_its_check_red(row):
    at = ROWS.index(row)
    others = [ROWS[(at + step) % len(ROWS)] for step in (-1, 1, 40)]
    with broken(row):
        with pytest.raises(AssertionError):
            check(row)
        for other in others:
            check(other)
    check(row)
