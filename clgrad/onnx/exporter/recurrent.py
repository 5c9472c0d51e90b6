"""How recurrent layers are written: their gates in ONNX's order, one node for each layer."""

from __future__ import annotations

from typing import Any

from clgrad.onnx.errors import UnsupportedOperatorError
from clgrad.onnx.exporter.builder import Builder
from clgrad.onnx.exporter.sizes import Value
from clgrad.onnx.exporter.table import translates
from clgrad.ops.registry import FUNCTIONS

# ONNX's gates, by their places in clgrad's.
_ORDER = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}


def _gates(g: Builder, kind: str, weight: Value) -> str:
    """A weight's gates in ONNX's order, with an axis for the direction before them."""
    order = _ORDER[kind]
    if weight.constant is not None:
        blocks = weight.constant.detach().chunk(len(order))
        return g.constant(FUNCTIONS["cat"]([blocks[place] for place in order]).unsqueeze(0), name="weight")
    parts_ = g.split(weight, [weight.shape[0] // len(order)] * len(order), 0) if len(order) > 1 else (weight,)
    return g.with_axes("Unsqueeze", g.op("Concat", *(parts_[place] for place in order), axis=0), [0])


def _both(g: Builder, names: list[str], axis: int) -> str:
    return names[0] if len(names) == 1 else g.op("Concat", *names, axis=axis)


def _layers(g: Builder, kind: str, input: Value, states: tuple, flat: Any, has_biases: bool, count: int, dropout: float,
            train: bool, bidirectional: bool, batch_first: bool, **settings: Any) -> tuple:
    """All layers of a network."""
    directions = 2 if bidirectional else 1
    per = 4 if has_biases else 2
    if len(flat) != count * directions * per:
        raise UnsupportedOperatorError("export: an LSTM with a projection has no counterpart in ONNX")
    if dropout and train:
        raise UnsupportedOperatorError(f"export: dropout between layers of {kind} is not translated in training")
    x = g.op("Transpose", input, perm=[1, 0, 2]) if batch_first else g.name_of(input)
    hidden = flat[1].shape[1]
    last: list[list[str]] = [[] for _ in states]
    for layer in range(count):
        weights = [flat[(layer * directions + d) * per:(layer * directions + d + 1) * per] for d in range(directions)]
        w = _both(g, [_gates(g, kind, part[0]) for part in weights], 0)
        r = _both(g, [_gates(g, kind, part[1]) for part in weights], 0)
        b = None
        if has_biases:
            b = _both(g, [g.op("Concat", _gates(g, kind, part[2]), _gates(g, kind, part[3]), axis=1) for part in weights], 0)
        first = [None if _is_zero(state) else state if count == 1 else
                 g.slice(state, [layer * directions], [(layer + 1) * directions], [0]) for state in states]
        y, *ends = g.op(kind, x, w, r, b, None, *first, outputs=1 + len(states), hidden_size=hidden,
                        direction="bidirectional" if bidirectional else "forward", **settings)
        for column, end in zip(last, ends, strict=True):
            column.append(end)
        # (steps, directions, batch, hidden) becomes (steps, batch, directions * hidden)
        x = g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), [0, 0, directions * hidden])
    x = g.op("Transpose", x, perm=[1, 0, 2]) if batch_first else x
    return (x, *(_both(g, column, 0) for column in last))


def _is_zero(state: Value) -> bool:
    return state.constant is not None and not bool(state.constant.any())


def _checked(input: Any, flat: Any) -> None:
    if isinstance(flat, Value) or input.rank != 3:
        raise UnsupportedOperatorError("export: recurrent layers are translated for padded batches, not packed sequences")


@translates("lstm")
def lstm(g: Builder, input: Value, hx: Any, params: Any, has_biases: bool, num_layers: int, dropout: float, train: bool,
         bidirectional: bool, batch_first: bool = False) -> tuple:
    """Layers of an LSTM."""
    _checked(input, params)
    return _layers(g, "LSTM", input, tuple(hx), params, has_biases, num_layers, dropout, train, bidirectional, batch_first)


@translates("gru")
def gru(g: Builder, input: Value, hx: Value, params: Any, has_biases: bool, num_layers: int, dropout: float, train: bool,
        bidirectional: bool, batch_first: bool = False) -> tuple:
    """Layers of a GRU, whose reset gate comes after the product."""
    _checked(input, params)
    return _layers(g, "GRU", input, (hx,), params, has_biases, num_layers, dropout, train, bidirectional, batch_first,
                   linear_before_reset=1)


@translates("rnn_tanh", "rnn_relu")
def rnn(g: Builder, input: Value, hx: Value, params: Any, has_biases: bool, num_layers: int, dropout: float, train: bool,
        bidirectional: bool, batch_first: bool = False) -> tuple:
    """Layers of simple units."""
    _checked(input, params)
    name = "Tanh" if g.call_name == "rnn_tanh" else "Relu"
    return _layers(g, "RNN", input, (hx,), params, has_biases, num_layers, dropout, train, bidirectional, batch_first,
                   activations=[name] * (2 if bidirectional else 1))


# Single steps are layers over one step.

def _cell(g: Builder, kind: str, input: Value, states: tuple, w_ih: Value, w_hh: Value, b_ih: Any, b_hh: Any,
          **settings: Any) -> tuple:
    x = g.with_axes("Unsqueeze", input, [0])
    b = None if b_ih is None else g.op("Concat", _gates(g, kind, b_ih), _gates(g, kind, b_hh), axis=1)
    first = [g.with_axes("Unsqueeze", state, [0]) for state in states]
    found = g.op(kind, x, _gates(g, kind, w_ih), _gates(g, kind, w_hh), b, None, *first, outputs=1 + len(states),
                 hidden_size=w_hh.shape[1], **settings)
    return tuple([g.with_axes("Squeeze", name, [0]) for name in found[1:]])


@translates("lstm_cell")
def lstm_cell(g: Builder, input: Value, hx: Any, w_ih: Value, w_hh: Value, b_ih: Any = None, b_hh: Any = None) -> tuple:
    """A step of an LSTM."""
    return _cell(g, "LSTM", input, tuple(hx), w_ih, w_hh, b_ih, b_hh)


@translates("gru_cell")
def gru_cell(g: Builder, input: Value, hx: Value, w_ih: Value, w_hh: Value, b_ih: Any = None, b_hh: Any = None) -> str:
    """A step of a GRU."""
    return _cell(g, "GRU", input, (hx,), w_ih, w_hh, b_ih, b_hh, linear_before_reset=1)[0]


@translates("rnn_tanh_cell", "rnn_relu_cell")
def rnn_cell(g: Builder, input: Value, hx: Value, w_ih: Value, w_hh: Value, b_ih: Any = None, b_hh: Any = None) -> str:
    """A step of a simple unit."""
    name = "Tanh" if g.call_name == "rnn_tanh_cell" else "Relu"
    return _cell(g, "RNN", input, (hx,), w_ih, w_hh, b_ih, b_hh, activations=[name])[0]
