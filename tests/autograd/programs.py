"""Random programs for the fuzzer: one list of instructions, run on tensors or as pure JAX."""

from typing import Any

import jax
import jax.numpy as jnp
from hypothesis import strategies as st

from nablax import autograd

REGISTERS = 4
_register = st.integers(0, REGISTERS - 1)
_number = st.sampled_from([0.5, -1.25, 2, 0.0, 1.0])
_unary = st.sampled_from(
    ["sin", "tanh", "square", "negative", "exp_small", "sum_out", "reverse", "head", "scan"]
)
_binary = st.sampled_from(["add", "subtract", "multiply", "ratio", "where"])


def instructions() -> st.SearchStrategy:
    """A list of instructions; blocks (if, while, no_grad) hold lists of their own."""
    simple = st.one_of(
        st.tuples(st.just("unary"), _unary, _register, _register),
        st.tuples(st.just("binary"), _binary, _register, _register, _register),
        st.tuples(
            st.just("number"),
            _binary.filter(lambda n: n != "where"),
            _register,
            _register,
            _number,
            st.booleans(),
        ),
        st.tuples(st.just("detach"), _register, _register),
        st.tuples(st.just("in place"), st.sampled_from(["add", "multiply"]), _register, _register),
        st.tuples(st.just("write"), _register, st.integers(0, 2), _register),
        st.tuples(st.just("look"), _register),
    )
    return st.recursive(
        st.lists(simple, min_size=1, max_size=5),
        lambda inner: st.lists(
            st.one_of(
                simple,
                st.tuples(st.just("if"), _register, _number, inner, inner),
                st.tuples(st.just("while"), _register, inner),
                st.tuples(st.just("no_grad"), inner),
            ),
            min_size=1,
            max_size=6,
        ),
        max_leaves=4,
    )


class OnTensors:
    """The program as a user of autograd would write it."""

    unary = {  # noqa: RUF012
        "sin": lambda x: x.sin(),
        "tanh": lambda x: autograd.numpy.tanh(x),
        "square": lambda x: x**2,
        "negative": lambda x: -x,
        "exp_small": lambda x: (0.1 * x).tanh().exp(),
        "sum_out": lambda x: x.sum() * 0.25 + x,
        "reverse": lambda x: x[::-1],
        "head": lambda x: x[0] - x[[2, 1, 0]],
        "scan": lambda x: autograd.lax.scan(lambda c, v: (jnp.tanh(c + v), c * v), x[0], x)[1],
    }

    def run(self, program: list, leaves: list) -> Any:
        r = [x * 1 for x in leaves]
        self._block(program, r)
        return sum((x * (i + 1)).sum() for i, x in enumerate(r))

    def _block(self, program: list, r: list) -> None:
        for kind, *args in program:
            if kind == "unary":
                name, a, out = args
                r[out] = self.unary[name](r[a])
            elif kind == "binary":
                name, a, b, out = args
                r[out] = _apply(autograd.numpy, name, r[a], r[b])
            elif kind == "number":
                name, a, out, number, swap = args
                r[out] = _apply(autograd.numpy, name, *((number, r[a]) if swap else (r[a], number)))
            elif kind == "detach":
                a, out = args
                r[out] = r[a].detach()
            elif kind == "in place":
                name, a, b = args
                r[a] = r[a] * 1  # registers may share a tensor; the reference does not
                if name == "add":
                    r[a] += r[b] * 0.5
                else:
                    r[a] *= r[b].tanh()
            elif kind == "write":
                a, i, b = args
                r[a] = r[a] * 1
                r[a][i] = r[b][2]
            elif kind == "look":
                float(r[args[0]].sum())
            elif kind == "if":
                a, bound, yes, no = args
                self._block(yes if r[a].sum() > bound else no, r)
            elif kind == "while":
                a, body = args
                turns = 0
                while turns < 3 and abs(r[a]).max() < 4:
                    self._block(body, r)
                    turns += 1
            elif kind == "no_grad":
                with autograd.no_grad():
                    self._block(args[0], r)


class OnArrays:
    """The same program as a pure function of arrays, for jax.grad."""

    unary = {  # noqa: RUF012
        "sin": jnp.sin,
        "tanh": jnp.tanh,
        "square": lambda x: x**2,
        "negative": lambda x: -x,
        "exp_small": lambda x: jnp.exp(jnp.tanh(0.1 * x)),
        "sum_out": lambda x: x.sum() * 0.25 + x,
        "reverse": lambda x: x[::-1],
        "head": lambda x: x[0] - x[::-1],
        "scan": lambda x: jnp.stack(_scan(x)),
    }

    def run(self, program: list, leaves: list) -> Any:
        self.constant = False
        r = list(leaves)
        self._block(program, r)
        return sum((x * (i + 1)).sum() for i, x in enumerate(r))

    def _keep(self, x: Any) -> Any:
        return jax.lax.stop_gradient(x) if self.constant else x

    def _block(self, program: list, r: list) -> None:
        for kind, *args in program:
            if kind == "unary":
                name, a, out = args
                r[out] = self._keep(self.unary[name](r[a]))
            elif kind == "binary":
                name, a, b, out = args
                r[out] = self._keep(_apply(jnp, name, r[a], r[b]))
            elif kind == "number":
                name, a, out, number, swap = args
                r[out] = self._keep(_apply(jnp, name, *((number, r[a]) if swap else (r[a], number))))
            elif kind == "detach":
                a, out = args
                r[out] = jax.lax.stop_gradient(r[a])
            elif kind == "in place":
                name, a, b = args
                r[a] = self._keep(r[a] + 0.5 * r[b] if name == "add" else r[a] * jnp.tanh(r[b]))
            elif kind == "write":
                a, i, b = args
                r[a] = self._keep(r[a].at[i].set(r[b][2]))
            elif kind == "if":
                a, bound, yes, no = args
                self._block(yes if r[a].sum() > bound else no, r)
            elif kind == "while":
                a, body = args
                turns = 0
                while turns < 3 and jnp.abs(r[a]).max() < 4:
                    self._block(body, r)
                    turns += 1
            elif kind == "no_grad":
                before, self.constant = self.constant, True
                self._block(args[0], r)
                self.constant = before


def _apply(np: Any, name: str, a: Any, b: Any) -> Any:
    if name == "ratio":
        return np.divide(a, 1.5 + np.square(b))
    if name == "where":
        return np.where(a > b, a * b, a - b)
    return {"add": lambda: a + b, "subtract": lambda: a - b, "multiply": lambda: a * b}[name]()


def _scan(x: Any) -> list:
    carry, out = x[0], []
    for v in x:
        out.append(carry * v)
        carry = jnp.tanh(carry + v)
    return out
