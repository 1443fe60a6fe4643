"""What a result depends on besides its options: versions and platform."""

from __future__ import annotations

import importlib.metadata
import os
import platform

import jax


def environment() -> dict[str, str]:
    """Versions of what computed, and where."""
    device = jax.devices()[0]
    return {
        **{name: _version(name) for name in ("nablax", "jax", "jaxlib", "numpy", "scikit-learn")},
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": f"{platform.machine()}, {os.cpu_count()} logical cores",
        "device": device.device_kind
        if device.platform == "cpu"
        else f"{device.platform}: {device.device_kind}",
        "x64": str(jax.config.read("jax_enable_x64")),
    }


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
