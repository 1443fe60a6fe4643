"""`nablax doctor`: what is installed, what JAX sees, and whether it computes."""

from __future__ import annotations

import importlib.metadata
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np

import nablax

from .._environment import environment

EXTRAS = {
    "workbench": ("scikit-learn", "scipy", "matplotlib", "rich", "click"),
    "checkpoint": ("orbax-checkpoint", "safetensors"),
}
_CLIENTS = ("flax", "equinox", "optax", "torch")


@click.command("doctor", short_help="Versions, devices, extras, and a short self-test.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """Say what is installed and what JAX sees, and test in about five seconds that it computes.

    Exit code 1 where a test failed.
    """
    found = {
        "versions": environment(),
        "jax": _jax(),
        "extras": {extra: _installed(names) for extra, names in EXTRAS.items()},
        "others": _installed(_CLIENTS),
    }
    began = time.perf_counter()
    tests = {name: _tried(test) for name, test in TESTS.items()}
    report = {**found, "tests": tests, "seconds": round(time.perf_counter() - began, 2)}
    well = all(test == "ok" for test in tests.values())
    if as_json:
        click.echo(json.dumps({**report, "well": well}))
    else:
        _show(report)
    if not well:
        context.exit(1)


def _jax() -> dict[str, Any]:
    folder = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    programs = len(list(Path(folder).glob("*-cache"))) if folder else 0
    return {
        "devices": [f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices()],
        "x64": bool(jax.config.read("jax_enable_x64")),
        "compilation cache": f"{folder}, {programs} programs" if folder else "off",
        "kernels": f"XLA's, for {jax.default_backend()}",
    }


def _installed(names: tuple[str, ...]) -> dict[str, str]:
    def version(name: str) -> str:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return "missing"

    return {name: version(name) for name in names}


def _tried(test: Callable[[], bool]) -> str:
    try:
        return "ok" if test() else "wrong result"
    except Exception as error:  # whatever is broken on this machine
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _steps_by_hand() -> bool:
    """Gradient descent on a parabola: after n steps at rate r, (1 - 2 r)^n of the distance is left."""
    opt = nablax.Optimizer(nablax.sgd(0.1), {"w": jnp.full(3, 2.0)})
    for _ in range(5):
        opt.step({"w": 2 * opt.params["w"]})
    return bool(np.allclose(opt.params["w"], 2 * 0.8**5, rtol=1e-5))


def _adam_is_scale_free() -> bool:
    """Adam's first step is the learning rate, whatever the scale of the gradient."""
    tx, params = nablax.adamw(1e-2, weight_decay=0.0), jnp.zeros(2)
    update, _ = jax.jit(tx.update)(jnp.asarray([1e-3, 1e3]), tx.init(params), params)
    return bool(np.allclose(update, -1e-2, rtol=1e-3))


def _autograd() -> bool:
    """d/dx sum x^3 = 3 x^2."""
    x = nablax.autograd.tensor([1.0, 2.0], requires_grad=True)
    (x**3).sum().backward()
    return bool(np.allclose(np.asarray(x.grad), [3.0, 12.0]))


def _files() -> bool:
    """An optimizer comes back from its file."""
    import tempfile

    tx, params = nablax.adam(1e-2), {"w": jnp.ones(2)}
    with tempfile.TemporaryDirectory() as folder:
        one, two = nablax.Optimizer(tx, params), nablax.Optimizer(tx, params)
        one.step(params)
        one.save(Path(folder) / "run.safetensors")
        two.load(Path(folder) / "run.safetensors")
        return bool(np.array_equal(one.params["w"], two.params["w"]))


TESTS: dict[str, Callable[[], bool]] = {
    "compiled steps": _steps_by_hand,
    "transformations": _adam_is_scale_free,
    "autograd": _autograd,
    "saving and loading": _files,
}


def _show(report: dict[str, Any]) -> None:
    for title in ("versions", "jax", "extras", "others", "tests"):
        click.secho(title, bold=True)
        for name, value in report[title].items():
            if isinstance(value, dict):
                missing = [package for package, version in value.items() if version == "missing"]
                value = ", ".join(f"{package} {version}" for package, version in value.items())
                value += f"   (pip install 'nablax[{name}]')" if missing else ""
            colour = None if title != "tests" else "green" if value == "ok" else "red"
            shown = ", ".join(value) if isinstance(value, list) else str(value)
            click.echo(f"  {name:20}  {click.style(shown, fg=colour)}")
    click.echo(f"tested in {report['seconds']} s")
