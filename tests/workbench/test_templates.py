"""`nablax new-problem`: the files that it writes run as they stand."""

import json

import pytest

from nablax.workbench.__main__ import main
from nablax.workbench._commands._new_problem import KINDS
from nablax.workbench._problems import load_problem


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_problem_runs_as_it_stands(kind, tmp_path, capsys):
    pytest.importorskip({"plain": "jax"}.get(kind, kind))
    file = tmp_path / "mine.py"
    assert main(["new-problem", str(file), "--kind", kind]) == 0
    assert f"next: nablax compare {file}" in capsys.readouterr().out
    problem = load_problem(str(file))
    assert problem.streams
    assert problem.summary.count("\n") == 0
    assert problem.target is not None  # which the file sets
    arguments = [
        "--optimizer",
        "adam",
        "--lr",
        "0.02",
        "--steps",
        "300",
        "--seeds",
        "2",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(["compare", str(file), *arguments, "--no-report"]) == 0
    entry = json.loads((tmp_path / "out" / "results.json").read_text())["entries"][0]
    assert entry["steps_to_target"] is not None  # its target can be reached
    assert entry["trials"][0]["metrics"][0] != entry["trials"][0]["metrics"][1]  # seeds differ


def test_a_file_that_exists_is_left_alone(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("mine\n")
    assert main(["new-problem", str(file)]) == 2
    assert "mine.py exists already" in capsys.readouterr().err
    assert file.read_text() == "mine\n"
    assert main(["new-problem", str(tmp_path / "nowhere" / "x.py")]) == 2
    assert "cannot write there" in capsys.readouterr().err
