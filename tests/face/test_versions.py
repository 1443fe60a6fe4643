"""Versions, and the names at the top level."""

import tomllib
from pathlib import Path

import optax

import nablax
import nablax.optax
import nablax.schedules

ROOT = Path(__file__).parents[2]


def test_versions():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert nablax.__version__ == project["version"]
    assert nablax.optax.__version__ == optax.__version__ == "0.2.8"


def test_names_of_schedules_stand_at_the_top_as_in_optax():
    names = {n for n in vars(nablax.schedules) if n[0] != "_"}
    assert len(names & set(vars(optax))) > 10
    for name in names & set(vars(optax)):
        assert getattr(nablax, name) is getattr(nablax.schedules, name)
        assert name in dir(nablax)


def test_multi_transform_is_partition():
    assert nablax.multi_transform is nablax.partition is nablax.optax.multi_transform
