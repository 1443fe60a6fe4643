"""Pullbacks written by rules: each is compared with `jax.vjp`, at ordinary points and at kinks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import jaxpr_as_fun

from nablax.autograd._operation import _reverse
from nablax.autograd._operation._general import Traced, substituted
from nablax.autograd._operation._joint import trace
from nablax.autograd._operation._pullbacks import FLAT, PULLS

A, B, V, S = (4, 3), (3, 5), (3,), ()
X, W = (2, 3, 7, 6), (4, 3, 3, 2)


def pooled(start, of, *places):
    return lambda x: lax.reduce_window(x, start, of, *places)


NUMBERS = lax.GatherDimensionNumbers(offset_dims=(1,), collapsed_slice_dims=(0,), start_index_map=(0,))
FIRST, LAST = ((1,), (0,)), ((0, 2), (2, 0))

# primitive -> cases: a function of arrays, and their shapes.
CASES = {
    "neg": [(lax.neg, A)], "exp": [(lax.exp, A)], "exp2": [(lax.exp2, A)], "sin": [(lax.sin, A)], "cos": [(lax.cos, A)],
    "log": [(lambda x: lax.log(3 + x), A)], "log1p": [(lambda x: lax.log1p(3 + x), A)], "expm1": [(lax.expm1, A)],
    "tan": [(lax.tan, A)], "tanh": [(lax.tanh, A)], "logistic": [(lax.logistic, A)], "square": [(lax.square, A)],
    "sqrt": [(lambda x: lax.sqrt(3 + x), A)], "rsqrt": [(lambda x: lax.rsqrt(3 + x), A)], "abs": [(lax.abs, A)],
    "integer_pow": [(lambda x, n=n: lax.integer_pow(x + 3, n), A) for n in (-2, -1, 1, 2, 3, 5)],
    "pow": [(lambda x: lax.pow(3 + x, 1.5), A), (lambda x, y: lax.pow(3 + x, y), A, A)],
    "add": [(jnp.add, A, V), (jnp.add, S, A)], "sub": [(jnp.subtract, A, (4, 1)), (jnp.subtract, V, A)],
    "mul": [(jnp.multiply, A, V), (jnp.multiply, (1, 3), A), (lambda x: x * x, A)],
    "div": [(lambda x, y: x / (y + 3), A, V), (lambda x: 2 / (x + 3), A)],
    "max": [(jnp.maximum, A, V), (lambda x: jnp.maximum(x, 1), A)], "min": [(jnp.minimum, A, (4, 1))],
    "select_n": [(lambda x, y: jnp.where(x > 0, x, y), A, A), (lambda x, y: lax.select_n(jnp.sum(x) > 0, x, y), A, A)],
    "clamp": [(lambda x: lax.clamp(-1.0, x, 1.0), A), (lambda lo, x: lax.clamp(lo, x, lo + 1), A, A)],
    "convert_element_type": [(lambda x: x.astype(jnp.float16), A)],
    "copy": [(lambda x: lax.copy_p.bind(x), A)],
    "reshape": [(lambda x: x.reshape(6, 2), A), (lambda x: lax.reshape(x, (12,), (1, 0)), A)],
    "squeeze": [(lambda x: lax.squeeze(x, (1,)), (3, 1, 2))], "expand_dims": [(lambda x: x[:, None], A)],
    "broadcast_in_dim": [(lambda x: lax.broadcast_in_dim(x, (2, 4, 6, 3), (1, 3)), A),
                         (lambda x: lax.broadcast_in_dim(x, (4, 3), (0, 1)), (4, 1))],
    "transpose": [(lambda x: lax.transpose(x, (2, 0, 1)), (2, 3, 4))], "rev": [(lambda x: lax.rev(x, (0,)), A)],
    "slice": [(lambda x: x[1:3, 0], A), (lambda x: x[:, 0:7:3], (2, 8))],
    "pad": [(lambda x: lax.pad(x, 0.0, ((1, 2, 1), (0, 3, 0))), A),
            (lambda x: lax.pad(x, 0.0, ((-1, 2, 0), (0, 0, 0))), A)],
    "concatenate": [(lambda x, y: jnp.concatenate([x, y, x], 1), A, (4, 2))],
    "stack": [(lambda x, y: jnp.stack([x, y], 1), A, A)],
    "dynamic_slice": [(lambda x: lax.dynamic_slice(x, (np.int32(2), np.int32(0)), (3, 2)), A)],
    "dynamic_update_slice": [(lambda x, y: lax.dynamic_update_slice(x, y, (np.int32(1), np.int32(2))), A, (2, 1))],
    "gather": [(lambda x: x[jnp.array([0, 3, 0, 9])], A), (lambda x: x[jnp.array([1, 1]), jnp.array([0, 2])], A),
               (lambda x: jnp.take_along_axis(x, jnp.array([[1], [1], [0], [2]]), 1), A)],
    "reduce_sum": [(lambda x: x.sum(1), A), (lambda x: x.sum(), A)],
    "reduce_max": [(lambda x: x.max(0), A), (lambda x: x.max(), A)], "reduce_min": [(lambda x: x.min(1), A)],
    "cumsum": [(lambda x: jnp.cumsum(x, 1), A), (lambda x: lax.cumsum(x, 0, reverse=True), A)],
    "dot_general": [(jnp.matmul, A, B), (jnp.matmul, A, V), (jnp.dot, V, V), (jnp.matmul, (2, 4, 3), (2, 3, 5)),
                    (lambda x, y: lax.dot_general(x, y, (LAST, ((1,), (1,)))), (2, 4, 3, 6), (3, 4, 2, 5)),
                    (lambda x, y: jnp.einsum("kaib,jkac->kcijb", x, y), (2, 3, 4, 5), (6, 2, 3, 7))],
    "add_any": [(lambda x: jax.vjp(lambda y: y * y, x)[1](x)[0], A)],
    "copy_p": [],  # another name of copy
    "conv_general_dilated": [
        *[(lambda x, w, args=args: lax.conv_general_dilated(x, w, *args), X, W) for args in (
            ((1, 1), "VALID"), ((2, 1), "SAME"), ((3, 2), ((1, 0), (2, 3))), ((1, 2), ((4, 5), (0, 1)), None, (2, 3)),
            ((2, 3), ((2, 3), (1, 1)), (2, 3), (2, 1)), ((1, 1), ((-1, 0), (0, -2))),
        )],
        (lambda x, w: lax.conv_general_dilated(x, w, (2,), ((1, 2),), dimension_numbers=("NHC", "HIO", "HNC")),
         (2, 8, 3), (3, 3, 4)),
        (lambda x, w: lax.conv_general_dilated(x, w, (1, 1), "SAME", feature_group_count=2),
         (2, 4, 5, 5), (4, 2, 3, 3)),
    ],
    **{f"reduce_window_{name}": [
        (pooled(start, of, (1, 1, 2, 2), (1, 1, 2, 2), "VALID"), X),
        (pooled(start, of, (1, 3, 2), (1, 2, 1), "SAME"), (2, 7, 6)),
        (pooled(start, of, (2, 3), (3, 1), ((1, 0), (2, 1))), (7, 6)),
        (pooled(start, of, (2, 3), (3, 1), ((1, 0), (2, 1)), (2, 1), (1, 1)), (7, 6)),
    ] for name, start, of in (("max", -np.inf, lax.max), ("min", np.inf, lax.min), ("sum", 0.0, lax.add))},
    # without a rule: JAX's derivative of the one equation
    "sort": [(lambda x: jnp.sort(x * 2, 0) * x, A)], "cumprod": [(lambda x: jnp.cumprod(x, 0), A)],
    "custom_jvp_call": [(lambda x: jax.nn.relu(x) * x, A), (lambda x: jax.nn.softplus(x), A)],
    "scan": [(lambda x: lax.scan(lambda c, r: (c * r, c + r), x[0], x), A)],
    "split": [(lambda x: jnp.split(x * x, 3, 1)[1], A)],
}  # fmt: skip
FLAT_CASES = {
    "sign": lax.sign, "floor": lax.floor, "ceil": lax.ceil, "round": lax.round, "stop_gradient": lax.stop_gradient,
}  # fmt: skip


def values(shapes, seed):
    """Halves between -2 and 2: many equal, many 0."""
    rng = np.random.default_rng(seed)
    return [rng.integers(-4, 5, shape).astype(np.float32) / 2 for shape in shapes]


def both(fn, xs):
    """Forward and backward, by rules and by JAX."""
    structs = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in xs]
    wants = tuple(range(len(xs)))
    plain = trace(fn, structs, ())
    plain = plain._replace(jaxpr=substituted(plain.jaxpr, ()))
    joint = _reverse.joint_of(plain, wants, False)
    n = len(xs)
    made = jaxpr_as_fun(joint.forward)(*xs)
    rng = np.random.default_rng(3)
    cts = [jnp.asarray(rng.normal(size=made[k].shape), made[k].dtype) for k in joint.given]
    known = [*xs, *made]
    grads = jaxpr_as_fun(joint.pull)(*[known[r] for r in joint.reads], *cts)
    outs, pull = jax.vjp(lambda *xs: jax.tree.leaves(fn(*xs)), *xs)
    expected = pull([cts[joint.given.index(k)] if k in joint.given else np.zeros(o.shape, jax.dtypes.float0)
                     for k, o in enumerate(outs)])  # fmt: skip
    return made[: joint.results], grads, outs, expected, n


@pytest.mark.parametrize("name", CASES)
def test_a_rule_gives_what_jax_gives(name):
    for fn, *shapes in CASES[name]:
        names = str(jax.make_jaxpr(fn)(*values(shapes, 0)))
        assert name in names or name in ("copy_p", "expand_dims"), names
        for seed in range(3):
            made, grads, outs, expected, n = both(fn, values(shapes, seed))
            assert len(grads) == n
            for a, b in zip([*made, *grads], [*outs, *expected], strict=True):
                assert (a.shape, a.dtype) == (b.shape, b.dtype), str(shapes)
                np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5, err_msg=str(shapes))


@pytest.mark.parametrize("name", FLAT_CASES)
def test_no_gradient_where_jax_has_none(name):
    fn = FLAT_CASES[name]
    made, grads, outs, expected, _ = both(lambda x: fn(x) + 2 * x, values([A], 1))
    np.testing.assert_allclose(grads[0], expected[0])
    np.testing.assert_allclose(made[0], outs[0])


def test_every_rule_has_a_case():
    assert set(PULLS) <= set(CASES)
    assert set(FLAT) == set(FLAT_CASES)


def test_rules_are_used(monkeypatch):
    """None of the cases above passes because JAX was asked."""

    def refuse(*args):
        raise AssertionError("JAX was asked")

    monkeypatch.setattr(_reverse, "_by_jax", refuse)
    left = {}
    for name in PULLS:
        for k, (fn, *shapes) in enumerate(CASES[name]):
            try:
                both(fn, values(shapes, 0))
            except AssertionError:
                left.setdefault(name, []).append(k)
    windows = {f"reduce_window_{name}": [3] for name in ("max", "min", "sum")}
    assert left == {
        "pow": [1],
        "clamp": [1],
        "reshape": [1],
        "pad": [1],
        "conv_general_dilated": [7],
        **windows,
    }


def test_the_sum_of_what_is_left_is_zero():
    """An argument that the result does not depend on has a gradient of zeros."""
    _, grads, _, _, _ = both(lambda x, y: x * 2, values([A, V], 0))
    np.testing.assert_array_equal(grads[1], np.zeros(V))


def test_complex_numbers_are_left_to_jax():
    x = jax.ShapeDtypeStruct(A, np.complex64)
    plain = trace(jnp.exp, [x], ())
    with pytest.raises(_reverse.Left):
        _reverse.reversed_of(Traced(*plain), (0,))
