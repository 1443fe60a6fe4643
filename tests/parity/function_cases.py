"""One table: functions of arrays, called alike in nablax and in Optax."""

import jax
import jax.numpy as jnp
import optax

from parity.stepping import table

TREE = {"w": (2, 3), "v": (3,), "s": ()}


def _spd(m):
    """A positive definite matrix of the same kind."""
    return m @ m.conj().T / m.shape[0] + jnp.eye(m.shape[0], dtype=m.dtype)


def _apart(m):
    """A symmetric matrix whose eigenvalues lie apart, so that its first eigenvector is well determined."""
    return jnp.diag(jnp.array([1.0, 2.0, 8.0], m.dtype)) + 0.1 * (m + m.T)


def _slope(function, x):
    """The gradient of the sum of what a function gives, which must be real."""
    return jax.grad(lambda x: sum(map(jnp.sum, jax.tree.leaves(function(x)))))(x)


def _root(o, m, p):
    tolerance = 1e-7 if m.dtype == jnp.float32 else 0.0
    return o.matrix_inverse_pth_root(m, p, ridge_epsilon=1e-4, error_tolerance=tolerance)[0]


def _matrix_step(o, x):
    return o.unitwise_clip(o.unitwise_norm(x), 0.3 * jnp.ones_like(x.real), x)


# Functions of the library, a 3 x 3 matrix, two trees.
CASES = table(
    ("apply_updates", lambda o, m, x, y: o.apply_updates({**x, "n": jnp.int32(3)}, {**y, "n": 1.0})),
    ("global_norm", lambda o, m, x, y: [o.global_norm(x), _slope(o.global_norm, m)]),
    ("incremental_update", lambda o, m, x, y: o.incremental_update(x, y, 0.3)),
    (
        "init_empty_state",
        lambda o, m, x, y: [type(o.init_empty_state(x)).__name__ == "EmptyState", *o.init_empty_state(x)],
    ),
    (
        "matrix_inverse_pth_root",
        lambda o, m, x, y: [_root(o, _spd(m.real), p) for p in (1, 2, 4)],
    ),
    (
        "multi_normal",
        lambda o, m, x, y: [
            o.multi_normal(m[0].real, x["v"].real).log_prob(y["v"].real),
            o.multi_normal(m[0].real, x["v"].real).sample((2,), jax.random.key(3)),
            *o.multi_normal(m[0].real, x["v"].real).params,
            o.multi_normal(m[0].real, x["v"].real).log_scale,
        ],
    ),
    ("nnls", lambda o, m, x, y: o.nnls(_spd(m).real, m[0].real, iters=400)),
    (
        "per_example_global_norm_clip",
        lambda o, m, x, y: o.per_example_global_norm_clip([m, 0.1 * m[:, :, None] * m], 0.7),
    ),
    (
        "per_example_layer_norm_clip",
        lambda o, m, x, y: [
            o.per_example_layer_norm_clip([m, 0.1 * m[:, :, None] * m], 0.7),
            o.per_example_layer_norm_clip([m, m], 2.0, uniform=False),
        ],
    ),
    ("periodic_update", lambda o, m, x, y: [o.periodic_update(x, y, jnp.int32(t), 3) for t in (3, 4)]),
    (
        "power_iteration",
        lambda o, m, x, y: o.power_iteration(_apart(m.real), num_iters=80, error_tolerance=-1.0),
    ),
    (
        "safe_increment safe_int32_increment",
        lambda o, m, x, y: [
            [f(jnp.int32(4)), f(jnp.int32(2**31 - 1)), f(jnp.uint8(255)), f(jnp.float32(0.5)), f(jnp.full(2, jnp.inf))]
            for f in (o.safe_increment, o.safe_int32_increment)
        ],
    ),
    (
        "safe_norm",
        lambda o, m, x, y: [
            *(o.safe_norm(m, low) for low in (0.1, 100.0)),
            o.safe_norm(x["v"], 0.1, ord=1),
            o.safe_norm(m, 1.5, axis=1, keepdims=True),
            o.safe_norm(m, 1.5, jnp.inf, axis=0),
            _slope(lambda m: o.safe_norm(m, 1.5, axis=0), m),
            _slope(lambda m: o.safe_norm(m, 0.5), 0 * m),
        ],
    ),
    (
        "safe_root_mean_squares",
        lambda o, m, x, y: [
            *(o.safe_root_mean_squares(m, low) for low in (0.1, 100.0)),
            *(_slope(lambda m: o.safe_root_mean_squares(m, 0.1), by * m) for by in (0, 1)),
        ],
    ),
    (
        "scale_gradient",
        lambda o, m, x, y: [
            [o.scale_gradient(x, s), _slope(lambda x, s=s: optax.tree.norm(o.scale_gradient(x, s)), x)]
            for s in (0.5, 0.0, 1.0)
        ],
    ),
    (
        "schedule_free_eval_params",
        lambda o, m, x, y: o.schedule_free_eval_params(
            o.ScheduleFreeState(
                b1=jnp.float32(0.8), weight_sum=1.0, step_count=1, max_lr=1.0, base_optimizer_state=(), z=x
            ),
            y,
        ),
    ),
    ("skip_large_updates", lambda o, m, x, y: [o.skip_large_updates(x, 0, y, bound) for bound in (0.1, 1e3)]),
    ("skip_not_finite", lambda o, m, x, y: [o.skip_not_finite(t, 0, y) for t in (x, {**x, "s": x["s"] / 0})]),
    (
        "unitwise_clip",
        lambda o, m, x, y: [
            _matrix_step(o, m), _matrix_step(o, m[0]), _matrix_step(o, m[:, :, None, None] * x["v"]),
            o.unitwise_clip(jnp.zeros(3), -jnp.ones(3), m[0], 0.1),
        ],
    ),
    (
        "unitwise_norm",
        lambda o, m, x, y: [
            o.unitwise_norm(g) for g in (x["s"], m[0], m[:1], m, m[:, :, None] * m, m[:, :, None, None] * m)
        ] + [o.unitwise_norm(m, axis=1)],
    ),
)  # fmt: skip

NOT_COMPLEX = {"skip_large_updates"}  # Optax squares the entries where their size is meant
FLOAT64 = {"matrix_inverse_pth_root": 1e-7}  # the ridge is relative to an eigenvalue that is known to 1e-6
