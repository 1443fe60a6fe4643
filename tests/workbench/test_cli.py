"""The command: what it leaves behind, what it says to bad input, and Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nablax.workbench.__main__ import main
from nablax.workbench._catalogue import OPTIMIZERS, SCHEDULES
from nablax.workbench._problems import PROBLEMS
from workbench.small_problems import QUADRATIC, SLOW

DPSGD = "dpsgd:l2_norm_clip=1,noise_multiplier=1,seed=0"  # takes a stack of gradients
SMALL = ["--steps", "30", "--seeds", "2", "--lr", "1e-3,1e-2,1e3"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """One comparison on rosenbrock, and what was printed."""
    import contextlib
    import io

    out = tmp_path_factory.mktemp("ran") / "new" / "dir"
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        arguments = ["--optimizer", "adam:b1=0.8", "--optimizer", "sgd", *SMALL, "--out", str(out)]
        code = main(["compare", "rosenbrock", *arguments])
    return out, code, stdout.getvalue(), stderr.getvalue()


def test_it_leaves_its_files_and_a_plain_table(ran):
    out, code, stdout, stderr = ran
    assert code == 0, stderr
    assert sorted(p.name for p in out.iterdir()) == [
        "comparison.json",
        "curves.png",
        "progress.log",
        "report.html",
        "results.json",
        "runs",
        "sensitivity.png",
    ]
    assert len(list((out / "runs").iterdir())) == 2
    log = (out / "progress.log").read_text()
    assert "sgd: part 2 of 2" in log
    assert log.endswith("done\n")
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "sensitivity.png").read_bytes().startswith(b"\x89PNG")
    assert "adam:b1=0.8" in stdout
    assert "distance to the minimum" in stdout
    assert "\x1b" not in stdout
    assert stderr == ""


def test_results_hold_what_reproduces_them(ran):
    out, _, _, _ = ran
    results = json.loads((out / "results.json").read_text())
    settings = results["settings"]
    assert settings["rates"] == [0.001, 0.01, 1000.0]
    assert (settings["budget"], settings["seeds"]) == ("30steps", 2)
    assert results["entries"][0]["options"] == {"b1": 0.8}
    assert {"nablax", "jax", "jaxlib", "numpy", "python", "system", "device"} <= set(settings["environment"])
    assert np.shape(results["entries"][0]["curves"]["losses"]) == (2, 30)
    assert any(any(t["diverged"]) for t in results["entries"][1]["trials"])  # sgd at 1000


def test_the_command_for_one_optimizer_reproduces_its_best_run(ran, tmp_path, capsys):
    import shlex

    from nablax.workbench._results import Comparison

    whole = Comparison.from_json((ran[0] / "results.json").read_text())
    entry = whole.entries[0]
    command = shlex.split(whole.settings.command_for([entry.label], [entry.best_trial.rate]))
    assert main([*command[1:], "--no-report", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    again = Comparison.from_json((tmp_path / "results.json").read_text())
    assert again.entries[0].best_trial == whole.entries[0].best_trial


def test_a_file_of_the_users_runs(tmp_path, capsys):
    file = tmp_path / "line.py"
    file.write_text(QUADRATIC)
    arguments = [
        str(file),
        "--optimizer",
        "sgd:schedule=linear",
        "--lr",
        "0.5",
        "--steps",
        "21",
        "--seeds",
        "1",
    ]
    assert main(["compare", *arguments, "--no-report", "--out", str(tmp_path / "out")]) == 0
    assert "distance" in capsys.readouterr().out
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["settings"]["source"] == str(file)
    assert results["entries"][0]["schedule"] == "linear_schedule"


def test_a_metric_that_jax_cannot_trace(tmp_path, capsys):
    file = tmp_path / "scikit.py"
    file.write_text(
        """
import jax.numpy as jnp, numpy as np
from sklearn.metrics import mean_squared_error
METRIC = "error"
def init(key): return jnp.zeros(3)
def loss(w, batch): return jnp.sum((w - 1) ** 2)
def batches(key): return ()
def evaluate(w): return mean_squared_error(np.ones(3), np.asarray(w))
"""
    )
    arguments = [
        "compare",
        str(file),
        "--optimizer",
        "sgd",
        "--lr",
        "0.1,0.4",
        "--steps",
        "30",
        "--seeds",
        "2",
    ]
    arguments.append("--no-report")
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    entry = json.loads((tmp_path / "out" / "results.json").read_text())["entries"][0]
    assert entry["trials"][1]["metrics"][0] < 1e-6
    curve = entry["curves"]["metrics"][0]
    assert len(curve) == 15
    assert curve == sorted(curve, reverse=True)
    file.write_text(
        file.read_text().replace("mean_squared_error(np.ones(3), np.asarray(w))", "np.asarray(w)")
    )
    assert main([*arguments, "--out", str(tmp_path / "out2")]) == 2
    assert "evaluate(params): must return a scalar, got shape (3,)" in capsys.readouterr().err


def test_one_optimizer_that_does_not_suit_stops_nobody(tmp_path, capsys):
    arguments = [
        "compare",
        "rosenbrock",
        "--optimizer",
        "sgd",
        "--optimizer",
        DPSGD,
        "--optimizer",
        "adam",
    ]
    assert (
        main(
            [
                *arguments,
                "--lr",
                "0.001",
                "--steps",
                "20",
                "--seeds",
                "1",
                "--no-report",
                "--out",
                str(tmp_path),
            ]
        )
        == 0
    )
    assert f"{DPSGD} does not suit this problem" in capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    assert [e["label"] for e in results["entries"]] == ["sgd", "adam"]
    assert list(results["failed"]) == [DPSGD]
    assert results["not_run"] == []
    alone = [
        "compare",
        "rosenbrock",
        "--optimizer",
        DPSGD,
        "--steps",
        "5",
        "--no-report",
        "--out",
        str(tmp_path / "b"),
    ]
    assert main(alone) == 2
    assert f"--optimizer {DPSGD} on rosenbrock" in capsys.readouterr().err


def test_list_names_everything(capsys):
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    for name in (*PROBLEMS, *OPTIMIZERS, *SCHEDULES):
        assert f"  {name} " in shown
    assert "trust ratio" in shown
    assert main(["list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert set(listed["optimizers"]) == set(OPTIMIZERS)
    assert listed["optimizers"]["adamw"]["state_bytes"] == 8
    assert listed["optimizers"]["lbfgs"]["family"] == "lbfgs"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "digit"], "no problem 'digit'; did you mean digits?"),
        (["compare", "rosenbrock", "--optimizer", "adamm"], "no optimizer 'adamm'; did you mean adam"),
        (["compare", "rosenbrock", "--optimizer", "adam:beta=1"], "it is adam(learning_rate, b1=0.9"),
        (["compare", "rosenbrock", "--lr", "-1"], "--lr must be positive and finite, got -1."),
        (["compare", "rosenbrock", "--lr", "nan"], "--lr must be positive and finite, got nan."),
        (["compare", "rosenbrock", "--lr", "fast"], "--lr must be a number, got 'fast'."),
        (["compare", "rosenbrock", "--target", "nan"], "--target must be a number"),
        (["compare", "rosenbrock", "--target", "low"], "--target must be a number or NAME=NUMBER, got 'low'"),
        (
            ["compare", "rosenbrock", "--target", "accuracy=1"],
            "there is no 'accuracy' to reach; name 'loss' or",
        ),
        (
            ["compare", "rosenbrock", "--budget", "much"],
            "--budget takes a positive amount of steps, s, min or",
        ),
        (["compare", "rosenbrock", "--budget", "1e6tokens"], "a batch of rosenbrock has no rows to count"),
        (["compare", "rosenbrock", "--budget", "3s", "--steps", "3"], "--steps and --budget say the same"),
        (["compare", "rosenbrock", "--search", "random"], "'random' is not one of 'grid', 'halving'"),
        (
            ["compare", "rosenbrock", "--resume", "a", "--out", "b"],
            "--resume names the folder; leave --out out",
        ),
        (["report", "nowhere"], "nowhere holds no comparison: there is no comparison.json."),
        (["new-problem", "mine.txt"], "FILE must end in .py"),
        (["compare", "rosenbrock", "--steps", "0"], "'--steps': 0 is not in the range"),
        (["compare", "rosenbrock", "--seeds", "many"], "'--seeds': 'many' is not a valid integer"),
        (["compare", "rosenbrock", "--colour"], "No such option"),
        (["compar"], "there is no command 'compar'; choose from compare, report,"),
        (["mine.py"], "A problem is compared by: nablax compare mine.py"),
        (["compare", "rosenbrock", "adam"], "optimizers are given by --optimizer NAME"),
        (["compare", "nowhere.py"], "there is no file nowhere.py"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, capsys):
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.err.startswith("nablax: ")


def test_a_problem_file_without_loss(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(QUADRATIC.replace("def loss", "def cost"))
    assert main(["compare", str(tmp_path / "mine.py")]) == 2
    said = capsys.readouterr().err
    assert "must define loss(params, batch)" in said
    assert said.count("\n") == 1


def test_a_directory_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["compare", "rosenbrock", "--out", str(tmp_path / "file" / "dir")]) == 2
    said = capsys.readouterr().err
    assert "cannot write there" in said
    assert said.count("\n") == 1


def test_a_file_in_the_directory_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "curves.png").mkdir()
    arguments = [
        "--optimizer",
        "sgd",
        "--lr",
        "1e-3",
        "--steps",
        "20",
        "--seeds",
        "1",
        "--out",
        str(tmp_path),
    ]
    assert main(["compare", "rosenbrock", *arguments]) == 2
    said = capsys.readouterr().err.strip().split("\n")[-1]
    assert said.startswith("nablax: cannot write")
    assert "curves.png" in said


def test_everything_diverged_is_said_and_is_no_crash(tmp_path, capsys):
    arguments = ["--optimizer", "sgd", "--lr", "1e4", "--steps", "20", "--seeds", "1", "--out", str(tmp_path)]
    assert main(["compare", "rosenbrock", *arguments]) == 0
    assert "diverged" in capsys.readouterr().out
    assert "Every run diverged" in (tmp_path / "report.html").read_text()


def test_ctrl_c_keeps_what_was_finished(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, "-m", "nablax.workbench", "compare", "slow.py", "--lr", "0.1"]
    names = ["sgd", *(["momentum:decay=0." + str(i) for i in range(100, 200)])]
    for name in names:
        command += ["--optimizer", name]
    process = subprocess.Popen(
        [*command, "--steps", "200", "--seeds", "2", "--out", "out"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "NABLAX_TEST_MARK": "1"},
    )  # fmt: skip
    out = tmp_path / "out"
    deadline = time.monotonic() + 120
    try:
        while not (out / "results.json").exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)  # the results of the first optimizer are there
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert "Interrupted. Not run: " in stdout
    results = json.loads((out / "results.json").read_text())
    done = [entry["label"] for entry in results["entries"]]
    assert done
    assert done + results["not_run"] == names
    assert (out / "report.html").exists()


def run_python(code, **options):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, **options
    )


def test_without_the_extra_one_line_says_how_to_get_it():
    for missing in ("click", "matplotlib"):
        block = f"import sys; sys.modules['{missing}'] = None; "
        done = run_python(block + "from nablax.workbench.__main__ import main; sys.exit(main())")
        assert done.returncode == 2
        assert done.stderr == f"nablax: the command line needs {missing}: pip install 'nablax[workbench]'\n"
    launching = run_python(block + "from nablax.workbench.__main__ import main; main(['launch', '--help'])")
    assert launching.stdout.startswith("usage: nablax launch")


def test_importing_nablax_imports_nothing_of_the_extra():
    code = "import sys, nablax; print([m for m in ('click', 'rich', 'matplotlib', 'sklearn') if m in sys.modules])"
    assert run_python(code).stdout == "[]\n"


def test_the_workbench_does_without_optax():
    folder = Path(sys.modules["nablax.workbench._cli"].__file__).parent
    assert not [p.name for p in folder.rglob("*.py") if re.search(r"(import|from) optax", p.read_text())]


def test_a_budget_in_seconds_gives_each_optimizer_its_steps(tmp_path, capsys):
    arguments = [
        "--optimizer",
        "sgd",
        "--optimizer",
        "adam",
        "--lr",
        "1e-3",
        "--budget",
        "0.05s",
        "--seeds",
        "1",
    ]
    assert main(["compare", "rosenbrock", *arguments, "--no-report", "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["settings"]["budget"] == "0.05s"
    for entry in results["entries"]:
        assert entry["steps"] == entry["trials"][0]["steps"] > 10
        assert len(entry["curves"]["losses"][0]) <= 200


def test_halving_spends_most_steps_on_good_rates(tmp_path, capsys):
    arguments = [
        "--optimizer",
        "adam",
        "--lr",
        "1e-5:1:9",
        "--steps",
        "90",
        "--seeds",
        "1",
        "--search",
        "halving",
    ]
    assert main(["compare", "rosenbrock", *arguments, "--json", "--no-report", "--out", str(tmp_path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "results.json").read_text())
    entry = printed["entries"][0]
    assert sorted(t["steps"] for t in entry["trials"]) == [10] * 6 + [30] * 2 + [90]
    assert entry["trials"][entry["best"]]["steps"] == 90


def test_help_names_every_command_and_the_exit_codes(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for name in ("compare", "report", "list", "new-problem", "doctor", "130"):
        assert name in shown


def test_completion_offers_names():
    from click.shell_completion import BashComplete

    from nablax.workbench._cli import cli

    def offered(arguments, incomplete):
        completion = BashComplete(cli, {}, "nablax", "_NABLAX_COMPLETE")
        return [item.value for item in completion.get_completions(arguments, incomplete)]

    assert offered([], "new") == ["new-problem"]
    assert offered(["compare", "--optimizer"], "adamax") == ["adamax", "adamaxw"]
    assert "digits" in offered(["compare"], "dig")
    assert offered(["compare", "--search"], "h") == ["halving"]
