"""The supervisor with real processes: restarts, last errors, signals, and nothing that stays behind."""

import contextlib
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nablax

SUPERVISOR = [sys.executable, "-P", str(Path(nablax.distributed.__file__).with_name("_supervisor.py"))]
HEAD = """
import os, signal, subprocess, sys, time
rank, attempt = int(os.environ["NABLAX_PROCESS"]), int(os.environ["NABLAX_RESTART"])
def note(name, text):
    with open(f"{name}.part", "w") as file: file.write(str(text))
    os.rename(f"{name}.part", name)
"""


@pytest.fixture
def launched(tmp_path):
    """Starts a script under the supervisor; what is left is ended."""
    started = []

    def start(script, *options, args=(), command=SUPERVISOR):
        (tmp_path / "script.py").write_text(HEAD + script)
        process = subprocess.Popen(
            [*command, *options, "--", "script.py", *args],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def alive(pid):
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_all_start_again_when_one_dies(launched):
    process = launched(
        """
print("attempt", attempt, *sys.argv[1:])
note(f"said-{rank}-{attempt}", "")
while not os.path.exists(f"said-{1 - rank}-{attempt}"): time.sleep(0.01)
if attempt == 0 and rank == 1: os.kill(os.getpid(), signal.SIGKILL)
if attempt == 1 and rank == 0: sys.exit(3)
if attempt < 2: time.sleep(60)
""",
        *("--processes", "2", "--restarts", "2"), args=["a", "--b"],
    )  # fmt: skip
    code, out, err = ended(process)
    assert code == 0
    assert sorted(out.splitlines()) == sorted(
        f"[{rank}] attempt {k} a --b" for rank in (0, 1) for k in (0, 1, 2)
    )
    assert [line for line in err.splitlines() if line.startswith("nablax launch")] == [
        "nablax launch: rank 1 was killed by SIGKILL; restart 1 of 2",
        "nablax launch: rank 0 ended with exit code 3; restart 2 of 2",
    ]


def test_it_gives_up_with_the_last_errors_and_takes_children_along(launched, tmp_path):
    process = launched(
        """
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, lambda *_: 0); time.sleep(60)"])
note(f"child-{rank}-{attempt}", child.pid)
if rank == 1:
    while not os.path.exists(f"deaf-{attempt}"): time.sleep(0.01)
    raise RuntimeError("bad data")
signal.signal(signal.SIGTERM, lambda *_: 0)
note(f"deaf-{attempt}", "")
time.sleep(60)
""",
        *("--processes", "2", "--restarts", "1", "--grace", "0.3"),
    )  # fmt: skip
    code, _, err = ended(process)
    assert code == 1
    told = err[err.index("gave up after 1 restarts") :]
    assert re.search(
        r"rank 0 was killed by SIGKILL\nrank 1 ended with exit code 1:\n.*RuntimeError: bad data", told, re.S
    )
    pids = [int(path.read_text()) for path in tmp_path.glob("child-*")]
    assert len(pids) == 4
    assert until(lambda: not any(map(alive, pids)))


WAITING = """
heard = []
signal.signal(signal.SIGTERM, lambda *_: heard.append("TERM"))
signal.signal(signal.SIGUSR1, lambda *_: note(f"usr1-{rank}", ""))
note(f"ready-{rank}", os.getpid())
while not heard: time.sleep(0.01)
note(f"saved-{rank}", "")
sys.exit(0 if len(sys.argv) == 1 else 5)
"""


@pytest.mark.parametrize(("args", "code"), [((), 0), (("fail",), 128 + signal.SIGTERM)])
def test_signals_are_passed_on_and_end_the_restarts(args, code, launched, tmp_path):
    process = launched(WAITING, "--processes", "2", "--restarts", "5", args=args)
    assert until(lambda: all((tmp_path / f"ready-{i}").exists() for i in (0, 1)))
    process.send_signal(signal.SIGUSR1)
    assert until(lambda: all((tmp_path / f"usr1-{i}").exists() for i in (0, 1)))
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == code
    assert all((tmp_path / f"saved-{i}").exists() for i in (0, 1))


def test_a_second_ctrl_c_kills(launched, tmp_path):
    process = launched(
        """
signal.signal(signal.SIGINT, lambda *_: note("heard", ""))
note("ready-0", os.getpid())
time.sleep(60)
"""
    )
    assert until((tmp_path / "ready-0").exists)
    process.send_signal(signal.SIGINT)
    assert until((tmp_path / "heard").exists)
    process.send_signal(signal.SIGINT)
    assert ended(process)[0] == 128 + signal.SIGINT


def test_a_killed_supervisor_leaves_no_orphans(launched, tmp_path):
    process = launched(
        """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
note(f"ready-{rank}", f"{os.getpid()} {child.pid}")
time.sleep(60)
""",
        *("--processes", "2"),
    )  # fmt: skip
    assert until(lambda: all((tmp_path / f"ready-{i}").exists() for i in (0, 1)))
    pids = [int(pid) for i in (0, 1) for pid in (tmp_path / f"ready-{i}").read_text().split()]
    assert all(map(alive, pids))
    process.kill()
    assert until(lambda: not any(map(alive, pids)))


def test_the_supervisor_holds_no_jax(launched):
    command = [sys.executable, "-m", "nablax.workbench", "launch"]
    process = launched("print('jaxlib' in open(f'/proc/{os.getppid()}/maps').read())", command=command)
    assert ended(process)[:2] == (0, "[0] False\n")


def test_bad_command_lines_are_refused(launched):
    for options, message in [
        (["--processes", "0"], "expected an integer of at least 1, got '0'"),
        (["--restarts", "-1"], "--restarts"),
    ]:
        code, _, err = ended(launched("", *options))
        assert code == 2
        assert message in err
