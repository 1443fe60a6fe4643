"""The examples run in their short modes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("examples/perturbations_bandit.py", "signal to noise"),
        ("examples/perturbations_shortest_path.py", "more than the cheapest"),
        ("examples/perturbations_controller.py", "at last"),
    ],
)
def test_short_mode(script, words):
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    run = subprocess.run(
        [sys.executable, ROOT / script, "--quick"],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert run.returncode == 0, run.stderr
    assert words in run.stdout
