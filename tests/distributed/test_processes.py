"""Real processes over gloo: batches, checkpoints that others read, and kill -9 in the midst of training."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import nablax

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
EXAMPLE = ROOT / "examples" / "multiprocess.py"


def run(*command, devices=1, cwd=None):
    """What a Python command prints, with so many forced CPU devices in each process."""
    flags = os.environ.get("XLA_FLAGS", "") + f" --xla_force_host_platform_device_count={devices}"
    env = {
        **os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join(sys.path),
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".cache" / "jax"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, *map(str, command)], env=env, cwd=cwd, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout.splitlines(), done.stderr


LAUNCH = ("-m", "nablax.distributed", "--processes", "2")


def by_rank(lines):
    """The lines of each rank, without its number; those of the library below are left out."""
    return [
        [line[4:] for line in lines if line.startswith(f"[{rank}] ") and "Gloo" not in line]
        for rank in (0, 1)
    ]


# -- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("topologies")
    lines, _ = run(*LAUNCH, "--", HERE / "topologies.py", "save", folder, devices=4)
    return folder, [json.loads(rank[-1]) for rank in by_rank(lines)]


def test_two_processes_join_batches_and_save_and_restore(saved):
    for found in saved[1]:
        assert found["devices"] == 8
        assert found["batch"][:2] == [True, True]
        assert "['x'] has shape (3, 2); its first dimension must be a multiple of 2" in found["batch"][2]
        assert "processes 0 and 1 have the same part of the mesh's axis 'data'" in found["others"]
        for backend in ("files", "orbax"):
            assert found[backend] == {"same": True, "steps": [1, 4]}


def test_each_part_is_written_once(saved):
    held, sizes = saved[1][0]["bytes"]
    assert held < sum(sizes) < held + 2 * 6000  # headers
    assert min(sizes) > held / 3


def test_where_one_process_fails_none_saves(saved):
    first, second = saved[1]
    assert "process 1 failed, nothing was written. OSError: [Errno 27] File too large" in first["full"]
    assert "File too large" in second["full"]
    assert first["left"] == second["left"] == []


def test_folders_that_are_not_shared_are_told(saved):
    for found in saved[1]:
        assert "process 1 does not see what process 0 made; all need the same folder" in found["apart"]


def test_one_process_with_other_devices_reads_what_two_wrote(saved):
    lines, _ = run(HERE / "topologies.py", "load", saved[0], devices=4)
    found = json.loads(lines[-1])
    assert len(found) == 14
    assert all(found.values()), found


# -- training ---------------------------------------------------------------------------------------------------------


def losses(lines):
    """The losses by step, the last attempt's."""
    return {line.split()[1]: line.split()[3] for line in lines if line.startswith("step ")}


def test_kills_change_no_loss(tmp_path):
    one, _ = run(EXAMPLE, "--dir", "one", devices=2, cwd=tmp_path)
    undisturbed, _ = run(*LAUNCH, "--", EXAMPLE, "--dir", "two", cwd=tmp_path)
    expected = losses(one)
    assert len(expected) == 20
    assert losses(by_rank(undisturbed)[0]) == losses(by_rank(undisturbed)[1])
    for step, loss in losses(by_rank(undisturbed)[0]).items():
        np.testing.assert_allclose(float(loss), float(expected[step]), rtol=1e-5)
    kills = ("--kill", "1@7", "--kill", "0@13")  # a worker, then the one that coordinates
    disturbed, err = run(*LAUNCH, "--restarts", "2", "--", EXAMPLE, "--dir", "three", *kills, cwd=tmp_path)
    told = [line for line in err.splitlines() if line.startswith("nablax launch")]
    assert len(told) == 2
    assert "restart 2 of 2" in told[1]
    for rank in by_rank(disturbed):
        assert [line for line in rank if "goes on" in line] == [
            "goes on after step 5",
            "goes on after step 10",
        ]
        assert losses(rank) == losses(by_rank(undisturbed)[0])
    assert nablax.CheckpointManager(tmp_path / "three").all_steps() == [15, 20]


# -- in this process --------------------------------------------------------------------------------------------------


def test_a_process_alone_stays_alone():
    code = """
import jax, nablax
assert nablax.distributed.initialize() is False
assert nablax.distributed.process() == (0, 1)
assert not jax._src.xla_bridge.backends_are_initialized()
print(jax.process_count(), nablax.distributed.exchange("x"))
"""
    assert run("-c", code)[0] == ["1 ['x']"]


def test_arguments_belong_together(monkeypatch):
    with pytest.raises(nablax.ArgumentError, match="belong together, got 'a:1', None, 0"):
        nablax.distributed.initialize("a:1", process_id=0)
    monkeypatch.setenv("NABLAX_COORDINATOR", "a:1")
    monkeypatch.setenv("NABLAX_PROCESSES", "two")
    with pytest.raises(nablax.ArgumentError, match=r"must be integers; got ValueError.*two"):
        nablax.distributed.initialize()


def test_batches_that_do_not_divide_are_refused():
    mesh = jax.make_mesh((1,), ("data",))
    batch = nablax.distributed.make_global_batch({"x": np.ones((3, 2))}, mesh)
    assert batch["x"].shape == (3, 2)
    with pytest.raises(nablax.StructureError, match=r"\['y'\] has shape \(\); its first dimension"):
        nablax.distributed.make_global_batch({"y": np.float32(1)}, mesh)
    with pytest.raises(nablax.ArgumentError, match=r"one of the mesh's \('data'\), got 'model'"):
        nablax.distributed.make_global_batch({"x": np.ones(3)}, mesh, axis="model")


# -- recipes ----------------------------------------------------------------------------------------------------------


def test_the_recipes_run_in_two_processes_and_divide_what_they_say(tmp_path):
    lines, _ = run(*LAUNCH, "--", HERE / "scale_page.py", devices=4, cwd=tmp_path)
    found, other = [json.loads(rank[-1]) for rank in by_rank(lines)]
    assert found == other
    params, bias = 4 * (16 * 64 + 64 + 64 * 8), 4 * 64
    counts = 4
    assert found == {
        "data": [params, 2 * params / 8 + counts],
        "fsdp": [params / 8, 2 * params / 8 + counts],
        "tensor": [params / 2, 2 * (params - bias) / 8 + 2 * bias / 2 + counts],
    }
