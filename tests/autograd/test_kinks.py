"""The slope at each kink is torch's: the table below holds torch's numbers, and is compared with torch where it is
installed. Where ours differs the row says so."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nablax import autograd
from nablax.autograd import grad, nn, numpy, tensor

inf, nan = float("inf"), float("nan")

# name: ours, torch's (a string, evaluated with x, y and torch; None: no such function), points, slopes
TABLE = {
    "abs": (abs, "x.abs()", [[-2, 0, -0.0, 3]], [[-1, 0, 0, 1]]),
    "x.abs": (lambda x: x.abs(), "x.abs()", [[0]], [[0]]),
    "numpy.abs": (numpy.abs, "x.abs()", [[0]], [[0]]),
    "np.abs": (np.abs, "x.abs()", [[0]], [[0]]),
    "numpy.fabs": (numpy.fabs, "x.abs()", [[-1, 0]], [[-1, 0]]),
    "copysign": (numpy.copysign, "torch.copysign(x, y)", [[0, -2], [-1, 1]], [[0, -1], [0, 0]]),
    "sign": (numpy.sign, "x.sign()", [[0, 2]], [[0, 0]]),
    "floor": (numpy.floor, "x.floor()", [[1, 1.5]], [[0, 0]]),
    "round": (numpy.round, "x.round()", [[0.5]], [[0]]),
    "relu": (nn.relu, "x.relu()", [[-1, 0, 1]], [[0, 0, 1]]),
    "x.relu": (lambda x: x.relu(), "x.relu()", [[0]], [[0]]),
    "relu6": (nn.relu6, "torch.nn.functional.relu6(x)", [[0, 1, 6]], [[0, 1, 0]]),
    "leaky_relu": (nn.leaky_relu, "torch.nn.functional.leaky_relu(x)", [[-1, 0, 1]], [[0.01, 0.01, 1]]),
    "elu": (lambda x: nn.elu(x, 2.0), "torch.nn.functional.elu(x, 2.0)", [[0, 1]], [[2, 1]]),
    "celu": (lambda x: nn.celu(x, 2.0), "torch.nn.functional.celu(x, 2.0)", [[0, 1]], [[1, 1]]),
    "selu": (nn.selu, "torch.nn.functional.selu(x)", [[0]], [[1.7580993]]),
    "hard_tanh": (nn.hard_tanh, "torch.nn.functional.hardtanh(x)", [[-1, 0, 1, 2]], [[0, 1, 0, 0]]),
    "hard_sigmoid": (nn.hard_sigmoid, "torch.nn.functional.hardsigmoid(x)", [[-3, 0, 3]], [[0, 1 / 6, 0]]),
    "soft_sign": (nn.soft_sign, "torch.nn.functional.softsign(x)", [[0]], [[1]]),
    "softplus": (nn.softplus, "torch.nn.functional.softplus(x)", [[0]], [[0.5]]),
    "maximum": (numpy.maximum, "torch.maximum(x, y)", [[1, 2, 3], [1, 1, 4]], [[0.5, 1, 0], [0.5, 0, 1]]),
    "minimum": (numpy.minimum, "torch.minimum(x, y)", [[1, 2, 3], [1, 1, 4]], [[0.5, 0, 1], [0.5, 1, 0]]),
    "maximum of a number": (lambda x: numpy.maximum(x, 0), "torch.maximum(x, torch.zeros(()))", [[0, 1]], [[0.5, 1]]),
    "x.maximum of a number": (lambda x: x.maximum(0.0), "torch.maximum(x, torch.zeros(()))", [[0]], [[0.5]]),
    "fmax": (numpy.fmax, "torch.fmax(x, y)", [[1, 2, nan, 3], [1, 3, 2, nan]], [[1, 0, 0, 1], [0, 1, 1, 0]]),
    "fmin": (numpy.fmin, "torch.fmin(x, y)", [[1, 2, nan], [1, 3, 2]], [[1, 1, 0], [0, 0, 1]]),
    "clip": (lambda x: x.clip(0, 1), "x.clip(0, 1)", [[-1, 0, 0.5, 1, 2]], [[0, 1, 1, 1, 0]]),
    "clamp": (lambda x: x.clamp(min=0), "x.clamp(min=0)", [[-1, 0, 1]], [[0, 1, 1]]),
    "numpy.clip": (lambda x: numpy.clip(x, max=0.0), "x.clamp(max=0)", [[-1, 0, 1]], [[1, 1, 0]]),
    "clip by a tensor": (
        lambda x, y: x.clamp(min=y), "x.clamp(min=y)", [[1, 2, 0], [1, 1, 1]], [[1, 1, 0], [0, 0, 1]],
    ),
    "max": (lambda x: x.max(), "x.max()", [[2, 1, 2]], [[0.5, 0, 0.5]]),
    "min": (lambda x: x.min(), "x.min()", [[1, 1, 1, 2]], [[1 / 3, 1 / 3, 1 / 3, 0]]),
    "amax": (lambda x: numpy.max(x, axis=0), "x.amax(0)", [[3, 3]], [[0.5, 0.5]]),
    "top_k": (lambda x: x.topk(1)[0], "x.topk(1)[0]", [[2, 1]], [[1, 0]]),
    "where": (lambda x: numpy.where(x > 0, x, 2 * x), "torch.where(x > 0, x, 2 * x)", [[-1, 0, 1]], [[2, 2, 1]]),
    "norm": (lambda x: x.norm(), "x.norm()", [[0, 0]], [[0, 0]]),
    "norm(axis)": (lambda x: x.norm(axis=0), "x.norm(dim=0)", [[0, 0]], [[0, 0]]),
    "linalg.norm": (autograd.linalg.norm, "torch.linalg.norm(x)", [[0, 0]], [[0, 0]]),
    "norm 1": (lambda x: autograd.linalg.norm(x, 1), "torch.linalg.norm(x, 1)", [[0, -2]], [[0, -1]]),
    "norm inf": (lambda x: autograd.linalg.norm(x, inf), "torch.linalg.norm(x, inf)", [[2, -2, 1]], [[0.5, -0.5, 0]]),
    "norm 3": (lambda x: x.norm(3), "torch.linalg.norm(x, 3)", [[0, -2]], [[0, -1]]),
    "norm 3 of 0": (lambda x: x.norm(3), "torch.linalg.norm(x, 3)", [[0, 0]], [[0, 0]]),
    "norm -1": (lambda x: x.norm(-1), "torch.linalg.norm(x, -1)", [[0, -2]], [[0, 0]]),
    "norm -inf": (lambda x: x.norm(-inf), "torch.linalg.norm(x, -inf)", [[0, -2, 3]], [[0, 0, 0]]),
    "vector_norm": (autograd.linalg.vector_norm, "torch.linalg.vector_norm(x)", [[0, 0]], [[0, 0]]),
    "matrix_norm": (
        lambda x: autograd.linalg.matrix_norm(x[None]), "torch.linalg.matrix_norm(x[None])", [[0, 0]], [[0, 0]],
    ),
    "std": (lambda x: x.std(), "x.std(correction=0)", [[2, 2]], [[0, 0]]),
    "std(ddof)": (lambda x: x.std(ddof=1), "x.std()", [[2, 2]], [[0, 0]]),
    "std of one": (lambda x: x.std(0), "x.std(0)", [[2]], [[nan]]),
    "var of one": (lambda x: x.var(correction=2), "x.var(correction=2)", [[2]], [[nan]]),
    "std of one, biased": (lambda x: x.std(0, correction=0), "x.std(0, correction=0)", [[2]], [[0]]),
    "median": (lambda x: x.median(), "x.median()", [[1, 2, 2, 3]], [[0, 0.5, 0.5, 0]]),
    "median(dim)": (lambda x: x.median(0)[0], "x.median(0)[0]", [[1, 2, 3]], [[0, 1, 0]]),
    "nanmedian": (lambda x: x.nanmedian(), "x.nanmedian()", [[1, 2, nan, 2]], [[0, 0.5, 0, 0.5]]),
    "var": (lambda x: x.var(), "x.var()", [[2, 2]], [[0, 0]]),
    "sqrt": (numpy.sqrt, "x.sqrt()", [[0, 4]], [[inf, 0.25]]),
    "rsqrt": (lambda x: x.rsqrt(), "x.rsqrt()", [[0]], [[-inf]]),
    "x ** 0.5": (lambda x: x**0.5, "x ** 0.5", [[0]], [[inf]]),
    "x ** 0.0": (lambda x: x**0.0, "x ** 0.0", [[0, 2]], [[0, 0]]),
    "x ** 0": (lambda x: x**0, "x ** 0", [[0]], [[0]]),
    "x ** 1": (lambda x: x**1.0, "x ** 1.0", [[0]], [[1]]),
    "x ** y": (lambda x, y: x**y, "x ** y", [[0, 0, 0, 2], [0, 1, 2, 2]], [[0, 1, 0, 4], [0, 0, 0, 4 * np.log(2)]]),
    "power": (numpy.power, "torch.pow(x, y)", [[0], [0]], [[0], [0]]),
    "0 ** y": (lambda y: 0.0**y, "0.0 ** x", [[0, 2]], [[0, 0]]),
    "prod": (lambda x: x.prod(), "x.prod()", [[0, 2, 3]], [[6, 0, 0]]),
    "prod of two zeros": (lambda x: x.prod(), "x.prod()", [[0, 0, 3]], [[0, 0, 0]]),
    "cumprod": (lambda x: x.cumprod(0), "x.cumprod(0)", [[2, 0, 3]], [[1, 8, 0]]),
    "atan2": (numpy.arctan2, "torch.atan2(x, y)", [[0, 1], [0, 0]], [[0, 0], [0, -1]]),
    "x.atan2": (lambda x, y: x.atan2(y), "torch.atan2(x, y)", [[0], [0]], [[0], [0]]),
    "hypot": (numpy.hypot, "torch.hypot(x, y)", [[0, -3], [2, 4]], [[0, -0.6], [1, 0.8]]),
    "hypot of 0": (numpy.hypot, None, [[0], [0]], [[0], [0]]),  # torch: NaN; as its norm
    "nan_to_num": (numpy.nan_to_num, "x.nan_to_num()", [[nan, inf, 1]], [[0, 0, 1]]),
    "cross entropy by hand": (
        lambda z: numpy.maximum(z, 0) + numpy.log(1 + numpy.exp(-abs(z))),
        "torch.maximum(x, torch.zeros(())) + (1 + (-x.abs()).exp()).log()", [[0]], [[0.5]],
    ),
}  # fmt: skip


def leaves(points):
    return [tensor(np.array(p, np.float32), requires_grad=True) for p in points]


@pytest.mark.parametrize("ran", [False, True])
@pytest.mark.parametrize("name", TABLE)
def test_slopes(name, ran):
    ours, _, points, slopes = TABLE[name]
    for _ in range(3):  # operation by operation, then compiled
        xs = leaves(points)
        y = ours(*xs)
        if ran:
            y.realize()
        y.sum().backward()
        for x, slope in zip(xs, slopes, strict=True):
            np.testing.assert_allclose(x.grad.numpy(), slope, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
@pytest.mark.parametrize("name", TABLE)
def test_slopes_of_torch(name):
    torch = pytest.importorskip("torch")
    _, theirs, points, slopes = TABLE[name]
    if theirs is None:
        pytest.skip("torch has none, or another")
    xs = [torch.tensor([float(v) for v in p], requires_grad=True) for p in points]
    eval(theirs, {"torch": torch, "inf": inf, **dict(zip("xy", xs, strict=False))}).sum().backward()
    for x, slope in zip(xs, slopes, strict=True):
        np.testing.assert_allclose(x.grad.numpy(), slope, rtol=1e-5)


def test_logistic_regression_from_zero_weights():
    x = np.array([[1.0, 0.5], [-1.0, 1.5], [2.0, -1.0], [0.0, 1.0]], np.float32)
    y = np.array([1.0, 0.0, 1.0, 0.0], np.float32)
    w = autograd.Parameter([0.0, 0.0])
    z = tensor(x) @ w
    (numpy.maximum(z, 0) - z * y + numpy.log(1 + numpy.exp(-abs(z)))).mean().backward()
    np.testing.assert_allclose(w.grad.numpy(), x.T @ (0.5 - y) / 4)


def test_slopes_inside_a_lifted_function():
    x = tensor([0.0, 1.0], requires_grad=True)
    autograd.lift(lambda v: numpy.abs(v).sum() + jnp.tanh(v).sum())(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [1, 1 + 1 / np.cosh(1) ** 2], rtol=1e-5)
    assert jax.grad(lambda v: numpy.abs(v))(0.0) == 0


SECOND = {
    "abs": (lambda x, y: abs(x) * y + abs(x) ** 3, [-2, 0, 3.0], [1, 2, 3.0]),
    "clip": (lambda x, y: (x * x).clip(1, 9 * y), [0.5, 1, 2.0], [1, 2, 0.1]),
    "norm": (lambda x, y: (x * y).norm() + autograd.linalg.norm(x, 3), [1, 2, 3.0], [1, 2, 0.1]),
    "std": (lambda x, y: (x * y).std(), [1, 2, 3.0], [1, 2, 0.1]),
    "atan2": (lambda x, y: numpy.arctan2(x, y), [1, 2, 3.0], [1, 2, 0.1]),
    "hypot": (lambda x, y: x.hypot(y), [1, 2, 3.0], [1, 2, 0.1]),
    "power": (lambda x, y: x**y, [1, 2, 3.0], [1, 2, 0.1]),
    "leaky_relu": (lambda x, y: nn.leaky_relu(x * y, 0.1), [1, -2, 3.0], [1, 2, 0.1]),
}


@pytest.mark.parametrize("name", SECOND)
def test_second_derivatives(name):
    fn, *points = SECOND[name]
    with jax.enable_x64(True):
        off = [tensor(np.array(p) + 0.01, requires_grad=True) for p in points]
        autograd.gradgradcheck(fn, off)


def test_second_derivatives_at_kinks():
    for fn in (abs, lambda x: x.norm(), lambda x: x.std(), lambda x: x.clip(0, 1), lambda x: x**0.0):
        (x,) = leaves([[0, 0]])
        g = grad(fn(x).sum(), x, create_graph=True)
        (g * g).sum().backward()
        assert x.grad.tolist() == [0, 0]


@pytest.mark.parametrize("way", ["a number", "an array"])
def test_higher_derivatives_of_whole_powers_at_zero(way):
    """The same whether the exponent is baked in or, having varied at one place, has become an input."""
    for n in range(7):
        (x,) = leaves([[0, 2]])
        g = x ** (n if way == "a number" else np.int32(n))
        for k in range(1, 4):
            g = grad(g.sum(), x, create_graph=True)
            slope = float(np.prod(np.arange(n - k + 1, n + 1)))
            want = [slope * at ** (n - k) if n >= k else 0 for at in (0, 2)]
            assert g.tolist() == want, (n, k)


def test_values_dtypes_and_kinds_are_jaxs():
    x = np.array([-1.5, 0.0, -0.0, 2.0, nan, inf, -inf], np.float32)
    i, b, c = np.array([-2, 0, 3]), np.array([True, False]), np.array([3 + 4j, 0], np.complex64)
    for name, args in [
        ("abs", [x]), ("abs", [i]), ("abs", [b]), ("abs", [c]), ("abs", [x.astype(jnp.bfloat16)]), ("fabs", [i]),
        ("clip", [x, 0, 1]), ("clip", [i, 0, 1]), ("clip", [i, 0.5, 1]), ("clip", [x, None, 1.0]), ("clip", [x, nan]),
        ("fmax", [x, 0.0]), ("fmax", [x, nan]), ("fmin", [i, 1]), ("arctan2", [x, x[::-1]]), ("arctan2", [i, 1]),
        ("hypot", [x, x[::-1]]), ("power", [x, 2.0]), ("power", [i, 2]), ("power", [i, 0.0]), ("power", [2.0, i]),
        ("power", [c, 0.5]), ("power", [abs(x), x]), ("std", [x[:4]]), ("std", [i]), ("std", [c]),
        ("copysign", [x, -1.0]), ("absolute", [-3]),
    ]:  # fmt: skip
        want = getattr(jnp, name)(*args)
        got = getattr(numpy, name)(*[tensor(a) if isinstance(a, np.ndarray) else a for a in args])
        assert got.dtype == want.dtype, (name, args)
        np.testing.assert_allclose(
            np.asarray(got, np.complex64), np.asarray(want, np.complex64), rtol=1e-6, err_msg=name
        )
        if name in ("abs", "copysign", "arctan2"):  # elsewhere nobody says which of two zeros it is
            np.testing.assert_array_equal(np.signbit(np.real(got)), np.signbit(np.real(want)), err_msg=name)
    for args in ((x[:4],), (i,), (c,), (x[:4], 1), (x[:4], 2), (i, inf), (x[:4], 0), (x[:4], 3), (x[:4], -1),
                 (np.ones((2, 3)), "fro"),
                 (np.ones((2, 3)), 2), (np.ones((2, 3)), 1), (np.ones((2, 3)), None, 1), (np.ones((2, 3)), 1, 0),
                 (np.ones((2, 3)), None, (0, 1), True)):  # fmt: skip
        got = autograd.linalg.norm(tensor(args[0]), *args[1:])
        want = jnp.linalg.norm(*map(jnp.asarray, args[:1]), *args[1:])
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)


def test_the_slope_of_a_complex_modulus():
    z = tensor(np.array([3 + 4j, 0], np.complex64), requires_grad=True)
    abs(z).sum().backward()
    np.testing.assert_allclose(z.grad.numpy(), [0.6 - 0.8j, 0])  # JAX's convention
