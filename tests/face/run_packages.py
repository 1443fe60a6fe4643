"""Runs packages that use Optax on nablax: their own tests where the sdist ships them, else a short program.

    python tests/face/run_packages.py [--into FOLDER] [--source FOLDER] [PACKAGE ...]

No test of this suite, and pytest does not collect it: it takes minutes and the network. It makes a virtual
environment in FOLDER (a temporary one otherwise), installs the packages and the real Optax there, and runs each twice:
as it is, and with `shim/` on the path, where `import optax` gives nablax.optax. What fails on the real Optax, too, is
not counted.
"""

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# What the packages' tests need and pip does not install with them.
HELPERS = ["pytest", "pandas", "beartype", "scikit-learn", "cloudpickle", "hypothesis", "chex", "absl-py"]

# Package: the paths of tests in its sdist; none where a program of programs/ stands for them.
PACKAGES = {
    "optimistix": [],
    "flowjax": ["tests/test_train"],
    "netket": [],
    "invrs-opt": [],
    "flax": [
        "tests/cursor_test.py",
        "tests/serialization_test.py",
        "tests/traverse_util_test.py",
        "tests/nnx/ema_test.py",
        "tests/nnx/helpers_test.py",
        "tests/nnx/integration_test.py",
        "tests/nnx/optimizer_test.py",
    ],
    "numpyro": ["test/test_optimizers.py"],
    "gpjax": ["tests/test_integration_equinox.py"],
    "blackjax": ["tests/vi/test_meanfield_vi.py"],
    "dynamax": ["dynamax/parameters_test.py", "dynamax/utils/test_optimize.py"],
    "distrax": [],
    "evosax": [],
    "e3nn-jax": [],
}


def call(command, seconds=900, **options):
    """The exit status and the last lines of what a command printed."""
    try:
        done = subprocess.run(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds,
            check=False, **options,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 124, f"no end after {seconds} s"
    return done.returncode, done.stdout.strip()


def environment(folder):
    """The python of the virtual environment, which is made where there is none."""
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    return python


def install(python, package):
    command = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "-c",
        ROOT / "constraints.txt",
        package,
        "optax",
        *HELPERS,
    ]
    return call(command)


def sdist(python, folder, package):
    """The unpacked source distribution."""
    sources = folder / "sdist" / package
    if not sources.exists():
        pip = [
            python,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--no-binary",
            package,
            package,
            "-d",
            sources,
        ]
        status, said = call(pip)
        if status:
            raise RuntimeError(said)
        with tarfile.open(next(sources.glob("*.tar.gz"))) as archive:
            archive.extractall(sources, filter="data")
    return next(path for path in sources.iterdir() if path.is_dir())


def outcomes(python, folder, package, variables):
    """What failed and how much passed: {name: last line of the error}, count."""
    tests = PACKAGES[package]
    environ = os.environ | variables | {"JAX_PLATFORMS": "cpu"}
    if not tests:
        program = HERE / "programs" / f"{package.replace('-', '_')}.py"
        # Not by its path: the folder of programs would come first in sys.path, and hide the packages.
        status, said = call([python, "-c", program.read_text()], env=environ, cwd=folder)
        return ({"program": said[-600:]} if status else {}), int(not status)
    report = folder / f"{package}.xml"
    report.unlink(missing_ok=True)
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    _, said = call(command, env=environ, cwd=sdist(python, folder, package))
    if not report.exists():
        return {"pytest": said[-600:]}, 0
    failed, passed = {}, 0
    for case in ElementTree.parse(report).iter("testcase"):
        bad = next((case.find(kind) for kind in ("failure", "error") if case.find(kind) is not None), None)
        name = f"{case.get('classname')}::{case.get('name')}"
        if bad is not None:
            failed[name] = (bad.text or bad.get("message") or "")[-600:]
        elif case.find("skipped") is None:
            passed += 1
    return failed, passed


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="*", metavar="PACKAGE", default=list(PACKAGES))
    parser.add_argument(
        "--into", type=Path, metavar="FOLDER", help="keep the environment and the sdists here"
    )
    parser.add_argument("--source", type=Path, metavar="FOLDER", default=ROOT / "src", help="where nablax is")
    arguments = parser.parse_args()
    folder = (arguments.into or Path(tempfile.mkdtemp(prefix="nablax-packages-"))).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    python = environment(folder)
    table, errors = [], {}
    for package in arguments.packages:
        status, said = install(python, package)
        if status:
            table.append((package, "not installed", "", said.splitlines()[-1][:60] if said else ""))
            continue
        plain, passed_plain = outcomes(python, folder, package, {})
        shim = {"PYTHONPATH": os.pathsep.join(map(str, (HERE / "shim", arguments.source.resolve())))}
        faced, passed_faced = outcomes(python, folder, package, shim)
        broken = {name: text for name, text in faced.items() if name not in plain}
        errors[package] = broken
        table.append(
            (
                package,
                f"{passed_plain}/{passed_plain + len(plain)}",
                f"{passed_faced}/{passed_faced + len(faced)}",
                str(len(broken)),
            )
        )
        print(*table[-1], flush=True)
    (folder / "errors.json").write_text(json.dumps(errors, indent=1))
    for package, broken in errors.items():
        for name, text in broken.items():
            print(f"\n--- {package}: {name}\n{text}")
    print(f"\n| {'package':12} | {'on Optax':14} | {'on nablax':14} | broken by nablax |\n|---|---|---|---|")
    for row in table:
        print("| {:12} | {:14} | {:14} | {} |".format(*row))
    return 1 if any(errors.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
