"""Recurrent layers. ONNX orders the gates of an LSTM input, output, forget, cell, and those of a GRU update, reset, hidden.

The usual layers go to clgrad's own (one launch for all steps); what only ONNX has (peepholes, other activations, lengths,
clipping, a GRU whose reset gate comes before the product) is a loop over the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.creation import zeros
from clgrad.nn import functional as F
from clgrad.onnx.operators.pointwise import hard_sigmoid, softplus
from clgrad.onnx.operators.table import implements, ops

_ACTIVATIONS: dict[str, Callable] = {
    "relu": lambda x, a, b: ops.relu(x), "tanh": lambda x, a, b: ops.tanh(x), "sigmoid": lambda x, a, b: ops.sigmoid(x),
    "affine": lambda x, a, b: (1.0 if a is None else a) * x + (0.0 if b is None else b),
    "leakyrelu": lambda x, a, b: F.leaky_relu(x, 0.01 if a is None else a),
    "thresholdedrelu": lambda x, a, b: F.threshold(x, 1.0 if a is None else a, 0),
    "scaledtanh": lambda x, a, b: (1.0 if a is None else a) * ops.tanh((1.0 if b is None else b) * x),
    "hardsigmoid": lambda x, a, b: hard_sigmoid(x, alpha=0.2 if a is None else a, beta=0.5 if b is None else b),
    "elu": lambda x, a, b: F.elu(x, 1.0 if a is None else a),
    "softsign": lambda x, a, b: F.softsign(x), "softplus": lambda x, a, b: softplus(x),
}
_WITH_ALPHA = frozenset({"affine", "leakyrelu", "thresholdedrelu", "scaledtanh", "hardsigmoid", "elu"})
_WITH_BETA = frozenset({"affine", "scaledtanh", "hardsigmoid"})


class _Settings:
    """What the three layers have in common: their inputs, directions, activations and the order of the axes."""

    def __init__(self, usual: list[str], gates: int, x: Any, w: Any, r: Any, b: Any, lengths: Any, initial_h: Any,
                 initial_c: Any = None, *, direction: str = "forward", layout: int = 0, clip: float | None = None,
                 activations: Any = None, activation_alpha: Any = None, activation_beta: Any = None):
        self.w, self.r, self.lengths, self.clip, self.layout = w, r, lengths, clip, layout
        self.x = x.transpose(0, 1) if layout else x
        self.steps, self.batch = self.x.shape[:2]
        self.directions, self.hidden = w.shape[0], r.shape[-1]
        self.backwards = [direction == "reverse"] if self.directions == 1 else [False, True]
        self.bias = b if b is not None else zeros((self.directions, 2 * gates * self.hidden), dtype=x.dtype, device=x.device)
        self.first_h, self.first_c = self._state(initial_h), self._state(initial_c)
        self.usual = activations is None or [name.lower() for name in activations] == usual * self.directions
        self.functions = self._functions(activations or usual * self.directions, list(activation_alpha or []),
                                         list(activation_beta or []), len(usual))
        self.plain = self.usual and clip is None and lengths is None

    def _state(self, given: Any) -> Any:
        if given is None:
            return zeros((self.directions, self.batch, self.hidden), dtype=self.x.dtype, device=self.x.device)
        return given.transpose(0, 1) if self.layout else given

    @staticmethod
    def _functions(names: list[str], alphas: list, betas: list, each: int) -> list[list[Callable]]:
        found = []
        for name in (name.lower() for name in names):
            a = alphas.pop(0) if name in _WITH_ALPHA and alphas else None
            b = betas.pop(0) if name in _WITH_BETA and betas else None
            found.append(lambda x, f=_ACTIVATIONS[name], a=a, b=b: f(x, a, b))
        return [found[start:start + each] for start in range(0, len(found), each)]

    def clipped(self, x: Any) -> Any:
        """A gate's input, limited."""
        return x if self.clip is None else ops.clamp(x, -self.clip, self.clip)

    def scan(self, direction: int, state: tuple, step: Callable[[Any, tuple], tuple]) -> tuple[Any, tuple]:
        """All hidden states and the last state of one direction; a sequence that has ended keeps its state."""
        hidden: list[Any] = [None] * self.steps
        order = range(self.steps - 1, -1, -1) if self.backwards[direction] else range(self.steps)
        for place in order:
            new = step(self.x[place], state)
            if self.lengths is not None:
                alive = (self.lengths > place).unsqueeze(1)
                hidden[place] = ops.where(alive, new[0], 0.0)
                state = tuple([ops.where(alive, after, before) for after, before in zip(new, state, strict=True)])
            else:
                hidden[place], state = new[0], new
        return ops.stack(hidden), state

    def results(self, per_direction: list[tuple[Any, tuple]]) -> tuple:
        """ONNX's outputs: all hidden states (steps, directions, batch, hidden), and the last state's parts."""
        y = ops.stack([hidden for hidden, _ in per_direction], 1)
        last = [ops.stack(list(parts)) for parts in zip(*(state for _, state in per_direction), strict=True)]
        if self.layout:
            return y.permute(2, 0, 1, 3), *(part.transpose(0, 1) for part in last)
        return y, *last

    def fused(self, function: Callable, order: list[int], state: Any) -> tuple:
        """The results of clgrad's own layer, whose gates come in another order."""
        flat: list[Any] = []
        for direction in range(self.directions):
            w, r, b = self.w[direction], self.r[direction], self.bias[direction]
            half = b.shape[0] // 2
            flat += [_reordered(part, order) for part in (w, r, b[:half], b[half:])]
        x = self.x
        if self.backwards == [True]:
            x = x.flip(0)
        y, *last = function(x, state, flat, True, 1, 0.0, False, self.directions == 2, False)
        if self.backwards == [True]:
            y = y.flip(0)
        y = y.reshape(self.steps, self.batch, self.directions, self.hidden).transpose(1, 2)
        if self.layout:
            return y.permute(2, 0, 1, 3), *(part.transpose(0, 1) for part in last)
        return y, *last


def _reordered(part: Any, order: list[int]) -> Any:
    """The gates' blocks of rows in another order."""
    blocks = part.chunk(len(order))
    return part if len(order) == 1 else ops.cat([blocks[place] for place in order])


@implements("RNN")
def rnn(x: Any, w: Any, r: Any, b: Any = None, sequence_lens: Any = None, initial_h: Any = None, *, hidden_size: int = 0,
        **settings: Any) -> tuple:
    """A layer of simple recurrent units."""
    layer = _Settings(["tanh"], 1, x, w, r, b, sequence_lens, initial_h, **settings)
    if layer.plain:
        return layer.fused(ops.rnn_tanh, [0], layer.first_h)
    found = []
    for direction in range(layer.directions):
        (f,) = layer.functions[direction]
        weight, own, bias = layer.w[direction], layer.r[direction], ops.sum(layer.bias[direction].reshape(2, -1), 0)

        def step(given: Any, state: tuple, f: Callable = f, weight: Any = weight, own: Any = own, bias: Any = bias) -> tuple:
            return (f(layer.clipped(F.linear(given, weight, bias) + F.linear(state[0], own))),)
        found.append(layer.scan(direction, (layer.first_h[direction],), step))
    return layer.results(found)


@implements("LSTM")
def lstm(x: Any, w: Any, r: Any, b: Any = None, sequence_lens: Any = None, initial_h: Any = None, initial_c: Any = None,
         peepholes: Any = None, *, hidden_size: int = 0, input_forget: int = 0, **settings: Any) -> tuple:
    """A layer of long short-term memory (Hochreiter and Schmidhuber 1997)."""
    layer = _Settings(["sigmoid", "tanh", "tanh"], 4, x, w, r, b, sequence_lens, initial_h, initial_c, **settings)
    if layer.plain and peepholes is None and not input_forget:
        return layer.fused(ops.lstm, [0, 2, 3, 1], (layer.first_h, layer.first_c))
    found = []
    for direction in range(layer.directions):
        step = _lstm_step(layer, direction, None if peepholes is None else peepholes[direction].chunk(3), input_forget)
        found.append(layer.scan(direction, (layer.first_h[direction], layer.first_c[direction]), step))
    return layer.results(found)


def _lstm_step(layer: _Settings, direction: int, peepholes: Any, input_forget: int) -> Callable[[Any, tuple], tuple]:
    f, g, h = layer.functions[direction]
    weight, own, bias = layer.w[direction], layer.r[direction], ops.sum(layer.bias[direction].reshape(2, -1), 0)

    def step(given: Any, state: tuple) -> tuple:
        hidden, cell = state
        enter, leave, forget, candidate = (F.linear(given, weight, bias) + F.linear(hidden, own)).chunk(4, 1)
        if peepholes is not None:
            enter, forget = enter + peepholes[0] * cell, forget + peepholes[2] * cell
        enter = f(layer.clipped(enter))
        forget = 1 - enter if input_forget else f(layer.clipped(forget))
        cell = forget * cell + enter * g(layer.clipped(candidate))
        leave = leave if peepholes is None else leave + peepholes[1] * cell
        return f(layer.clipped(leave)) * h(cell), cell
    return step


@implements("GRU")
def gru(x: Any, w: Any, r: Any, b: Any = None, sequence_lens: Any = None, initial_h: Any = None, *, hidden_size: int = 0,
        linear_before_reset: int = 0, **settings: Any) -> tuple:
    """A layer of gated recurrent units (Cho et al. 2014)."""
    layer = _Settings(["sigmoid", "tanh"], 3, x, w, r, b, sequence_lens, initial_h, **settings)
    if layer.plain and linear_before_reset:
        return layer.fused(ops.gru, [1, 0, 2], layer.first_h)
    found = []
    for direction in range(layer.directions):
        step = _gru_step(layer, direction, bool(linear_before_reset))
        found.append(layer.scan(direction, (layer.first_h[direction],), step))
    return layer.results(found)


def _gru_step(layer: _Settings, direction: int, late: bool) -> Callable[[Any, tuple], tuple]:
    f, g = layer.functions[direction]
    weight, own, bias = layer.w[direction], layer.r[direction], layer.bias[direction]
    both, last = own[:2 * layer.hidden], own[2 * layer.hidden:]
    given_bias, own_bias = bias.chunk(2)
    both_bias, last_bias = own_bias[:2 * layer.hidden], own_bias[2 * layer.hidden:]

    def step(given: Any, state: tuple) -> tuple:
        (hidden,) = state
        update, reset, candidate = F.linear(given, weight, given_bias).chunk(3, 1)
        own_update, own_reset = F.linear(hidden, both, both_bias).chunk(2, 1)
        update, reset = f(layer.clipped(update + own_update)), f(layer.clipped(reset + own_reset))
        recalled = reset * F.linear(hidden, last, last_bias) if late else F.linear(reset * hidden, last, last_bias)
        return ((1 - update) * g(layer.clipped(candidate + recalled)) + update * hidden,)
    return step
