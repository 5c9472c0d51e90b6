"""Recurrent layers (tanh, relu, LSTM, GRU) over padded and packed sequences, and their single steps.

Sources: Hochreiter and Schmidhuber 1997, with forget gates of Gers et al. 2000 (LSTM); Sak et al. 2014 (its projection);
Cho et al. 2014, with the reset gate after the product (GRU).

The products of all steps with the input are one; what remains of a step is the product with the hidden state and the
gates.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, attach, needs_graph, wrap
from clgrad.autograd.recorded import recorded_gradients
from clgrad.autograd.walks import determined_by
from clgrad.formats import contiguous_format
from clgrad.kernels import recurrent as kernels
from clgrad.ops import recurrent_cells
from clgrad.ops.copying import empty, from_array, full, table
from clgrad.ops.execute import check_device, execute
from clgrad.ops.linalg import linear
from clgrad.ops.registry import FUNCTIONS, operator, publish

determined_by()(kernels.Plan)

State = tuple  # (hidden,) or, of an LSTM, (hidden, cell)


class Weights:
    """The weights of one layer in one direction, in the order in which PyTorch lists them; biases may be None."""

    __slots__ = ("ih", "hh", "bias_ih", "bias_hh", "hr")

    def __init__(self, ih: Any, hh: Any, bias_ih: Any = None, bias_hh: Any = None, hr: Any = None):
        self.ih, self.hh, self.bias_ih, self.bias_hh, self.hr = ih, hh, bias_ih, bias_hh, hr


# One step: the products with the input and with the hidden state are given, (n, gates * hidden).

def _tanh_step(given: Any, own: Any, state: State) -> State:
    return ((given + own).tanh(),)


def _relu_step(given: Any, own: Any, state: State) -> State:
    return ((given + own).relu(),)


def _lstm_step(given: Any, own: Any, state: State) -> State:
    enter, forget, candidate, leave = (given + own).chunk(4, 1)
    cell = forget.sigmoid() * state[1] + enter.sigmoid() * candidate.tanh()
    return leave.sigmoid() * cell.tanh(), cell


def _gru_step(given: Any, own: Any, state: State) -> State:
    (hidden,) = state
    reset, update, candidate = given.chunk(3, 1)
    own_reset, own_update, own_candidate = own.chunk(3, 1)
    reset, update = (reset + own_reset).sigmoid(), (update + own_update).sigmoid()
    candidate = (candidate + reset * own_candidate).tanh()
    return ((hidden - candidate) * update + candidate,)


STEPS: dict[str, Callable[..., State]] = {"LSTM": _lstm_step, "GRU": _gru_step, "RNN_TANH": _tanh_step,
                                          "RNN_RELU": _relu_step}


def scan(kind: str, given: Any, state: State, w: Weights, sizes: list[int], reverse: bool) -> tuple[Any, State]:
    """Runs through all steps, composed of operators.

    Args:
        kind: a key of ``STEPS``.
        given: the products with the input, all steps one after the other, (sum of sizes, gates * hidden).
        state: the first state, each (sizes[0], hidden).
        sizes: how many sequences reach each step; they do not grow.
        reverse: from the last step to the first.

    Returns:
        The hidden states (sum of sizes, hidden), and the last state of each sequence.
    """
    step = STEPS[kind]
    parts = given.split(sizes)
    first, outputs = state, [None] * len(sizes)
    ended: list[State] = []
    order = range(len(sizes) - 1, -1, -1) if reverse else range(len(sizes))
    if reverse:
        state = tuple([s[:sizes[-1]] for s in first])
    for number in order:
        rows = state[0].spec.shape[0]
        if sizes[number] < rows:  # some sequences have ended
            ended.append(tuple([s[sizes[number]:] for s in state]))
            state = tuple([s[:sizes[number]] for s in state])
        elif sizes[number] > rows:  # some begin, at their ends
            state = tuple([FUNCTIONS["cat"]([s, begin[rows:sizes[number]]])
                           for s, begin in zip(state, first, strict=True)])
        state = step(parts[number], linear(state[0], w.hh, w.bias_hh), state)
        state = state if w.hr is None else (linear(state[0], w.hr), *state[1:])
        outputs[number] = state[0]
    if ended:
        listed = [state, *reversed(ended)]
        state = tuple([FUNCTIONS["cat"](column) for column in zip(*listed, strict=True)])
    return FUNCTIONS["cat"](outputs), state


_plans: dict[tuple, kernels.Plan] = {}


def _starts(sizes: list[int], place: Any) -> Any:
    """Where the lines of each step begin, and where the last step's end."""
    if sizes[0] != sizes[-1]:
        return from_array(np.cumsum([0, *sizes], dtype=np.int32), dtypes.int32, place)
    key = (place, len(sizes), sizes[0])
    found = _uniform.get(key)
    if found is None:
        found = _uniform[key] = table(np.arange(len(sizes) + 1) * sizes[0], dtypes.int32, place)
    return found


_uniform: dict[tuple, Any] = {}


def _fused(kind: str, given: Any, state: State, w: Weights, sizes: list[int], reverse: bool) -> tuple[Any, State]:
    """:func:`scan` in one launch, and one for its gradients.

    Measured for an LSTM of 32 x 16 x 128 on two cores: a sixth of the time of the composition.
    """
    batch, hidden = state[0].spec.shape
    steps, packed = len(sizes), sizes[0] != sizes[-1]
    dtype, place = given.spec.dtype, given.spec.device
    lines = given.spec.shape[0]
    recorded = needs_graph(given, *state, w.hh, w.bias_hh)
    key = (place.compute, kind, dtype, steps, batch, hidden, reverse, w.bias_hh is not None, recorded, packed)
    plan = _plans.get(key)
    if plan is None:
        plan = _plans[key] = kernels.Plan(*key)
    given, hh = given.contiguous(), w.hh.contiguous()
    bias = None if w.bias_hh is None else w.bias_hh.contiguous()
    # Hidden states and cells of all steps, with the first state before them, or behind them when running backwards.
    start, end = (steps, 0) if reverse else (0, steps)
    tracks = [empty((steps + 1, batch, hidden), dtype, place) for _ in state]
    for track, first in zip(tracks, state, strict=True):
        track[start].copy_(first.detach())
    y, c = tracks[0], tracks[1] if len(tracks) > 1 else None
    kept = kernels.KEPT[kind]
    acts = empty((lines, kept, hidden), dtype, place) if recorded and kept else None
    output = empty((lines, hidden), dtype, place)
    befores = empty((lines, hidden), dtype, place) if packed else None
    starts = _starts(sizes, place)
    execute(plan.forward, (given, hh, bias, starts), (y, c, acts, output, befores))
    last = tuple([wrap(track.memory, track[end].offset, track[end].spec) for track in tracks])
    if not recorded:
        return output, last
    if befores is None:
        befores = (y[1:] if reverse else y[:steps]).view(lines, hidden)
    saved = Saved(kind, [given, *state, w.hh, w.bias_hh, starts, y, c, acts, befores])
    wanted = w.hh._requires_grad, bias is not None and w.bias_hh._requires_grad

    def backward(*grads: Any) -> tuple:
        given, *state, hh, bias, starts, y, c, acts, befores = saved.unpack()
        if mode.enabled:
            composed = partial(_composed, kind, sizes, reverse)
            return tuple(recorded_gradients(saved, composed, (given, *state, hh, bias), grads))
        return _gradients(kind, plan, (hh, starts, y, c, acts, befores), grads, *wanted)
    attach((output, *last), kind.replace("_", " ").title().replace(" ", ""), (given, *state, w.hh, w.bias_hh), backward,
           saved)
    return output, last


def _gradients(kind: str, plan: kernels.Plan, tensors: tuple, grads: tuple, hh_needed: bool, bias_needed: bool) -> tuple:
    """The gradients of given, the first state, hh and its bias; ``grads`` are those of the output and the last state."""
    hh, starts, y, c, acts, befores = tensors
    (lines, hidden), batch, like = befores.spec.shape, y.spec.shape[1], y.spec
    grad = full((lines, hidden), 0, like.dtype, like.device) if grads[0] is None else grads[0].contiguous()
    dgiven = empty((lines, hh.spec.shape[0]), like.dtype, like.device)
    downs = empty(dgiven.spec.shape, like.dtype, like.device) if kind == "GRU" else None
    carried = [full((batch, hidden), 0, like.dtype, like.device) if g is None else
               g.clone(memory_format=contiguous_format) for g in grads[1:]]
    execute(plan.backward, (grad, hh.contiguous(), starts, y, c, acts),
            (dgiven, downs, carried[0], carried[1] if len(carried) > 1 else None))
    down = dgiven if downs is None else downs
    return (dgiven, *carried, down.t().mm(befores) if hh_needed else None, down.sum(0) if bias_needed else None)


def _composed(kind: str, sizes: list[int], reverse: bool, given: Any, *operands: Any) -> tuple:
    """The output and the last state as Tensor operations; ``operands``: the first state, hh and its bias."""
    *state, hh, bias = operands
    output, last = scan(kind, given, tuple(state), Weights(None, hh=hh, bias_hh=bias), sizes, reverse)
    return output, *last


def _layer(kind: str, data: Any, state: State, w: Weights, sizes: list[int], reverse: bool) -> tuple[Any, State]:
    """One layer in one direction over the elements of all steps, (sum of sizes, features)."""
    given = linear(data, w.ih, w.bias_ih)
    device = check_device(kind.lower(), given, *state, w.hh, w.bias_hh)
    if w.hr is None and kernels.covers(device, kind, given.spec.dtype, len(sizes), *state[0].spec.shape):
        return _fused(kind, given, state, w, sizes, reverse)
    return scan(kind, given, state, w, sizes, reverse)


def _layers(kind: str, data: Any, sizes: list[int], first: State, params: list[Weights], num_layers: int,
            dropout: float, train: bool, bidirectional: bool) -> tuple[Any, State]:
    """All layers; states are (layers * directions, sizes[0], hidden)."""
    directions = 2 if bidirectional else 1
    for s in first:
        if s.spec.shape[:2] != (num_layers * directions, sizes[0]) or s.spec.ndim != 3:
            raise RuntimeError(f"{kind.lower()}: Expected hidden size ({num_layers * directions}, {sizes[0]}, hidden), got "
                               f"{list(s.spec.shape)}")
    last: list[State] = []
    for layer in range(num_layers):
        results = []
        for direction in range(directions):
            number = layer * directions + direction
            result, state = _layer(kind, data, tuple([s[number] for s in first]), params[number], sizes,
                                   direction == 1)
            results.append(result)
            last.append(state)
        data = results[0] if len(results) == 1 else FUNCTIONS["cat"](results, 1)
        if dropout and train and layer < num_layers - 1:
            data = FUNCTIONS["dropout"](data, dropout, True)
    return data, tuple([FUNCTIONS["stack"](column) for column in zip(*last, strict=True)])


def _weights(params: Any, has_biases: bool, projected: bool) -> list[Weights]:
    width = (4 if has_biases else 2) + projected
    params = list(params)
    found = []
    for start in range(0, len(params), width):
        own = params[start:start + width]
        bias_ih, bias_hh = own[2:4] if has_biases else (None, None)
        found.append(Weights(own[0], own[1], bias_ih, bias_hh, own[-1] if projected else None))
    return found


def _run(kind: str, name: str, args: tuple, kwargs: dict) -> tuple[Any, State]:
    """The call of a torch-level function: (input, hx, params, has_biases, num_layers, dropout, train, bidirectional,
    batch_first) for padded sequences, (data, batch_sizes, hx, params, has_biases, ..., bidirectional) for packed."""
    packed = "batch_sizes" in kwargs or "data" in kwargs or len(args) > 3 and not isinstance(args[3], (bool, int))
    names = ("data", "batch_sizes") if packed else ("input",)
    names = (*names, "hx", "params", "has_biases", "num_layers", "dropout", "train", "bidirectional",
             *(() if packed else ("batch_first",)))
    given = dict(zip(names, args, strict=False)) | kwargs
    if len(args) > len(names) or set(given) != set(names):
        raise TypeError(f"{name}(): expected the arguments {', '.join(names)}; got {len(args)} by position and "
                        f"{sorted(kwargs)} by name")
    hx = given["hx"]
    first = tuple(hx) if kind == "LSTM" else (hx,)
    params = _weights(given["params"], given["has_biases"],
                      kind == "LSTM" and first[0].spec.shape[2] != first[1].spec.shape[2])
    rest = (params, given["num_layers"], given["dropout"], given["train"], given["bidirectional"])
    if packed:
        return _layers(kind, given["data"], [int(n) for n in given["batch_sizes"].tolist()], first, *rest)
    x = given["input"].transpose(0, 1) if given["batch_first"] else given["input"]
    steps, batch, features = x.spec.shape
    if not steps:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
    data, last = _layers(kind, x.reshape(steps * batch, features), [batch] * steps, first, *rest)
    data = data.view(steps, batch, data.spec.shape[1])
    return data.transpose(0, 1) if given["batch_first"] else data, last


@operator("lstm", method=False)
def lstm(*args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
    """(output, hidden, cell) of an LSTM of several layers.

    ``lstm(input, (h, c), params, has_biases, num_layers, dropout, train, bidirectional, batch_first)``, or with
    ``(data, batch_sizes, (h, c), params, ...)`` and without ``batch_first`` for packed sequences. ``params`` lists the
    weights of each layer and direction: weight_ih, weight_hh, bias_ih, bias_hh, weight_hr.
    """
    output, last = _run("LSTM", "lstm", args, kwargs)
    return (output, *last)  # type: ignore[return-value]


def _plain(kind: str, name: str) -> None:
    def function(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        output, last = _run(kind, name, args, kwargs)
        return output, last[0]
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"(output, hidden) of recurrent layers of kind {kind}; arguments as those of ``lstm``."
    publish(function, name, method=False)


for _kind, _name in {"GRU": "gru", "RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu"}.items():
    _plain(_kind, _name)


# Single steps.

def _cell(kind: str, input: Any, state: State, w: Weights) -> State:
    name = kind.lower() + "_cell"
    features, hidden = w.ih.spec.shape[1], w.hh.spec.shape[1]
    if input.spec.shape[-1] != features:
        raise RuntimeError(f"{name}: input has inconsistent input_size: got {input.spec.shape[-1]} expected "
                           f"{features}")
    for number, s in enumerate(state):
        if s.spec.shape[0] != input.spec.shape[0]:
            raise RuntimeError(f"{name}: Input batch size {input.spec.shape[0]} doesn't match hidden{number} "
                               f"batch size {s.spec.shape[0]}")
        if s.spec.shape[1] != hidden:
            raise RuntimeError(f"{name}: hidden{number} has inconsistent hidden_size: got {s.spec.shape[1]}, "
                               f"expected {hidden}")
    given, own = linear(input, w.ih, w.bias_ih), linear(state[0], w.hh, w.bias_hh)
    composed = STEPS[kind]
    if not recurrent_cells.covers(kind, given, own, state[-1]):
        return composed(given, own, state)
    # The steps of both kinds use the last of the states: the cell, and of a GRU the hidden state.
    others = (None,) * (len(state) - 1)
    return tuple(recurrent_cells.step(kind, given, own, state[-1], lambda a, b, last: composed(a, b, (*others, last))))


@operator("lstm_cell", method=False)
def lstm_cell(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> tuple[Any, Any]:
    """(hidden, cell) after one step of an LSTM: input (n, features), ``hx`` = (hidden, cell), each (n, hidden)."""
    return _cell("LSTM", input, tuple(hx), Weights(w_ih, w_hh, b_ih, b_hh))


def _plain_cell(kind: str, name: str) -> None:
    def function(input: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
        return _cell(kind, input, (hx,), Weights(w_ih, w_hh, b_ih, b_hh))[0]
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The hidden state (n, hidden) after one step of kind {kind}: input (n, features)."
    publish(function, name, method=False)


for _kind, _name in {"GRU": "gru_cell", "RNN_TANH": "rnn_tanh_cell", "RNN_RELU": "rnn_relu_cell"}.items():
    _plain_cell(_kind, _name)
