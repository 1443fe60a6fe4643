"""The wheel: what it holds, what it asks for, and a program on it with nothing but jax and numpy."""

import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest

import nablax

build = pytest.importorskip("hatchling.build")
ROOT = Path(__file__).parent.parent

PROGRAM = """
import sys
import jax, jax.numpy as jnp, numpy as np
import nablax, nablax.optax, nablax.workbench
from nablax import assignment, autograd, games, linesearch, losses, perturbations, projections, second_order

print(nablax.__file__, nablax.__version__)

def loss(p, x):
    return jnp.mean((x @ p["w"] - 1.0) ** 2)

params, x = {"w": jnp.zeros(3)}, jnp.eye(3)
opt = nablax.Optimizer(nablax.chain(nablax.clip_by_global_norm(1.0), nablax.adamw(0.1)), params, metrics=True)
for _ in range(50):
    opt.step(jax.grad(loss)(opt.params, x))
assert float(loss(opt.params, x)) < 0.05, opt.metrics
opt.save(sys.argv[1])
assert nablax.load(sys.argv[1])["params/w"].shape == (3,)
assert nablax.minimize(loss, params, args=(x,)).converged

w = autograd.tensor([1.0, 2.0], requires_grad=True)
(w * w).sum().backward()
assert w.grad.tolist() == [2.0, 4.0]

from nablax.workbench.__main__ import main

assert main(["list"]) == 2  # says what to install
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return folder / build.build_wheel(str(folder))


def test_it_holds_the_package_and_nothing_else(wheel):
    assert wheel.stat().st_size < 1_000_000
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    source = ROOT / "src"
    there = [path for path in source.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert names == {str(path.relative_to(source)) for path in there if path.suffix != ".pyc"}
    assert "nablax/py.typed" in names


def test_it_asks_for_jax_and_numpy(wheel):
    with zipfile.ZipFile(wheel) as archive:
        info = {
            name.partition(".dist-info/")[2]: name for name in archive.namelist() if ".dist-info/" in name
        }
        asked = Parser().parsestr(archive.read(info["METADATA"]).decode())
        commands = archive.read(info["entry_points.txt"]).decode().split()
    assert commands == ["[console_scripts]", "nablax", "=", "nablax.workbench.__main__:main"]
    assert asked["Version"] == nablax.__version__
    needed = [each for each in asked.get_all("Requires-Dist") if "extra ==" not in each]
    assert sorted(re.match(r"[\w-]+", each)[0] for each in needed) == ["jax", "numpy"]
    assert asked["License-Expression"] == "Apache-2.0"
    assert "licenses/LICENSE" in info


def test_pythons_are_the_same_everywhere():
    def text(name):
        return (ROOT / name).read_text(encoding="utf-8")

    declared = re.findall(r'Language :: Python :: (3\.\d+)"', text("pyproject.toml"))
    assert f'requires-python = ">={declared[0]}"' in text("pyproject.toml")
    assert f"({declared[0]} or newer)" in text("README.md")
    tried = re.search(r"for version in ([\d. ]+);", text(".ci/other-python"))[1].split()
    assert tried == declared[::-1]
    said = text("CONTRIBUTING.md").partition("nobody has run")[0]
    assert set(re.findall(r"\b3\.\d+\b", said)) == set(declared)


def site_of(folder, wheel):
    """What an environment with jax, numpy, what these need, and the wheel would hold."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    for name in ("jax", "jaxlib", "numpy", "ml_dtypes", "opt_einsum", "scipy"):
        package = metadata.distribution(name)
        for top in {file.parts[0] for file in package.files} - {".."}:
            (folder / top).symlink_to(package.locate_file(top))


def test_a_program_runs_on_it_alone(wheel, tmp_path):
    site_of(tmp_path / "site", wheel)
    done = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-c", PROGRAM, str(tmp_path / "run.safetensors")],
        capture_output=True, text=True, timeout=300, cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(tmp_path / "site"), "JAX_PLATFORMS": "cpu", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(str(tmp_path / "site"))
    assert "pip install 'nablax[workbench]'" in done.stderr


def test_the_source_archive_builds_the_same(wheel, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    archive = tmp_path / build.build_sdist(str(tmp_path))
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
        packed.extractall(tmp_path, filter="data")
    tracked = {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "constraints.txt",
        "src/nablax/py.typed",
        "tests/conftest.py",
    }
    assert tracked <= names
    assert not [name for name in names if name.startswith((".venv", "out/", ".cache"))]
    assert archive.stat().st_size < 3_000_000
    monkeypatch.chdir(archive.with_suffix("").with_suffix(""))
    again = tmp_path / build.build_wheel(str(tmp_path))
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert {i.filename: i.CRC for i in first.infolist()} == {i.filename: i.CRC for i in second.infolist()}
