"""`initialize`: this process becomes one of several."""

from __future__ import annotations

import os
from typing import Any

import jax

from nablax.core import ArgumentError

_ALONE = "coordinator_address should be defined"  # what JAX says where no cluster is found


def initialize(
    coordinator_address: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    **options: Any,
) -> bool:
    """Joins the other processes of a run; the first thing that a program does, before JAX looks for devices.

    It is told where the others are by the arguments, else by the environment that `nablax launch` sets, else by what
    JAX finds out itself (SLURM, Open MPI, Kubernetes, Cloud TPU). Where nothing tells of others, the process stays
    alone, so that one script serves both.

    Args:
      coordinator_address: `host:port` of process 0.
      num_processes: how many there are.
      process_id: which one this is, from 0.
      **options: for `jax.distributed.initialize`, such as `initialization_timeout` and `heartbeat_timeout_seconds`.

    Returns:
      Whether there are others. `jax.process_index()` and `jax.process_count()` tell the rest.

    Raises:
      ArgumentError: some of the three arguments without the others; or an environment that is not what
        `nablax launch` writes.
      RuntimeError: JAX's, where the others do not come, or it was called before.
    """
    given = (coordinator_address, num_processes, process_id)
    if all(x is None for x in given):
        given = _launched()
        if given[0] is not None:  # nothing is left to find out
            options = {"cluster_detection_method": "deactivate", **options}
    elif any(x is None for x in given):
        raise ArgumentError(
            "distributed.initialize: coordinator_address, num_processes and process_id belong together, got "
            f"{coordinator_address!r}, {num_processes!r}, {process_id!r}."
        )
    try:
        jax.distributed.initialize(*given, **options)
    except ValueError as e:
        if given[0] is None and _ALONE in str(e):
            return False
        raise
    return True


def _launched() -> tuple[str | None, int | None, int | None]:
    """What `nablax launch` wrote into the environment; Nones without it."""
    address = os.environ.get("NABLAX_COORDINATOR")
    if address is None:
        return None, None, None
    try:
        return address, int(os.environ["NABLAX_PROCESSES"]), int(os.environ["NABLAX_PROCESS"])
    except (KeyError, ValueError) as e:
        raise ArgumentError(
            "distributed.initialize: beside NABLAX_COORDINATOR, NABLAX_PROCESSES and NABLAX_PROCESS must be "
            f"integers; got {e!r}."
        ) from e
