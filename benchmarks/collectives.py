"""How communication grows: collectives of a data-parallel step, read from the programs compiled for 2 to 64 devices.

    python benchmarks/collectives.py             prints the tables of docs/performance.md
    python benchmarks/collectives.py --figure F  draws docs/figures/collectives.png, too

Nothing runs: a program is compiled for forced CPU devices, and its text is counted. Each number of devices takes a
process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

DEVICES = (2, 4, 8, 16, 32, 64)
OPTIMIZERS = ("adamw", "adafactor", "clip_by_global_norm", "muon")
WIDTH, HIDDEN, LAYERS = 256, 1024, 8


def compiled_for(
    devices: int, layers: int = LAYERS, optimizers: tuple[str, ...] = OPTIMIZERS
) -> dict[str, dict]:
    """By optimizer and layout: count and bytes of each kind of collective, and bytes of parameters."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import AxisType, NamedSharding
    from jax.sharding import PartitionSpec as P

    import nablax
    from hlo import collectives

    mesh = jax.make_mesh((devices,), ("data",), axis_types=(AxisType.Auto,))
    txs = {
        "adamw": nablax.adamw(1e-3),
        "adafactor": nablax.adafactor(1e-3),
        "clip_by_global_norm": nablax.chain(nablax.clip_by_global_norm(1.0), nablax.sgd(1e-3, momentum=0.9)),
        "muon": nablax.muon(1e-3),
    }

    def array(shape, spec):
        return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=NamedSharding(mesh, spec))

    layer = {
        "up": array((WIDTH, HIDDEN), P()),
        "bias": array((HIDDEN,), P()),
        "down": array((HIDDEN, WIDTH), P()),
    }
    params = [layer] * layers
    batch = array((2 * devices, WIDTH), P("data"))

    def loss(params, x):
        for layer in params:
            x = x + jnp.tanh(x @ layer["up"] + layer["bias"]) @ layer["down"]
        return jnp.mean(x**2)

    found = {}
    for name in optimizers:
        for layout, where in (("replicated", None), ("sharded", mesh)):
            shapes = jax.eval_shape(txs[name].init, params)
            places = nablax.state_shardings(txs[name], params, mesh)
            if where is None:
                places = jax.tree.map(lambda _: NamedSharding(mesh, P()), places)
            state = jax.tree.map(
                lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, places
            )
            step = nablax.train_step(loss, txs[name], metrics=False, mesh=where)
            read = collectives(step.lower(params, state, batch).compile().as_text())
            found[f"{name} {layout}"] = {"count": read.count, "sent": read.sent}
    found["parameters"] = sum(4 * x.size for x in jax.tree.leaves(params))
    return found


def measured(devices: int) -> dict[str, dict]:
    """`compiled_for` in a process that is told of so many devices."""
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    env = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, __file__, "--devices", str(devices)],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def law(points: dict[int, float]) -> tuple[float, float, float]:
    """The c and d of (n-1)/n (c + d ceil(m/n)/m) that fit best, and the largest relative error.

    A gradient or a parameter that goes round costs (n-1)/n of its bytes. Of m matrices of one size, two a layer, a
    device gets at most ceil(m/n), and sends as many away.
    """
    import numpy as np

    n = np.array(list(points), float)
    y = np.array(list(points.values()))
    m = 2 * LAYERS
    basis = ((n - 1) / n)[:, None] * np.stack([np.ones_like(n), np.ceil(m / n) / m], 1)
    best, *_ = np.linalg.lstsq(basis, y, rcond=None)
    return float(best[0]), float(best[1]), float(np.max(np.abs(basis @ best - y) / y))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, help="print what one number of devices compiles to, as JSON")
    parser.add_argument("--figure", help="where to draw")
    parser.add_argument("--quick", action="store_true", help="2 and 4 devices only")
    given = parser.parse_args()
    if given.devices:
        print(json.dumps(compiled_for(given.devices)))
        return
    sizes = DEVICES[:2] if given.quick else DEVICES
    found = {n: measured(n) for n in sizes}
    size = found[sizes[0]]["parameters"]
    rows = [key for key in found[sizes[0]] if key != "parameters"]
    print(f"Megabytes that a device sends in a step; the parameters are {size / 1e6:.2f} MB.\n")
    print("| | " + " | ".join(map(str, sizes)) + " | c | d | error |")
    print("|---|" + "---|" * (len(sizes) + 3))
    totals = {key: {n: sum(found[n][key]["sent"].values()) for n in sizes} for key in rows}
    for key in rows:
        c, d, error = law(totals[key])
        cells = " | ".join(f"{totals[key][n] / 1e6:.2f}" for n in sizes)
        print(f"| {key} | {cells} | {c / size:.2f} | {abs(d) / size:.2f} | {100 * error:.1f}% |")
    print(f"\nCollectives of a step, for {sizes[0]} and for {sizes[-1]} devices.\n")
    print("| | " + " | ".join(f"{n} devices" for n in (sizes[0], sizes[-1])) + " |\n|---|---|---|")
    for key in rows:
        print(
            f"| {key} | " + " | ".join(_kinds(found[n][key]["count"]) for n in (sizes[0], sizes[-1])) + " |"
        )
    if given.figure:
        draw(totals, size, given.figure)


def _kinds(count: dict[str, int]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in sorted(count.items())) or "none"


def draw(totals: dict[str, dict[int, float]], size: int, path: str) -> None:
    """Bytes that a device sends, over those of the parameters, against the number of devices."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for i, name in enumerate(OPTIMIZERS):  # curves that coincide show as rings around each other
        for layout, style in (("replicated", "o--"), ("sharded", "s-")):
            points = totals[f"{name} {layout}"]
            axes.plot(
                list(points), [y / size for y in points.values()], style, color=f"C{i}", label=f"{name}, {layout}",
                markersize=13 - 3 * i, fillstyle="none", linewidth=1,
            )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(points), list(map(str, points)))
    axes.set(xlabel="devices", ylabel="bytes sent / bytes of parameters", ylim=(0, None))
    axes.legend(fontsize=7, ncols=2, markerscale=0.5)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
