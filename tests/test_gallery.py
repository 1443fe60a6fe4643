"""The gallery shows every optimizer and schedule, and its text is what the code says."""

import importlib
import inspect
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

import nablax.schedules
from catalogue import OPTIMIZERS

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "figures" / "gallery"


@pytest.fixture
def gallery(monkeypatch):
    """A file of scripts/gallery, by name."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"scripts.gallery.{name}")


def test_every_optimizer_and_schedule_is_shown(gallery):
    entries = gallery("entries")
    assert {entry.name for entry in entries.ENTRIES} == {*OPTIMIZERS, "lbfgs"}
    schedules = {n for n, f in vars(nablax.schedules).items() if inspect.isfunction(f)}
    assert set(entries.SCHEDULES) == schedules


def test_the_pages_are_up_to_date(gallery):
    pages, results = gallery("pages"), json.loads((ROOT / "scripts" / "gallery" / "results.json").read_text())
    for name, text in [("optimizers", pages.optimizers(results)), ("schedules", pages.schedules())]:
        there = (ROOT / "docs" / "gallery" / f"{name}.md").read_text(encoding="utf-8")
        assert there == text, "run: python -m scripts.gallery --text"


def test_pictures_are_there_and_small():
    named = set()
    for page in (ROOT / "docs" / "gallery").glob("*.md"):
        named |= set(re.findall(r"\(\.\./figures/gallery/(\w+\.svg)\)", page.read_text(encoding="utf-8")))
    assert named == {path.name for path in FIGURES.iterdir()}
    assert sum(path.stat().st_size for path in FIGURES.iterdir()) < 600_000


def test_state_bytes_are_those_of_real_states(gallery):
    entries = {entry.name: entry for entry in gallery("entries").ENTRIES}
    layer = {"w": jnp.zeros((1024, 1024)), "b": jnp.zeros(1024)}
    for name in ("adamw", "adafactor", "sm3"):
        leaves = jax.tree.leaves(entries[name].make(1e-3).init(layer))
        assert gallery("runs").state_bytes(entries[name]) == sum(x.nbytes for x in leaves) / (1024 * 1025)


def test_a_path_in_the_valley(gallery):
    entries, runs = {e.name: e for e in gallery("entries").ENTRIES}, gallery("runs")
    rate, path = runs.valley(entries["adam"])
    assert path.shape == (runs.VALLEY_STEPS + 1, 2)
    assert runs.height(path[-1]) < 0.01 < runs.height(path[0])
    assert rate in runs.VALLEY_RATES
