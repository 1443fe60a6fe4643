"""Recurrent networks, step by step (cells) and over whole sequences; parameters and gates in torch's order.

    a = W_ih x + b_ih,  b = W_hh h + b_hh      uniform within 1 / sqrt(hidden)
    RNN     h' = tanh(a + b)
    GRU     r, z = sigmoid(a + b);  n = tanh(a + r b);  h' = (1 - z) n + z h
    LSTM    i, f, o = sigmoid(a + b);  g = tanh(a + b);  c' = f c + i g;  h' = o tanh(c')

Sources: Elman 1990; Cho et al. 2014, arXiv:1406.1078; Hochreiter and Schmidhuber 1997.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .._tensor._namespaces import numpy
from .._tensor._tensor import tensor
from ._layers import F, uniform
from ._module import Module
from ._moving import placed

State = tuple[Any, ...]


def _rnn(a: Any, b: Any, state: State) -> State:
    return ((a + b).tanh(),)


def _relu(a: Any, b: Any, state: State) -> State:
    return ((a + b).relu(),)


def _gru(a: Any, b: Any, state: State) -> State:
    (h,) = state
    (ar, az, an), (br, bz, bn) = a.chunk(3, -1), b.chunk(3, -1)
    z = (az + bz).sigmoid()
    n = (an + (ar + br).sigmoid() * bn).tanh()
    return ((1 - z) * n + z * h,)


def _lstm(a: Any, b: Any, state: State) -> State:
    _, c = state
    i, f, g, o = (a + b).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


class _Recurrent(Module):
    """gates: how many rows of the weights there are for each hidden unit.  states: 1, or 2 with a memory."""

    gates = 1
    states = 1
    step: Callable[..., State] = staticmethod(_rnn)

    def _weights(self, suffix: str, inputs: int, hidden: int, bias: bool) -> None:
        bound = 1 / math.sqrt(hidden)
        for name, shape in (
            ("weight_ih", (inputs,)),
            ("weight_hh", (hidden,)),
            ("bias_ih", ()),
            ("bias_hh", ()),
        ):
            made = uniform((self.gates * hidden, *shape), bound) if bias or shape else None
            setattr(self, name + suffix, made)

    def _one(self, suffix: str, a: Any, state: State) -> State:
        """The state after a step, from W_ih x + b_ih."""
        own = vars(self)
        return self.step(a, F["linear"](state[0], own["weight_hh" + suffix], own["bias_hh" + suffix]), state)

    def _in(self, suffix: str, x: Any) -> Any:
        return F["linear"](x, vars(self)["weight_ih" + suffix], vars(self)["bias_ih" + suffix])

    def _given(self, hx: Any, shape: tuple[int, ...], dtype: Any) -> State:
        if hx is None:
            return tuple(tensor(np.zeros(shape, dtype)) for _ in range(self.states))
        return tuple(hx) if self.states == 2 else (hx,)


@placed
class _Cell(_Recurrent):
    def __init__(self, input_size: int, hidden_size: int, bias: bool = True) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self._weights("", input_size, hidden_size, bias)

    def forward(self, input: Any, hx: Any = None) -> Any:
        state = self._given(hx, (*input.shape[:-1], self.hidden_size), input.dtype)
        found = self._one("", self._in("", input), state)
        return found if self.states == 2 else found[0]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class RNNCell(_Cell):
    """One step of a plain recurrent network, (batch, in), (batch, hidden) -> (batch, hidden)."""


class GRUCell(_Cell):
    """One step of a gated recurrent unit."""

    gates, step = 3, staticmethod(_gru)


class LSTMCell(_Cell):
    """One step of a long short-term memory, whose state is (h, c)."""

    gates, states, step = 4, 2, staticmethod(_lstm)


@placed
class _Layers(_Recurrent):
    """Over sequences (length, batch, in), or (batch, length, in) with batch_first, or (length, in).

    Returns the outputs of the last layer at every step, and the last state of every layer: (layers * directions,
    batch, hidden). In training, outputs of all layers but the last go through dropout.
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False) -> None:  # fmt: skip
        super().__init__()
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.batch_first, self.dropout, self.bidirectional = batch_first, dropout, bidirectional
        ways = self._ways = ("", "_reverse") if bidirectional else ("",)
        for layer in range(num_layers):
            for way in ways:
                inputs = len(ways) * hidden_size if layer else input_size
                self._weights(f"_l{layer}{way}", inputs, hidden_size, bias)

    def forward(self, input: Any, hx: Any = None) -> Any:
        single = len(input.shape) == 2
        x = input.unsqueeze(1) if single else input.transpose(0, 1) if self.batch_first else input
        if len(x.shape) != 3 or x.shape[-1] != self.input_size:
            raise ValueError(
                f"{type(self).__name__}: an input of shape (length, batch, {self.input_size}) is needed, or with "
                f"batch_first (batch, length, {self.input_size}), got {input.shape}."
            )
        each = self.num_layers * len(self._ways)
        given = self._given(hx, (each, x.shape[1], self.hidden_size), x.dtype)
        if single and hx is not None:
            given = tuple(s.unsqueeze(1) for s in given)
        ends: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for way in self._ways:
                out, end = self._along(f"_l{layer}{way}", x, tuple(s[len(ends)] for s in given), bool(way))
                outputs.append(out)
                ends.append(end)
            x = outputs[0] if len(outputs) == 1 else numpy.concatenate(outputs, -1)
            if layer < self.num_layers - 1:
                x = F["dropout"](x, self.dropout, self.training)
        last = tuple(numpy.stack(parts) for parts in zip(*ends, strict=True))
        if single:
            x, last = x.squeeze(1), tuple(s.squeeze(1) for s in last)
        elif self.batch_first:
            x = x.transpose(0, 1)
        return x, last if self.states == 2 else last[0]

    def _along(self, suffix: str, x: Any, state: State, backwards: bool) -> tuple[Any, State]:
        a = self._in(suffix, x)
        outputs = [None] * x.shape[0]
        for t in reversed(range(x.shape[0])) if backwards else range(x.shape[0]):
            state = self._one(suffix, a[t], state)
            outputs[t] = state[0]
        return numpy.stack(outputs), state

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, num_layers={self.num_layers}"


@placed
class RNN(_Layers):
    """A plain recurrent network; nonlinearity is 'tanh' or 'relu'."""

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
                 bias: bool = True, batch_first: bool = False, dropout: float = 0.0,
                 bidirectional: bool = False) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}.")
        self.step = _rnn if nonlinearity == "tanh" else _relu


class GRU(_Layers):
    """A gated recurrent unit."""

    gates, step = 3, staticmethod(_gru)


class LSTM(_Layers):
    """A long short-term memory; its state is (h, c)."""

    gates, states, step = 4, 2, staticmethod(_lstm)
