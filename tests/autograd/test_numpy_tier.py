"""The first tier on CPU: NumPy's results beside XLA's, operation by operation and derivative by derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd
from nablax.autograd._operation._numpy import Lowered

RNG = np.random.default_rng(0)
LINES = jnp.array([2, 0, 2, -1])


def f(*shape, low=-3.0, high=3.0, dtype=np.float32):
    return RNG.uniform(low, high, shape).astype(dtype)


def i(*shape, low=-9, high=9, dtype=np.int32):
    return RNG.integers(low, high, shape).astype(dtype)


def b(*shape):
    return RNG.integers(0, 2, shape).astype(bool)


def c(*shape):
    return (f(*shape) + 1j * f(*shape)).astype(np.complex64)


ODD = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30, 3e38, -1.0, 0.5, 2.5, -0.5, 1.5], np.float32)
INTS = np.array([0, 1, -1, 7, -7, 2**31 - 1, -(2**31), 3, -3], np.int32)
BY = np.array([2, 0, 2, 3, 3, -1, -1, -5, 0], np.int32)

# What must not need XLA: a function and its arguments.
NATIVE = {
    "zero elsewhere": (
        lambda x: (jnp.where(x > 0.5, x, 0.0), jnp.where(x > 0.5, 0.0, x)),
        (np.tile(np.float32([1, np.inf, np.nan, -2]), 99),),
    ),
    **{
        name: (getattr(jnp, name), (f(3, 4, low=0.1, high=0.9),))
        for name in (
            "exp", "exp2", "log", "log1p", "expm1", "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh",
            "tanh", "arcsinh", "arctanh", "sqrt", "cbrt", "floor", "ceil", "square", "reciprocal", "negative", "abs",
            "sign", "isfinite", "isnan", "rint", "trunc", "ravel", "transpose", "sum", "mean", "max", "min", "prod",
            "std", "var", "argmax", "argmin", "cumsum", "cumprod", "sort", "argsort", "any", "all", "flip", "diff",
            "median", "real", "conj", "ptp", "isinf", "nan_to_num",
        )
    },
    **{
        f"{name} of odd numbers": (getattr(jnp, name), (ODD,))
        for name in ("exp", "log", "tanh", "sqrt", "sign", "abs", "floor", "ceil", "rint", "isfinite", "max", "min",
                     "argmax", "argmin", "sort", "argsort", "sum", "square", "negative", "isnan", "nan_to_num")
    },
    **{
        f"{name} of two": (getattr(jnp, name), (f(3, 4), f(4)))
        for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "arctan2", "nextafter", "fmod",
                     "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "floor_divide",
                     "remainder", "logaddexp", "hypot", "copysign")
    },
    **{
        f"{name} of integers": (getattr(jnp, name), (INTS, BY))
        for name in ("add", "subtract", "multiply", "maximum", "minimum", "floor_divide", "remainder", "fmod",
                     "bitwise_and", "bitwise_or", "bitwise_xor", "less", "equal")
    },
    "lax.div of integers": (jax.lax.div, (INTS, BY)),
    "lax.rem of integers": (jax.lax.rem, (INTS, BY)),
    "odd with odd": (lambda x: (jnp.maximum(x[:, None], x), x[:, None] < x), (ODD,)),
    "logistic": (jax.nn.sigmoid, (np.array([-200.0, -3.0, 0.0, 3.0, 200.0], np.float32),)),
    "power": (lambda x: (x**2, x**3, x**-1, x**-2, x**5, x**0.5), (f(5, low=0.1),)),
    "power of arrays": (jnp.power, (f(5, low=0.1), f(5))),
    "integer power": (lambda x: x**3, (i(5),)),
    "clip": (lambda x: jnp.clip(x, -1, 1), (f(5),)),
    "where": (lambda p, x, y: jnp.where(p, x, y), (b(3, 4), f(3, 4), f(4))),
    "where of a scalar": (lambda p, x, y: jnp.where(p, x, y), (np.bool_(True), f(3, 4), f(3, 4))),
    "bitcast": (lambda x: jax.lax.bitcast_convert_type(x, jnp.int32), (f(3),)),
    "shifts": (
        lambda x, y: [
            shift(x, y) for shift in (jax.lax.shift_left, jax.lax.shift_right_logical, jax.lax.shift_right_arithmetic)
        ],
        (np.array([5, -5, 5, -5, 5, -5, 2**31 - 1], np.int32), np.array([1, 1, 31, 32, 40, -1, 0], np.int32)),
    ),
    "round away": (jax.lax.round, (np.append(ODD, np.float32(0.49999997)),)),
    "not": (lambda x: (~x, x & True, x | False, x ^ True), (b(6),)),
    "to integers": (
        lambda x: (x.astype(jnp.int32), x.astype(jnp.int8), x.astype(jnp.uint8), x.astype(bool)),
        (np.append(ODD, [1e10, -1e10, 300.7, -2.9]).astype(np.float32),),
    ),
    "integers to others": (lambda x: (x.astype(jnp.float32), x.astype(jnp.int8), x.astype(bool)), (INTS,)),
    "complex": (
        lambda x: (x + 1, x * x, x / (x + 2), x.real, x.imag, x.conj(), -x, jnp.sum(x), abs(x)), (c(3, 2),)
    ),
    "complex of two": (jax.lax.complex, (f(3), f(3))),
    "half": (lambda x, y: (x + y, x * 2, x @ y.T, x.sum(), jnp.tanh(x)), (f(3, 4, dtype=np.float16),) * 2),
    "half sum": (lambda x: x.sum(), (np.full(5000, 0.1, np.float16),)),
    "matmul": (jnp.matmul, (f(3, 4), f(4, 5))),
    "matmul batched": (jnp.matmul, (f(2, 3, 4), f(2, 4, 5))),
    "matmul broadcast": (jnp.matmul, (f(2, 3, 4), f(4, 5))),
    "matmul vector": (lambda a, v: (a @ v, v @ a.T, v @ v), (f(3, 4), f(4))),
    "matmul integers": (jnp.matmul, (i(3, 4), i(4, 5))),
    "einsum": (lambda x, y: jnp.einsum("bhqd,bhkd->bhqk", x, y), (f(2, 3, 4, 5), f(2, 3, 6, 5))),
    "einsum turned": (lambda x, y: jnp.einsum("abc,cbd->da", x, y), (f(2, 3, 4), f(4, 3, 5))),
    "tensordot": (lambda x, y: jnp.tensordot(x, y, ([0, 2], [1, 0])), (f(2, 3, 4), f(4, 2, 5))),
    "outer": (jnp.outer, (f(3), f(4))),
    "reshape": (lambda x: (x.reshape(2, 6), x[None], x.T, jnp.swapaxes(x, 0, 1), x.squeeze()), (f(3, 4),)),
    "broadcast": (lambda x: jnp.broadcast_to(x, (5, 3, 4)), (f(3, 4),)),
    "broadcast of many": (lambda x: jnp.broadcast_to(x, (5000, 3)), (f(3),)),
    "slices": (lambda x: (x[1:], x[::2], x[::-1], x[:, 1], x[..., -1], x[1, 2]), (f(4, 6),)),
    "concatenate": (lambda x, y: (jnp.concatenate([x, y]), jnp.stack([x, x])), (f(3, 4), f(2, 4))),
    "split": (lambda x: jnp.split(x, [1, 3], axis=1), (f(3, 4),)),
    "pad": (lambda x: (jnp.pad(x, 1), jnp.pad(x, ((2, 0), (0, 1)), constant_values=3)), (f(3, 4),)),
    "lax.pad": (
        lambda x: [
            jax.lax.pad(x, jnp.float32(9), config)
            for config in (((1, 2, 1),), ((-1, 3, 2),), ((-4, -3, 1),), ((2, -2, 0),), ((-5, 1, 0),), ((0, -5, 3),))
        ],
        (f(5),),
    ),
    "tile": (lambda x: (jnp.tile(x, (2, 3)), jnp.repeat(x, 2, 0)), (f(3, 4),)),
    "iota": (lambda x: x + jnp.arange(4), (f(3, 4),)),
    "tril": (lambda x: (jnp.tril(x), jnp.triu(x, 1), jnp.eye(4) * x), (f(4, 4),)),
    "roll": (lambda x: jnp.roll(x, 1, 0), (f(3, 4),)),
    "reductions": (
        lambda x: (x.sum(0), x.sum((0, 2)), x.max(1), x.min(-1), x.mean((1, 2)), x.prod(2), x.argmax(1)), (f(2, 3, 4),)
    ),
    "integer reductions": (lambda x: (x.sum(0), x.prod(1), x.max(), x.argmin(0)), (i(3, 4, dtype=np.int8),)),
    "scans": (
        lambda x: (jnp.cumsum(x, 1), jax.lax.cummax(x, 0), jax.lax.cummin(x, 1), jax.lax.cumsum(x, 0, reverse=True)),
        (f(3, 4),),
    ),
    "sort by another": (lambda x, y: jax.lax.sort((x, y), num_keys=1), (i(8), f(8))),
    "take": (lambda x: (x[LINES], x[:, jnp.array([1, 1])], jnp.take(x, LINES, 0)), (f(3, 4),)),
    "take outside": (
        lambda x: (jnp.take(x, jnp.array([5, 0]), 0), x.at[jnp.array([7, 1])].get(mode="clip")), (f(3, 4),)
    ),
    "take pairs": (lambda x: x[jnp.array([0, 2]), jnp.array([3, 1])], (f(3, 4),)),
    "take from the middle": (lambda x: x[:, jnp.array([[0, 2], [1, 1]])], (f(3, 4, 2),)),
    "take by place": (lambda x: x[jnp.array(1), :, 2:], (f(3, 4, 5),)),
    "take_along_axis": (lambda x, k: jnp.take_along_axis(x, k, 1), (f(3, 4), i(3, 2, low=0, high=4))),
    "write": (
        lambda x: (x.at[LINES].set(1), x.at[LINES].add(2), x.at[LINES, 1].multiply(3), x.at[:, LINES].min(0)),
        (f(3, 4),),
    ),
    "write outside": (lambda x: x.at[jnp.array([5, 0])].add(1), (f(3, 4),)),
    "write many": (lambda x, v: x.at[LINES].max(v), (f(3, 4), f(4, 4))),
    "dynamic_slice": (lambda x, k: jax.lax.dynamic_slice(x, (k, k), (2, 3)), (f(4, 5), np.int32(3))),
    "dynamic_update_slice": (
        lambda x, y, k: jax.lax.dynamic_update_slice(x, y, (k, k)), (f(4, 5), f(2, 3), np.int32(3))
    ),
    "one_hot": (lambda k: jax.nn.one_hot(k, 5), (i(4, low=0, high=5),)),
    "softmax": (lambda x: (jax.nn.softmax(x), jax.nn.log_softmax(x, 0), jax.nn.logsumexp(x)), (f(3, 4),)),
    "activations": (
        lambda x: (jax.nn.relu(x), jax.nn.silu(x), jax.nn.elu(x), jax.nn.softplus(x), jax.nn.leaky_relu(x),
                   jax.nn.gelu(x, approximate=True)), (f(3, 4),)
    ),
    "norm": (lambda x: (jnp.linalg.norm(x), jnp.linalg.norm(x, axis=1)), (f(3, 4),)),
    "layer norm": (
        lambda x, g: (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5) * g, (f(3, 4), f(4))
    ),
    "convolution": (lambda x, k: jax.lax.conv(x, k, (1, 1), "SAME"), (f(2, 2, 5, 6), f(3, 2, 3, 3))),
    "convolution with strides": (lambda x, k: jax.lax.conv(x, k, (2, 3), "VALID"), (f(2, 2, 8, 9), f(3, 2, 3, 2))),
    "convolution along a line": (lambda x, k: jax.lax.conv(x, k, (1,), "SAME"), (f(2, 3, 7), f(4, 3, 4))),
    "convolution of volumes": (
        lambda x, k: jax.lax.conv(x, k, (1, 2, 1), "SAME"), (f(1, 2, 3, 4, 3), f(2, 2, 2, 2, 3))
    ),
    "convolution, dilated": (
        lambda x, k: jax.lax.conv_general_dilated(x, k, (1, 2), ((2, 1), (0, 3)), (2, 1), (1, 2)),
        (f(2, 2, 5, 6), f(3, 2, 3, 2)),
    ),
    "convolution, cropped": (
        lambda x, k: jax.lax.conv_general_dilated(x, k, (1, 1), ((-1, 2), (3, -2))), (f(2, 2, 6, 6), f(3, 2, 2, 2))
    ),
    "convolution in groups": (
        lambda x, k: jax.lax.conv_general_dilated(x, k, (1, 1), "SAME", feature_group_count=2),
        (f(2, 4, 5, 5), f(6, 2, 3, 3)),
    ),
    "convolution by depth": (
        lambda x, k: jax.lax.conv_general_dilated(
            x, k, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=3
        ), (f(2, 6, 5, 3), f(3, 3, 1, 6)),
    ),
    "convolution, transposed": (
        lambda x, k: jax.lax.conv_transpose(x, k, (2, 2), "SAME"), (f(2, 4, 3, 2), f(3, 3, 2, 4))
    ),
    "pooling": (lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (2, 2), (2, 2), "VALID"), (f(4, 6),)),
    "pooling that overlaps": (
        lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3), (1, 2, 1), "SAME"), (f(2, 6, 5),)
    ),
    "pooling of ties": (
        lambda x: jax.lax.reduce_window(jnp.sign(x) * x * 0 + jnp.round(x), -jnp.inf, jax.lax.max, (3, 2), (1, 2),
                                        ((1, 1), (0, 1))), (f(6, 7),)
    ),
    "pooling to the least": (
        lambda x: jax.lax.reduce_window(x, jnp.inf, jax.lax.min, (2, 3), (1, 1), ((1, 0), (2, 2))), (f(5, 4),)
    ),
    "pooling of what is nowhere finite": (
        lambda x: jax.lax.reduce_window(x - jnp.inf, -jnp.inf, jax.lax.max, (2, 2), (2, 2), "SAME"), (f(3, 3),)
    ),
    **{
        f"pooling where padding wins, {odd}": (
            lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (2, 3), (1, 2), ((1, 1), (2, 1))),
            (np.resize(np.float32([-np.inf, -np.inf, odd, 1, -np.inf, odd, 2]), (6, 5)),),
        )
        for odd in (-np.inf, np.nan)
    },
    "pooling of integers": (
        lambda x: jax.lax.reduce_window(x, np.iinfo(np.int32).min, jax.lax.max, (2,), (1,), "SAME"), (i(6),)
    ),
    "mean pooling": (
        lambda x: jax.lax.reduce_window(x, 0.0, jax.lax.add, (2, 3), (2, 1), "SAME", window_dilation=(2, 1)), (f(6, 7),)
    ),
    "stack": (lambda x, y: (jnp.stack([x, y, x], 1), jnp.stack([x[0], y[1]])), (f(3, 4), f(3, 4))),
    "unstack": (lambda x: (jnp.unstack(x), jnp.unstack(x, axis=1)), (f(3, 4),)),
    "constant": (lambda x: (jnp.ones(3), x * 0 + jnp.zeros((2, 1)), x), (f(2, 3),)),
    "empty": (lambda x: (x[:0], x[:0].sum(0) + 1), (f(2, 3),)),
}  # fmt: skip
# What XLA does: one call an operation, and right all the same.
OTHERS = {
    "erf": (jax.scipy.special.erf, (f(3, 4),)),
    "gelu": (lambda x: jax.nn.gelu(x, approximate=False), (f(3, 4),)),
    "large window": (
        lambda x: jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (12, 12), (1, 1), "VALID"), (f(13, 12),)
    ),
    "scan": (lambda x: jax.lax.scan(lambda h, v: (h * 0.5 + v, h), x[0], x), (f(5, 3),)),
    "while": (lambda x: jax.lax.while_loop(lambda h: h.sum() < 9, lambda h: h + 1, x), (f(3),)),
    "cond": (lambda x: jax.lax.cond(x[0] > 0, jnp.sin, jnp.cos, x), (f(3),)),
    "bfloat16": (lambda x: (x.astype(jnp.bfloat16) * 3 + 1).astype(jnp.float32), (f(3, 4),)),
    "solve": (jnp.linalg.solve, (f(3, 3) + 5 * np.eye(3, dtype=np.float32), f(3, 2))),
    "cholesky": (lambda x: jnp.linalg.cholesky(x @ x.T + jnp.eye(3)), (f(3, 3),)),
    "top_k": (lambda x: jax.lax.top_k(x, 2), (f(3, 5),)),
    "random": (lambda x: x + jax.random.normal(jax.random.key(3), (3, 4)), (f(3, 4),)),
    "dropout": (lambda x: jnp.where(jax.random.bernoulli(jax.random.key(1), 0.5, (3, 4)), x, 0), (f(3, 4),)),
    "narrow bitcast": (lambda x: jax.lax.bitcast_convert_type(x, jnp.int16), (f(3),)),
    "callback": (
        lambda x: jax.pure_callback(lambda v: np.asarray(v) * 2, jax.ShapeDtypeStruct((3,), jnp.float32), x), (f(3),)
    ),
}  # fmt: skip


def compare(function, args, signs=False):
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
    with jax.disable_jit():  # one operation after the other: fused, XLA simplifies across them
        want = jax.core.eval_jaxpr(closed.jaxpr, closed.consts, *args)
    before = [np.array(a) for a in args]
    with np.errstate(all="ignore"):
        lowered = Lowered(closed)
        got = lowered([np.asarray(a) for a in args])
    assert len(got) == len(want) == len(jax.tree.leaves(shape))
    for g, w in zip(got, want, strict=True):
        g, w = np.asarray(g), np.asarray(w)
        assert (g.shape, g.dtype) == (w.shape, w.dtype)
        if g.dtype.kind in "fc":
            scale = np.finfo(w.dtype).eps
            finite = np.abs(w[np.isfinite(w)])
            np.testing.assert_allclose(g, w, rtol=20 * scale, atol=4 * scale * max(1, finite.max(initial=0)))
            if signs and w.dtype.kind == "f":
                zeros = (w == 0) & (g == 0)
                np.testing.assert_array_equal(np.signbit(g[zeros]), np.signbit(w[zeros]))
        else:
            np.testing.assert_array_equal(g, w)
    for a, kept in zip(args, before, strict=True):  # arguments are never written to
        np.testing.assert_array_equal(a, kept)
    return lowered.calls


@pytest.mark.parametrize("name", NATIVE)
def test_numpy_gives_what_xla_gives(name):
    assert (compare(*NATIVE[name], signs=name != "odd with odd")) == 0  # max(0, -0) may be either


@pytest.mark.parametrize("name", OTHERS)
def test_what_numpy_lacks_is_a_call_of_xla(name):
    assert compare(*OTHERS[name]) > 0


def pullback(function, args):
    """The function's results and the gradients of a weighted sum of them."""
    wants = [k for k, a in enumerate(args) if a.dtype.kind == "f"]

    def both(*args):
        def of(*wanted):
            full = list(args)
            for k, v in zip(wants, wanted, strict=True):
                full[k] = v
            out = function(*full)
            return [v for v in jax.tree.leaves(out) if jnp.issubdtype(v.dtype, jnp.floating)]

        outs, pull = jax.vjp(of, *[args[k] for k in wants])
        return pull([jnp.cos(jnp.arange(v.size, dtype=v.dtype)).reshape(v.shape) + 2 for v in outs])

    return both


DIFFERENTIABLE = [
    name for name, (_, args) in {**NATIVE, **OTHERS}.items()
    if any(a.dtype == np.float32 for a in args)
    and name not in ("isfinite", "isnan", "isinf", "any", "all", "callback", "while", "bitcast", "narrow bitcast",
                     "to integers",
                     "odd with odd", "nextafter of two", "empty")
    and "odd" not in name
]  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives(name):
    function, args = {**NATIVE, **OTHERS}[name]
    compare(pullback(function, args), args)


def test_double_precision():
    with jax.enable_x64(True):
        args = (f(3, 4, dtype=np.float64), f(4, 4, dtype=np.float64))
        calls = compare(
            lambda x, w: (jnp.tanh(x @ w).sum(0), (x > 0).sum(), x.argmax(1), x.astype(jnp.float32)), args
        )
    assert calls == 0


def test_random_keys_pass_through():
    def draw(key, x):
        a, b = jax.random.split(key)
        return jax.random.fold_in(b, 3), x + jax.random.uniform(a, (3,))

    key = jax.random.key(0)
    closed = jax.make_jaxpr(draw)(key, f(3))
    x = f(3)
    kept, got = Lowered(closed)([key, x])
    want, value = draw(key, x)
    np.testing.assert_array_equal(jax.random.key_data(kept), jax.random.key_data(want))
    np.testing.assert_array_equal(got, value)


def test_effects_happen_once_and_in_order():
    seen = []

    def function(x):
        jax.debug.callback(lambda v: seen.append(("first", float(v))), x, ordered=True)
        y = x * 2
        jax.debug.callback(lambda v: seen.append(("second", float(v))), y, ordered=True)
        return x

    Lowered(jax.make_jaxpr(function)(np.float32(1)))([np.float32(1)])
    jax.effects_barrier()
    assert seen == [("first", 1.0), ("second", 2.0)]


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("reduced", [jnp.sum, jnp.max, jnp.min])
def test_many_results_and_few(reduced, axes):
    """Sums are products with ones, and the largest of short rows is found down the columns, where there are many."""
    for shape in ((2, 3, 4), (40, 30, 20)):
        x = f(*shape)
        x[0, 1, 2] = np.inf
        closed = jax.make_jaxpr(lambda x: reduced(x, axes))(x)
        np.testing.assert_allclose(Lowered(closed)([x])[0], reduced(x, axes), rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "int32", "bool"])
def test_long_choices_are_those_of_where(dtype):
    which = b(70, 40)
    odd = ODD if dtype == "float32" else INTS
    yes, no = (np.resize(odd[RNG.permutation(len(odd))], (70, 40)).astype(dtype) for _ in range(2))
    got = Lowered(jax.make_jaxpr(jnp.where)(which, yes, no))([which, yes, no])[0]
    np.testing.assert_array_equal(got, np.where(which, yes, no))
    if dtype == "float32":
        np.testing.assert_array_equal(np.signbit(got), np.signbit(np.where(which, yes, no)))


@pytest.mark.parametrize("rows", [(3, 5), (50, 40), (50, 4000)])
@pytest.mark.parametrize("value", [1.0, np.inf, np.nan])
def test_rows_that_are_added(rows, value):
    """One by one, as a product of matrices, or sorted: what is infinite stays in its row."""
    n, entries = rows
    x, at, new = np.zeros((entries, 6), np.float32), i(n, low=-entries, high=entries), f(n, 6)
    new[1, 2] = value
    found = Lowered(jax.make_jaxpr(lambda x, at, new: x.at[at].add(new))(x, at, new))([x, at, new])[0]
    expected = x.copy()
    np.add.at(expected, at, new)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    t = autograd.tensor(x, requires_grad=True)
    t[autograd.tensor(at)].backward(new)
    np.testing.assert_allclose(t.grad, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("a", "b"), [((3,), (4,)), ((3,), (3,)), ((3,), (3, 4)), ((3,), (4, 3)), ((4, 3), (3,)),
                                  ((3, 4), (3,)), ((3, 4), (4, 5))])  # fmt: skip
def test_products_of_vectors_and_matrices(a, b):
    x, y = f(*a), f(*b)
    pairs = [((), ()), *[((m,), (n,)) for m in range(len(a)) for n in range(len(b)) if a[m] == b[n]]]
    for over in pairs:
        closed = jax.make_jaxpr(lambda x, y, over=over: jax.lax.dot_general(x, y, (over, ((), ()))))(x, y)
        np.testing.assert_allclose(Lowered(closed)([x, y])[0], np.tensordot(x, y, over), rtol=1e-5)
