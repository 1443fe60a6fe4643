"""Settings that every test shares."""

import gc
import os
from pathlib import Path

# Most of the run's time is XLA's compiler, and no test is large enough to win back what its optimizer costs.
# Nor is one large enough to be cut into parts for several threads: each part costs as much again as a small program.
# Without both a program compiles in about a third of the time; XLA_FLAGS= in the environment runs the tests under
# the settings that users have.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"
    " --xla_cpu_parallel_codegen_split_count=1",
)

import jax
from hypothesis import HealthCheck, settings

import contexts

if os.environ["XLA_FLAGS"]:
    contexts.keep()

# JAX keeps millions of objects alive: looking through them for garbage as often as Python does costs minutes.
gc.set_threshold(200_000, 20, 100)

_CACHE = Path(__file__).parent.parent / ".cache" / "jax"
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

settings.register_profile(
    "nablax",
    deadline=None,
    derandomize=True,
    max_examples=20,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "nablax"))
