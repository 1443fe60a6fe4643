"""A comparison goes on where it stopped, grows, and is never overwritten."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from nablax.workbench.__main__ import main
from nablax.workbench._results import Folder
from workbench.small_problems import QUADRATIC

BASE = ["--optimizer", "sgd", "--lr", "1e-4,1e-3", "--steps", "20", "--seeds", "1"]


def compare(*arguments):
    return main(["compare", *map(str, arguments), "--no-report"])


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder / "runs").iterdir()}


@pytest.fixture
def done(tmp_path, monkeypatch, capsys):
    """A finished comparison on rosenbrock, with sgd."""
    monkeypatch.chdir(tmp_path)
    assert compare("rosenbrock", *BASE, "--out", "first") == 0
    capsys.readouterr()
    return tmp_path / "first"


def test_a_finished_comparison_is_not_run_again(done, capsys):
    before, curves = times(done), json.loads((done / "results.json").read_text())["entries"]
    assert compare("--resume", done) == 0
    assert times(done) == before
    assert json.loads((done / "results.json").read_text())["entries"] == curves
    assert "sgd" in capsys.readouterr().out


def test_it_grows_by_optimizers_rates_and_seeds_and_runs_only_those(done, tmp_path, capsys):
    sgd, before = Folder(done).runs()["sgd"], times(done)
    assert compare("--resume", done, "--optimizer", "adam") == 0
    assert {name: when for name, when in times(done).items() if name in before} == before
    assert compare("--resume", done, "--lr", "1e-2", "--seeds", "2") == 0
    grown = Folder(done).runs()
    assert grown["sgd"].pairs == grown["adam"].pairs == {(r, s) for r in (1e-4, 1e-3, 1e-2) for s in (0, 1)}
    kept = [
        i
        for i, pair in enumerate(zip(grown["sgd"].rates, grown["sgd"].seeds, strict=True))
        if pair in sgd.pairs
    ]
    np.testing.assert_array_equal(grown["sgd"].losses[kept], sgd.losses)
    # and it is what one comparison would have been
    together = [
        "--optimizer",
        "sgd",
        "--optimizer",
        "adam",
        "--lr",
        "1e-4,1e-3,1e-2",
        "--steps",
        "20",
        "--seeds",
        "2",
    ]
    assert compare("rosenbrock", *together, "--out", tmp_path / "whole") == 0
    capsys.readouterr()
    results = [json.loads((folder / "results.json").read_text()) for folder in (done, tmp_path / "whole")]
    for one, other in zip(*(r["entries"] for r in results), strict=True):
        assert one["trials"] == other["trials"]


def test_another_comparison_is_refused_in_words_and_left_alone(done, capsys):
    before = {path: path.read_bytes() for path in done.rglob("*") if path.is_file()}
    refused = [
        (
            ["rosenbrock", *BASE, "--out", done],
            f"--out {done} holds a comparison already. --resume {done} goes on",
        ),
        (
            ["digits", "--resume", done],
            "another comparison is in there: the problem ('rosenbrock' there, 'digits'",
        ),
        (
            ["--resume", done, "--steps", "30"],
            "the length of a run ('20steps' there, '30steps' here) differs",
        ),
        (["--resume", done, "--search", "halving"], "the search ('grid' there, 'halving' here) differs"),
    ]
    for arguments, words in refused:
        assert compare(*arguments) == 2
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
    assert {path: path.read_bytes() for path in done.rglob("*") if path.is_file()} == before


def test_fewer_seeds_and_a_changed_file_are_refused(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(QUADRATIC)
    assert compare(file, *BASE, "--seeds", "2", "--out", tmp_path / "out") == 0
    assert compare("--resume", tmp_path / "out", "--seeds", "1") == 2
    assert "it has 2 seeds, --seeds 1 would take some away" in capsys.readouterr().err
    file.write_text(QUADRATIC.replace("0.1 *", "0.2 *"))
    assert compare("--resume", tmp_path / "out") == 2
    assert "the text of the problem's file differs" in capsys.readouterr().err


def test_halving_goes_on_with_optimizers_only(tmp_path, capsys):
    assert compare("rosenbrock", *BASE, "--search", "halving", "--out", tmp_path) == 0
    assert compare("--resume", tmp_path, "--lr", "0.5") == 2
    assert "goes on with more optimizers only" in capsys.readouterr().err
    assert compare("--resume", tmp_path, "--optimizer", "adam") == 0
    assert set(Folder(tmp_path).runs()) == {"sgd", "adam"}


def test_optuna_chooses_rates_and_goes_on_as_it_would_have(tmp_path, capsys):
    pytest.importorskip("optuna")
    base = ["rosenbrock", "--optimizer", "sgd", "--steps", "20", "--seeds", "1", "--search", "optuna", "--lr"]
    assert compare(*base, "1e-5:1e-1:7", "--out", tmp_path / "whole") == 0
    whole = Folder(tmp_path / "whole").runs()["sgd"]
    assert len(set(whole.rates)) == 7
    assert min(whole.rates) >= 1e-5
    assert max(whole.rates) <= 1e-1
    first = tmp_path / "first"
    assert compare(*base, "1e-5:1e-1:7", "--out", first) == 0
    part = {
        **vars(whole),
        **{
            name: getattr(whole, name)[:3]
            for name in ("rates", "seeds", "done", "losses", "ratios", "metrics")
        },
    }
    Folder(first).write_runs(type(whole)(**part))  # as if it had been killed after three
    assert compare("--resume", first) == 0
    np.testing.assert_array_equal(Folder(first).runs()["sgd"].rates, whole.rates)
    assert compare("--resume", first, "--seeds", "2") == 2
    assert "a search by optuna goes on with more optimizers only" in capsys.readouterr().err


def test_resume_begins_a_comparison_and_the_default_folder_is_a_new_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert compare("rosenbrock", *BASE, "--resume", "new") == 0
    assert compare("rosenbrock", *BASE) == 0
    assert compare("rosenbrock", *BASE) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"new", "nablax-rosenbrock", "nablax-rosenbrock-2"}
    assert "results: nablax-rosenbrock-2" in capsys.readouterr().out


def test_reports_of_several_folders_are_put_together(done, tmp_path, capsys):
    other = ["rosenbrock", "--optimizer", "adam", "--optimizer", "sgd", "--lr", "1e-3,1e-2", "--steps", "20"]
    assert compare(*other, "--seeds", "1", "--out", tmp_path / "second") == 0
    assert main(["report", str(done), str(tmp_path / "second")]) == 2
    assert "--out DIR is needed" in capsys.readouterr().err
    both = tmp_path / "both"
    assert main(["report", str(done), str(tmp_path / "second"), "--out", str(both), "--json"]) == 0
    merged = json.loads(capsys.readouterr().out)
    assert [e["label"] for e in merged["entries"]] == ["sgd", "adam"]
    assert [t["rate"] for t in merged["entries"][0]["trials"]] == [1e-4, 1e-3, 1e-2]
    assert [t["rate"] for t in merged["entries"][1]["trials"]] == [1e-3, 1e-2]
    assert (both / "report.html").exists()
    assert compare("--resume", both) == 0  # runs what adam lacks
    assert Folder(both).runs()["adam"].pairs == {(1e-4, 0), (1e-3, 0), (1e-2, 0)}
    assert compare("rosenbrock", *BASE, "--steps", "30", "--out", tmp_path / "longer") == 0
    capsys.readouterr()
    assert main(["report", str(done), str(tmp_path / "longer"), "--out", str(tmp_path / "x")]) == 2
    assert "the length of a run ('30steps' there, '20steps' here) differs" in capsys.readouterr().err


def test_a_killed_process_loses_only_what_was_running_and_one_that_waited_goes_on(tmp_path):
    (tmp_path / "mine.py").write_text(QUADRATIC)
    names, out = ["sgd", "adam", "lion", "momentum"], tmp_path / "out"
    arguments = [
        "compare",
        str(tmp_path / "mine.py"),
        "--lr",
        "0.1",
        "--steps",
        "60",
        "--seeds",
        "2",
        "--no-report",
    ]
    arguments += ["--resume", str(out), *[word for name in names for word in ("--optimizer", name)]]
    with begun(arguments) as process:
        deadline = time.monotonic() + 300
        while not list(out.glob("runs/*.npz")) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGSTOP)  # so that it does not end before the other comes
        with begun([*arguments, "--optimizer", "adagrad"]) as waiting:
            told = waiting.stderr.readline()
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=60)
            before = times(out)
            waiting.communicate(timeout=300)
    assert "another comparison is running there. Waiting for its end." in told
    assert 1 <= len(before) < len(names)
    assert waiting.returncode == 0
    assert {name: when for name, when in times(out).items() if name in before} == before
    results = json.loads((out / "results.json").read_text())
    assert [entry["label"] for entry in results["entries"]] == [*names, "adagrad"]
    assert results["not_run"] == []
    assert f"part 1 of {len(names) + 1 - len(before)}" in (out / "progress.log").read_text()


def begun(arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "nablax.workbench", *map(str, arguments)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip


def test_two_that_begin_together_end_with_all_that_both_asked_for(tmp_path):
    (tmp_path / "mine.py").write_text(QUADRATIC)
    shared = ["compare", tmp_path / "mine.py", "--lr", "0.1", "--steps", "20", "--seeds", "1", "--no-report"]
    names = ("sgd", "lion")
    calls = [[*shared, "--resume", tmp_path / "out", "--optimizer", name] for name in names]
    with begun(calls[0]) as one, begun(calls[1]) as other:
        for process in (one, other):
            process.communicate(timeout=300)
    assert (one.returncode, other.returncode) == (0, 0)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {entry["label"] for entry in results["entries"]} == set(names)
    assert set(Folder(tmp_path / "out").settings().optimizers) == set(names)
