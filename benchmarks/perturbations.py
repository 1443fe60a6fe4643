"""make_perturbed_fun against Optax: time, variance and memory for the same number of samples.

python benchmarks/perturbations.py            about two minutes
python benchmarks/perturbations.py --only 1   one of its parts, which are dimensions and memory
python benchmarks/perturbations.py --quick    a smoke check

Times are of one compiled value-and-gradient. Variances are sums over the gradient's entries. Memory is the temporary
memory of the compiled program (`memory_analysis`), of a value-and-gradient with 100,000 samples.
"""

import jax
import jax.numpy as jnp
import optax.perturbations as peer

import nablax.perturbations as ours
from harness import arguments, medians, milliseconds, table, times, where

PROBLEMS = {
    "linear": lambda x: jnp.sum(x),
    "quadratic": lambda x: jnp.sum(x * x) + x[0] * x[-1],
    "relu": lambda x: jnp.sum(jax.nn.relu(x)),
}


def value_and_grad(module, fun, samples, **options):
    return jax.jit(jax.value_and_grad(module.make_perturbed_fun(fun, samples, 0.1, **options), 1))


def variance(f, x, repeats):
    gradients = jax.lax.map(lambda k: f(k, x)[1], jax.random.split(jax.random.key(1), repeats))
    return float(jnp.sum(jnp.var(gradients, 0)))


def main():
    options = arguments(__doc__ or "", ("1", "10", "100", "memory"))
    only = options.only or (["10", "memory"] if options.quick else ["1", "10", "100", "memory"])
    quick = options.quick
    samples, rounds, repeats = (50, 3, 20) if quick else (1000, 200, 400)
    key = jax.random.key(0)
    rows = []
    for d in [int(name) for name in only if name != "memory"]:
        x = jnp.linspace(-0.2, 1.0, d)
        for name, fun in PROBLEMS.items():
            theirs, mine = (value_and_grad(m, fun, samples) for m in (peer, ours))
            got = medians(
                {"ours": lambda f=mine, x=x: f(key, x), "optax": lambda f=theirs, x=x: f(key, x)},
                options.rounds or rounds,
            )
            ratio = variance(theirs, x, repeats) / max(variance(mine, x, repeats), 1e-30)
            rows.append(
                [
                    f"{name}, d = {d}",
                    *(milliseconds(got[who]) for who in ("ours", "optax")),
                    times(got["optax"] / got["ours"]),
                    "exact" if ratio > 1e6 else times(ratio),
                ]
            )
    header = ["problem", "nablax", "Optax", "faster by", "variance lower by"]
    if rows:
        table(f"make_perturbed_fun, {samples} samples, default settings", header, rows)
    if "memory" in only:
        memory(quick, key)
    print(f"\n{where()}")


def memory(quick, key):
    many = 2000 if quick else 100_000
    x = jnp.linspace(-0.2, 1.0, 10 if quick else 100)
    sizes = {}
    for label, batch in (("unbatched", None), ("batch_size=64", 64)):
        f = value_and_grad(ours, PROBLEMS["relu"], many, batch_size=batch)
        sizes[label] = f.lower(key, x).compile().memory_analysis().temp_size_in_bytes
    rows = [
        [label, f"{size / 1e6:.3f} MB", f"{100 * size / sizes['unbatched']:.2f} %"]
        for label, size in sizes.items()
    ]
    table(f"Temporary memory, value and gradient, {many:,} samples", ["", "memory", "share"], rows)


if __name__ == "__main__":
    main()
