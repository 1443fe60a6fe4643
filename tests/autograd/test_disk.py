"""Compiled programs on disk: found again by the next process, harmless where they are broken, bounded."""

import json
import os
import resource
import subprocess
import sys
import zlib

import jax
import numpy as np
import pytest

from nablax import autograd
from nablax.autograd._ground import _disk
from nablax.autograd._ground._store import Store, usual


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of the test's own, where even small programs are kept; JAX has none."""
    monkeypatch.setattr(_disk, "_WORTH", 0.0)
    before = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    found = tmp_path / "kept"
    with autograd.disk_cache(found), autograd.tiers("compiled"):
        yield found
    jax.config.update("jax_compilation_cache_dir", before)


def run():
    """A program forward and backward, compiled anew: what it gives, and how many were read from disk."""
    autograd.cache_clear()
    x = autograd.tensor([1.0, 2.0], requires_grad=True)
    y = ((x * 3.0).exp() + x).sum()
    y.backward()
    return [y.item(), *x.grad.tolist()], autograd.cache_info().loaded


def entries(folder):
    return sorted(folder.glob("*.xla")) if folder.exists() else []


def test_the_next_time_nothing_is_compiled(folder):
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: compiled.append(name))
    try:
        first, loaded = run()
        assert loaded == 0
        names = entries(folder)
        assert names
        compiled.clear()
        again, loaded = run()
    finally:
        jax.monitoring.clear_event_listeners()
    assert again == first
    assert loaded == len(names)
    assert not [name for name in compiled if "backend_compile" in name]
    assert entries(folder) == names


def test_an_argument_that_is_not_read_makes_another_program(folder):
    """XLA gets the same text for both."""

    def call(fn):
        made = jax.jit(fn)
        _disk.compiled(made.lower(1.0, 2.0))
        return float(made(1.0, 2.0))

    assert call(lambda a, b: a + 1) == 2.0
    assert call(lambda a, b: b + 1) == 3.0
    assert len(entries(folder)) == 2


def test_constants_count(folder):
    """Also one in the midst of a large array, which is abbreviated where people read it."""
    one = np.arange(5000, dtype=np.float32)
    other = one.copy()
    other[2500] = 0

    def call(constant):
        made = jax.jit(lambda x: (x * constant).sum())
        _disk.compiled(made.lower(np.float32(1)))
        return float(made(np.float32(1)))

    assert call(one) - call(other) == 2500
    assert len(entries(folder)) == 2


def test_settings_of_jax_count(folder):
    run()
    before = len(entries(folder))
    with jax.default_matmul_precision("float32"):
        run()
    assert len(entries(folder)) == 2 * before


def broken_byte(data):
    return data[:100] + bytes([data[100] ^ 1]) + data[101:]


def whole_but_wrong(data):
    return zlib.compress(b"no program")


@pytest.mark.parametrize("harm", [broken_byte, whole_but_wrong, lambda data: data[:50], lambda data: b""])
def test_a_broken_entry_is_compiled_again(folder, harm):
    first, _ = run()
    names = entries(folder)
    for path in names:
        path.write_bytes(harm(path.read_bytes()))
    again, loaded = run()
    assert (again, loaded) == (first, 0)
    assert run() == (first, len(names))


def test_programs_of_others_are_not_kept(folder):
    jax.jit(lambda x: x * 2 + 1)(1.0)
    assert entries(folder) == []
    jax.jit(autograd.functional(lambda x: x * 2 + 1))(1.0)
    assert entries(folder) == []


def test_the_folder_that_jax_has_is_used_instead(folder, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "jax"))
    run()
    assert entries(folder) == []
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        run()
    finally:
        jax.config.update("jax_enable_compilation_cache", True)
    assert entries(folder) == []


def test_turned_off(folder):
    with autograd.disk_cache(None):
        assert run()[1] == 0
    assert entries(folder) == []
    assert repr(autograd.disk_cache(folder)) == f"disk_cache('{folder}')"


@pytest.mark.parametrize("most", [-1, 1.5, True, "1"])
def test_the_bound_is_a_number_of_bytes(most):
    with pytest.raises(ValueError, match="disk_cache: max_bytes must be an int of 0 or more"):
        autograd.disk_cache("anywhere", max_bytes=most)


def test_bounded_and_the_least_recently_used_goes(tmp_path):
    store = Store(tmp_path, 11 * 1000)
    for k in range(10):
        store.write(str(k), bytes([k]) * 1000)
        os.utime(tmp_path / f"{k}.xla", (k, k))
    assert store.read("0") == bytes(1000)
    for k in range(10, 14):
        store.write(str(k), bytes([k]) * 1000)
    kept = {path.stem for path in tmp_path.glob("*.xla")}
    assert kept >= {"0", "13"}
    assert not kept & {"1", "2", "3", "4"}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= store.most
    store.write("large", bytes(store.most // 2 + 1))
    assert store.read("large") is None
    assert len(list(tmp_path.iterdir())) == len(kept)


def test_a_folder_that_cannot_be(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with autograd.disk_cache(tmp_path / "file" / "inside"):
        assert run()[1] == 0


def test_a_full_disk(folder):
    """No file may grow beyond some bytes: writing fails as on a disk without space."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, before[1]))
    try:
        found, _ = run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(folder.iterdir()) == []
    assert run() == (found, 0)
    assert entries(folder)


def test_a_folder_where_others_may_write_is_not_used(folder):
    folder.mkdir()
    folder.chmod(0o777)
    run()
    assert entries(folder) == []


def test_the_folder_of_the_platform(monkeypatch, tmp_path):
    for name, value in (
        ("XDG_CACHE_HOME", ""),
        ("HOME", str(tmp_path)),
        ("LOCALAPPDATA", str(tmp_path / "local")),
    ):
        monkeypatch.setenv(name, value)
    for system, place in (("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "local")):
        monkeypatch.setattr(sys, "platform", system)
        assert usual() == tmp_path / place / "nablax" / "autograd"
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert usual() == tmp_path / "xdg" / "nablax" / "autograd"


SCRIPT = """
import json, sys
from nablax import autograd
from nablax.autograd._ground import _disk
from nablax.autograd._program import _tiers
_disk._WORTH = _tiers._COMPILE = _tiers._COMPILE_CALL = 0.0
w = autograd.Parameter([[0.5, -0.25], [0.125, 1.0]])
out = []
for step in range(40):
    h = w
    for _ in range(30):
        h = (h @ w).tanh()
    loss = (h * h).sum()
    loss.backward()
    with autograd.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
    out.append(loss.item())
info = autograd.cache_info()
json.dump([out, info.compilations, info.loaded], sys.stdout)
"""


def test_processes_share_it(tmp_path):
    """Two at once, then one more: in the background thread, at the same runs, with the same digits."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment |= {"NABLAX_DISK_CACHE": str(tmp_path), "JAX_PLATFORMS": "cpu"}

    def start():
        return subprocess.Popen([sys.executable, "-c", SCRIPT], env=environment, stdout=subprocess.PIPE)

    def result(process):
        out, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        return json.loads(out)

    first, second = map(result, [start(), start()])
    third = result(start())
    assert first[0] == second[0] == third[0]
    assert third[1] > 0
    assert third[2] >= third[1]
    assert not list(tmp_path.glob("*.unfinished"))
