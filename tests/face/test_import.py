"""Importing nablax, and making a transformation, starts no device: programs configure JAX afterwards."""

import subprocess
import sys

PROGRAM = """
import jax, nablax, nablax.optax, nablax.games, nablax.autograd
weight = nablax.autograd.Parameter([1.0, 2.0])
txs = [nablax.adamw(1e-3), nablax.sophia(0.1), nablax.lbfgs(), nablax.transforms.add_noise(0.1, 0.5, 0)]
jax.config.update("jax_num_cpu_devices", 3)  # refused once a backend runs
assert jax.device_count() == 3
"""


def test_no_device_is_started():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-1500:]
