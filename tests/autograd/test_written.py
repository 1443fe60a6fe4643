"""Operations that are written instead of traced: each computes what the function does, and has its derivative."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxpr_as_fun

from nablax import autograd
from nablax.autograd._ground._aval import intern, interned
from nablax.autograd._operation._call import Call
from nablax.autograd._operation._general import equal
from nablax.autograd._operation._joint import trace, unjitted
from nablax.autograd._operation._kernel import kernel
from nablax.autograd._operation._reverse import joint_of
from nablax.autograd._operation._written import RULES, beside, rule_of, write
from nablax.autograd._tensor import _kinks
from nablax.autograd._tensor._frozen import HOLE, filled
from nablax.autograd._tensor._operators import _pow
from nablax.autograd._tensor._torch._table import METHODS

A, B, V, S = (4, 3), (3, 5), (3,), ()
FLAGS, AT, WEAK = (A, "bool", False), ((4,), "int32", False), ((), "float32", True)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def row(name, *args, **kwargs):
    """A row of the table of torch's names on one array, with static arguments."""
    _, tree = jax.tree.flatten(((0, *args), kwargs))
    return filled(METHODS[name].fn, tree, [HOLE, *jax.tree.leaves((args, kwargs))])


def several(fn, n, *args):
    """A function of a list of n arrays."""
    leaves, tree = jax.tree.flatten((([HOLE] * n, *args), {}))
    return filled(fn, tree, leaves)


# name -> function, and its arguments: shapes, of float32, or triples of shape, dtype, weakness.
CASES = {
    **{f.__name__: (f, A) for f in (
        jnp.negative, jnp.exp, jnp.tanh, jnp.sin, jnp.cos, jnp.expm1, jnp.square, jnp.sign, jnp.floor, jnp.ceil,
        jax.nn.sigmoid, jax.nn.relu, jax.nn.softplus, jax.nn.log_sigmoid, jnp.zeros_like, jnp.ones_like,
        jnp.sum, jnp.mean, jnp.max, jnp.min, jax.nn.softmax, jax.nn.log_softmax, jnp.transpose,
        jnp.matrix_transpose, _kinks.abs, _kinks.leaky_relu,
    )},
    **{f"positive {f.__name__}": (f, (A, "positive", False)) for f in (jnp.log, jnp.sqrt, jnp.log1p, jax.lax.rsqrt)},
    **{f"{f.__name__} {n}": (f, *shapes) for f in (
        jnp.add, jnp.subtract, jnp.multiply, jnp.divide, jnp.maximum, jnp.minimum, jnp.less, jnp.less_equal,
        jnp.greater, jnp.greater_equal, jnp.equal, jnp.not_equal,
    ) for n, shapes in enumerate([(A, A), (A, V), (S, A), ((4, 1), (2, 1, 3)), (S, S), (A, WEAK)])},
    **{f"{f.__name__} number {first}": (beside(f, 1.5, first), A) for first in (False, True) for f in (
        jnp.add, jnp.subtract, jnp.multiply, jnp.divide, jnp.greater)},
    **{f"{f.__name__} integers": (f, AT, AT) for f in (jnp.add, jnp.subtract, jnp.multiply)},
    "power by integers": (_pow, ((4,), "positive", False), AT),
    "one more": (beside(jnp.add, 1, False), AT), "from nine": (beside(jnp.subtract, 9, True), AT),
    "of a whole number": (beside(jnp.multiply, 3, False), A),
    "integers alike": (jnp.equal, AT, AT), "an integer": (beside(jnp.equal, 2, False), AT),
    **{f"power {n}": (beside(_pow, n, False), (A, "positive", False)) for n in (2, 3, 4, 0.5, 2.0, -1.5)},
    "where": (jnp.where, FLAGS, A, A),
    "clip": (row("clamp", -0.5, 0.5), A), "clip above": (row("clamp", None, 1), A),
    "matmul": (jnp.matmul, A, B), "vector": (jnp.matmul, A, V), "from the left": (jnp.matmul, V, B),
    "vectors": (jnp.matmul, V, V), "batch": (jnp.matmul, (2, 5, 4, 3), (2, 5, 3, 2)),
    "many": (jnp.matmul, (2, 4, 3), B),
    "dot": (jnp.dot, A, B),
    **{f"{name} {dim} {keep}": (row(name, dim, keep), (2, 4, 3)) for name in ("sum", "mean", "amax", "amin")
       for dim in (0, -1, (0, 2), None) for keep in (False, True)},
    "count": (row("sum"), FLAGS), "argmax of all": (jnp.argmax, V), "argmax 1": (row("argmax", -1), A),
    "softmax 0": (row("softmax", 0), A), "log_softmax 1": (row("log_softmax", 1), (2, 4, 3)),
    "logsumexp": (row("logsumexp", -1), A), "logsumexp kept": (row("logsumexp", 0, True), A),
    "norm": (row("norm"), A), "norm of rows": (row("norm", 2, -1, True), A),
    "reshape": (row("reshape", 2, -1), A), "permute": (row("permute", 2, 0, 1), (2, 4, 3)),
    "swapaxes": (row("swapaxes", 0, -1), (2, 4, 3)), "transpose 0 1": (row("transpose", 0, 1), A),
    "unsqueeze": (row("unsqueeze", -1), A),
    "concatenate": (several(jnp.concatenate, 2, 1), A, (4, 2)), "stack": (several(jnp.stack, 3, 1), A, A, A),
}  # fmt: skip
PLAIN = {
    "where",
    "matmul",
    "vector",
    "from the left",
    "vectors",
    "batch",
    "many",
    "reshape",
    "permute",
    "swapaxes",
}


def aval(case):
    shape, dtype, weak = case if len(case) == 3 and isinstance(case[1], str) else (case, "float32", False)
    return intern(shape, np.dtype("float32" if dtype == "positive" else dtype), weak)


def value(case, rng):
    found = aval(case)
    drawn = rng.normal(size=found.shape) * 2
    if len(case) == 3 and case[1] == "positive":
        drawn = np.abs(drawn) + 0.5
    return np.asarray(drawn).astype(found.dtype)


@pytest.mark.parametrize("name", CASES)
def test_what_is_written_is_what_the_function_computes(name, rng):
    fn, *cases = CASES[name]
    avals = tuple(map(aval, cases))
    written = write(rule_of(fn), avals)
    assert written is not None
    expected = jax.make_jaxpr(fn)(*[a.struct for a in avals])
    assert [interned(a) for a in written.out_avals] == [interned(a) for a in expected.out_avals]
    if name in PLAIN:
        assert equal(written, Call(name, lambda *xs: fn(*xs)).traced(avals, (), False).jaxpr)
    args = [value(case, rng) for case in cases]
    want = jaxpr_as_fun(expected)(*args)[0]
    for got in (jaxpr_as_fun(written)(*args)[0], kernel(written)(args)[0]):
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_it_is_differentiated_alike(name, again, rng):
    fn, *cases = CASES[name]
    avals = tuple(map(aval, cases))
    forward = Call(name, fn).traced(avals, (), False)
    wants = tuple(i for i, a in enumerate(avals) if a.inexact)
    args = [value(case, rng) for case in cases]
    joint = joint_of(forward, wants, again)
    with np.errstate(
        all="ignore"
    ):  # as the first tier runs them: NumPy's product of matrices warns without cause
        made = kernel(joint.forward)(args)
    if not joint.given:
        return
    ct = rng.normal(size=np.shape(made[0])).astype("float32")
    expected = jax.vjp(lambda *xs: fn(*xs), *args)[1](jnp.asarray(ct))
    with np.errstate(all="ignore"):
        got = kernel(joint.pull)([*[[*args, *made][r] for r in joint.reads], ct])
    for i, grad in zip(wants, got, strict=True):
        np.testing.assert_allclose(grad, expected[i], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("x64", [False, True])
def test_conversions_are_traced_as_jax_does(x64):
    def fn(x, at):
        converted = [jax.lax.convert_element_type(x > 0, t) for t in ("int32", "float32", "bool")]
        return [
            *converted,
            at.astype(x.dtype),
            x.astype("float16"),
            jnp.asarray(at, float),
            x.astype(int),
            at * 1.5,
        ]

    with jax.enable_x64(x64):
        structs = [aval(A).struct, aval(((4, 3), "int32", False)).struct]
        found, expected = trace(unjitted(fn), structs, ()), jax.make_jaxpr(fn)(*structs)
        assert found.flat
        kinds = [(a.shape, a.dtype, a.weak_type) for a in expected.out_avals]
        assert [(a.shape, a.dtype, a.weak_type) for a in found.jaxpr.out_avals] == kinds
        args = np.linspace(-2, 2, 12, dtype=np.float32).reshape(A), np.arange(12, dtype=np.int32).reshape(A)
        for a, b in zip(jaxpr_as_fun(found.jaxpr)(*args), jaxpr_as_fun(expected)(*args), strict=True):
            np.testing.assert_array_equal(a, b)


LEFT = {
    "integers": (jnp.divide, AT, AT), "two Python numbers": (jnp.multiply, WEAK, WEAK),
    "half": (jnp.sum, (A, "float16", False)),
    "of no elements": (jnp.mean, (0, 3)), "an integer and a float": (beside(jnp.add, 0.5, False), AT),
    "beyond float32": (beside(jnp.multiply, 1e300, False), A), "not a number": (beside(jnp.add, np.nan, False), A),
    "shapes that do not fit": (jnp.add, A, B), "matrices that do not fit": (jnp.matmul, A, A),
    "no such axis": (row("sum", 2), A), "batch of one": (jnp.matmul, (1, 4, 3), (2, 3, 5)),
    "true": (beside(jnp.add, True, False), A), "other dtypes": (jnp.add, A, (A, "float16", False)),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT)
def test_the_rest_is_left_to_jax(name):
    fn, *cases = LEFT[name]
    assert write(rule_of(fn), tuple(map(aval, cases))) is None


def test_every_rule_of_a_function_has_a_case():
    cases = [fn for fn, *_ in CASES.values()]
    named = {
        jnp.true_divide,
        jnp.astype,
        jnp.concatenate,
        jnp.stack,
        jnp.swapaxes,
    }  # by another name, or with arguments
    assert not [f for f in RULES if f not in named and not any(f is c for c in cases)]


INDICES = {
    "an integer": np.s_[2], "from the end": np.s_[:, -1], "a slice": np.s_[1:3], "strides": np.s_[::2, ::-1][:1],
    "a new axis": np.s_[:, None, 1:], "all": np.s_[...], "the last": np.s_[..., 0], "rows": np.array([0, 3, 3, -1]),
    "pairs": (np.array([0, 1, 2]), np.array([2, 0, -1])), "a table": np.array([[0, 1], [1, 3]]),
    "crossed": (np.array([[0], [2]]), np.array([0, 2])), "rows and all": (np.array([1, 1]), slice(None)),
    "columns": (slice(None), np.array([0, 2, 0])),
}  # fmt: skip


@pytest.mark.parametrize("name", INDICES)
def test_indexing(name, rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    t = autograd.tensor(x, requires_grad=True)
    found = t[INDICES[name]]
    weights = rng.normal(size=found.shape).astype("float32")
    (found * weights).sum().backward()
    np.testing.assert_array_equal(found.numpy(force=True), x[INDICES[name]])
    expected = np.zeros_like(x)
    np.add.at(expected, INDICES[name], weights)
    np.testing.assert_allclose(t.grad, expected, rtol=1e-6)


def test_places_that_vary(rng):
    x = rng.normal(size=(6, 3)).astype("float32")
    t = autograd.tensor(x, requires_grad=True)
    total = sum((t[i] * t[i : i + 2].sum(0)).sum() for i in range(5))
    total.backward()
    np.testing.assert_allclose(
        total.item(), sum((x[i] * (x[i] + x[i + 1])).sum() for i in range(5)), rtol=1e-5
    )
    expected = np.array(
        [2 * x[i] * (i < 5) + (x[i + 1] if i < 5 else 0) + (x[i - 1] if i else 0) for i in range(6)]
    )
    np.testing.assert_allclose(t.grad, expected, rtol=1e-5)


def test_operators_of_a_traced_function_are_jaxs():
    def fn(x, y, w):
        z = 1 - x * 2.0 + y / (w + 3) - 0.5 * x**2
        return z * (x > y), (x - y) ** 3, -z, x @ y.T, x * jnp.float16(2), 2**x

    structs = [intern(A, np.dtype("float32"), False).struct] * 2
    structs.append(intern((), np.dtype("float32"), True).struct)
    found = trace(fn, structs, ()).jaxpr
    assert list(map(interned, found.out_avals)) == list(map(interned, jax.make_jaxpr(fn)(*structs).out_avals))
    args = [np.full(A, 1.5, "float32"), np.full(A, 0.25, "float32"), np.float32(2)]
    for got, want in zip(jaxpr_as_fun(found)(*args), fn(*args), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6)


TIERS = ["interpreted", "compiled"]
MATRIX = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)


@pytest.mark.parametrize("tier", TIERS)
def test_words_of_jax_keep_their_meaning(tier):
    x = autograd.tensor(MATRIX)
    with autograd.tiers(tier):
        np.testing.assert_allclose(
            autograd.nn.softmax(x, axis=None).numpy(), jax.nn.softmax(MATRIX, None), rtol=1e-6
        )
        logs = autograd.nn.log_softmax(x, axis=None).numpy()
        np.testing.assert_allclose(logs, jax.nn.log_softmax(MATRIX, None), rtol=1e-6)
        assert np.isnan(autograd.clip(x, autograd.tensor(np.float32(np.nan))).numpy()).all()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # JAX says once that it is truncated
            wide = x.astype(np.float64)
            assert wide.numpy().dtype == wide.dtype == np.float32


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x[:1, :1].reshape(-1, -1, -1),
        lambda x: x.reshape(-2, -2),
        lambda x: x.permute(),
        lambda x: autograd.permute(x, ()),
    ],
)
def test_shapes_that_mean_nothing_are_refused(call):
    with pytest.raises((autograd.ShapeError, ValueError, RuntimeError)):
        call(autograd.tensor(MATRIX)).numpy()


@pytest.mark.parametrize("tier", TIERS)
def test_the_gradient_of_an_index_beyond_the_axis_is_dropped(tier):
    take = autograd.lift(lambda v, i: v[i].sum())
    v = autograd.tensor(np.ones(3, np.float32), requires_grad=True)
    with autograd.tiers(tier):
        take(v, np.array([0, 5, -9])).backward()
        assert v.grad.tolist() == [1, 0, 0]


def test_an_array_that_a_function_read_is_its_own():
    read = np.full(3, 5, np.float32)
    x = autograd.tensor(np.ones(3, np.float32))
    y = autograd.lift(lambda x: x / read)(x)
    read[:] = 6
    np.testing.assert_allclose(y.numpy(), 0.2)
    other = np.full(3, 5, np.float32)
    np.testing.assert_allclose(autograd.lift(lambda x: x / other)(x).numpy(), 0.2)


def test_a_builtin_that_is_shadowed_later():
    scope = {}
    exec("def larger(x):\n    return x * max(1, 2)", scope)
    call, x = autograd.lift(scope["larger"]), autograd.tensor(1.0)
    assert [call(x).item(), call(x).item()] == [2, 2]
    scope["max"] = min
    assert call(x).item() == 1
