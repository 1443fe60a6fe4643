"""What is uploaded: a wheel and an sdist, built without the network, with nothing in them but the package."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return folder


def test_the_wheel_is_small_and_holds_the_package_alone(built):
    (wheel,) = built.glob("*.whl")
    assert wheel.stat().st_size < 1_000_000
    found = set(zipfile.ZipFile(wheel).namelist())
    sources = {p.relative_to(ROOT / "src").as_posix() for p in (ROOT / "src" / "nablax").rglob("*.py")}
    assert sources <= found
    assert {name.partition("/")[0] for name in found} == {
        "nablax",
        wheel.name.split("-py3")[0] + ".dist-info",
    }


def test_the_wheel_asks_for_jax_and_numpy_alone(built):
    (wheel,) = built.glob("*.whl")
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (archive.read(n).decode() for n in archive.namelist() if n.endswith("METADATA"))
    needs = [
        line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line
    ]
    assert [line.split(": ")[1].split(">")[0] for line in needs] == ["jax", "numpy"]


def test_the_source_archive_is_made(built):
    (archive,) = built.glob("*.tar.gz")
    assert archive.stat().st_size > 100_000
