"""Every optimizer of the catalogue equals itself when its state is sharded, on automatic and explicit meshes."""

from pathlib import Path

import pytest

from catalogue import OPTIMIZERS
from devices import run_on


@pytest.fixture(scope="module")
def wrong():
    return run_on(8, Path(__file__).parent / "sharded_catalogue.py")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_sharded_and_replicated_are_equal(name, wrong):
    assert not wrong[name], wrong[name]
