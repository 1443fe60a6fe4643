"""make_perturbed_fun against Optax: time, variance and memory for the same number of samples.

    python benchmarks/perturbations.py [--quick]

Times are medians of interleaved runs of one compiled value-and-gradient. Variances are sums over the
gradient's entries. Memory is the temporary memory of the compiled program (`memory_analysis`), of a
value-and-gradient with 100,000 samples.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import optax.perturbations as peer

import nablax.perturbations as ours

PROBLEMS = {
    "linear": lambda x: jnp.sum(x),
    "quadratic": lambda x: jnp.sum(x * x) + x[0] * x[-1],
    "relu": lambda x: jnp.sum(jax.nn.relu(x)),
}


def value_and_grad(module, fun, samples, **options):
    return jax.jit(jax.value_and_grad(module.make_perturbed_fun(fun, samples, 0.1, **options), 1))


def times(functions, arguments, rounds):
    """The median seconds of each function, all of them called in turn."""
    for f in functions:
        jax.block_until_ready(f(*arguments))
    seen = [[] for _ in functions]
    for _ in range(rounds):
        for f, out in zip(functions, seen, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(f(*arguments))
            out.append(time.perf_counter() - start)
    return [statistics.median(s) for s in seen]


def variance(f, x, repeats):
    gradients = jax.lax.map(lambda k: f(k, x)[1], jax.random.split(jax.random.key(1), repeats))
    return float(jnp.sum(jnp.var(gradients, 0)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="a smoke check of a few seconds; the numbers mean nothing"
    )
    quick = parser.parse_args().quick
    samples, rounds, repeats = (50, 3, 20) if quick else (1000, 200, 400)
    key = jax.random.key(0)

    print(
        f"{samples} samples, default settings       time optax    ours   ratio    variance ratio (Optax / "
        "ours)"
    )
    for d in (10,) if quick else (1, 10, 100):
        x = jnp.linspace(-0.2, 1.0, d)
        for name, fun in PROBLEMS.items():
            theirs, mine = (value_and_grad(m, fun, samples) for m in (peer, ours))
            a, b = times([theirs, mine], (key, x), rounds)
            ratio = variance(theirs, x, repeats) / max(variance(mine, x, repeats), 1e-30)
            print(
                f"{name:10} d = {d:4}             {1e3 * a:9.3f} ms {1e3 * b:7.3f} ms {a / b:6.2f}x   "
                f"{ratio:9.1f}"
            )

    many = 2000 if quick else 100_000
    x = jnp.linspace(-0.2, 1.0, 10 if quick else 100)
    print(f"\n{many} samples, temporary memory of value and gradient")
    sizes = {}
    for label, batch in (("unbatched", None), ("batch_size=64", 64)):
        f = value_and_grad(ours, PROBLEMS["relu"], many, batch_size=batch)
        sizes[label] = f.lower(key, x).compile().memory_analysis().temp_size_in_bytes
        print(f"{label:15} {sizes[label] / 1e6:10.3f} MB")
    print(f"share           {100 * sizes['batch_size=64'] / sizes['unbatched']:10.2f} %")


if __name__ == "__main__":
    main()
