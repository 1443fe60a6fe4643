"""The tour runs, and the benchmark can be imported."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_tour_runs(capsys):
    runpy.run_path(str(ROOT / "examples" / "autograd_tour.py"))
    shown = capsys.readouterr().out
    assert "recorded, not yet run" in shown
    assert "GraphFreedError" in shown
    assert "gradcheck, gradgradcheck:                    True True" in shown


def test_the_picture_is_small():
    assert (ROOT / "docs" / "autograd-segments.svg").stat().st_size < 20_000
