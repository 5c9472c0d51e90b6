"""Recurrent layers and their single steps."""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

from clgrad.creation import empty, zeros
from clgrad.nn import init
from clgrad.nn.modules.module import Module
from clgrad.nn.parameter import Parameter
from clgrad.nn.utils.rnn import PackedSequence
from clgrad.ops.registry import FUNCTIONS

_GATES = {"LSTM": 4, "GRU": 3, "RNN_TANH": 1, "RNN_RELU": 1}


def _check_arguments(input_size: Any, hidden_size: Any, num_layers: Any, bias: Any, batch_first: Any, dropout: Any,
                     proj_size: Any) -> None:
    if not isinstance(dropout, numbers.Number) or isinstance(dropout, bool) or not 0 <= dropout <= 1:  # type: ignore
        raise ValueError("dropout should be a number in range [0, 1] representing the probability of an element being "
                         f"zeroed, got {dropout!r}")
    if dropout > 0 and num_layers == 1:  # type: ignore[operator]
        warnings.warn("dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                      f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                      stacklevel=4)
    for name, value, kind in (("bias", bias, bool), ("batch_first", batch_first, bool), ("input_size", input_size, int),
                              ("hidden_size", hidden_size, int)):
        if not isinstance(value, kind):
            raise TypeError(f"{name} should be of type {kind.__name__}, got: {type(value).__name__}")
    for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
        if value <= 0:
            raise ValueError(f"{name} must be greater than zero, got {value}")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError(f"proj_size has to be smaller than hidden_size, got {proj_size} and {hidden_size}")


class RNNBase(Module):
    """What :class:`RNN`, :class:`LSTM` and :class:`GRU` share: their weights, and how sequences come in and go out.

    Args:
        mode: "LSTM", "GRU", "RNN_TANH" or "RNN_RELU".
        input_size, hidden_size: features of the input and of the hidden state.
        num_layers: layers, each fed with the outputs of the one before. Default: 1.
        bias: whether the products get biases. Default: True.
        batch_first: inputs and outputs are (batch, steps, features) instead of (steps, batch, features).
        dropout: probability with which outputs of all layers but the last are zeroed while training.
        bidirectional: a second set of weights runs from the end to the beginning; outputs stand side by side.
        proj_size: features to which an LSTM's hidden state is projected; 0 for none.

    Weights and biases begin uniform in +-1 / sqrt(hidden_size).
    """

    def __init__(self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
                 batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
                 device: Any = None, dtype: Any = None):
        super().__init__()
        _check_arguments(input_size, hidden_size, num_layers, bias, batch_first, dropout, proj_size)
        if mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        rows, directions = _GATES[mode] * hidden_size, 2 if bidirectional else 1
        own = proj_size or hidden_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for direction in range(directions):
                end = f"l{layer}" + ("_reverse" if direction else "")
                shapes: dict[str, tuple] = {"weight_ih_" + end: (rows, input_size if not layer else own * directions),
                                            "weight_hh_" + end: (rows, own)}
                if bias:
                    shapes |= {"bias_ih_" + end: (rows,), "bias_hh_" + end: (rows,)}
                if proj_size:
                    shapes["weight_hr_" + end] = (proj_size, hidden_size)
                for name, shape in shapes.items():
                    setattr(self, name, Parameter(empty(*shape, device=device, dtype=dtype)))
                self._all_weights.append(list(shapes))
        self.reset_parameters()

    @property
    def _flat_weights_names(self) -> list[str]:
        return [name for names in self._all_weights for name in names]

    @property
    def _flat_weights(self) -> list:
        given = self.__dict__.get("_given_weights")
        return [getattr(self, name) for name in self._flat_weights_names] if given is None else given

    @_flat_weights.setter
    def _flat_weights(self, weights: Sequence[Any]) -> None:
        """Tensors to compute with in place of the parameters, in the order of their names."""
        self.__dict__["_given_weights"] = list(weights)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if "_given_weights" in self.__dict__ and name in self._flat_weights_names:
            del self.__dict__["_given_weights"]  # the parameters count again

    @property
    def all_weights(self) -> list[list]:
        """The weights of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Does nothing: the kernels take weights from where they are."""

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    # Checks.

    def check_input(self, input: Any, batch_sizes: Any) -> None:
        """ValueError or RuntimeError where the input's dtype or shape does not fit the layer."""
        weight = self._flat_weights[0]
        if input.dtype is not weight.dtype:
            raise ValueError(f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}). Convert "
                             f"input: input.to({weight.dtype}), or convert model: model.to({input.dtype})")
        expected = 3 if batch_sizes is None else 2
        if input.ndim != expected:
            raise RuntimeError(f"input must have {expected} dimensions, got {input.ndim}")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                               f"{input.shape[-1]}")

    def get_expected_hidden_size(self, input: Any, batch_sizes: Any) -> tuple[int, int, int]:
        """The shape that the hidden state must have for an input."""
        if batch_sizes is not None:
            batch = int(batch_sizes[0])
        else:
            batch = input.shape[0 if self.batch_first else 1]
        return self.num_layers * (2 if self.bidirectional else 1), batch, self.proj_size or self.hidden_size

    def check_hidden_size(self, hx: Any, expected_hidden_size: tuple,
                          msg: str = "Expected hidden size {}, got {}") -> None:
        """RuntimeError where the hidden state has another shape."""
        if tuple(hx.shape) != tuple(expected_hidden_size):
            raise RuntimeError(msg.format(tuple(expected_hidden_size), list(hx.shape)))

    def check_forward_args(self, input: Any, hidden: Any, batch_sizes: Any) -> None:
        """All checks of a call."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden, self.get_expected_hidden_size(input, batch_sizes))

    def permute_hidden(self, hx: Any, permutation: Any) -> Any:
        """The hidden state in another order of sequences."""
        return hx if permutation is None else hx.index_select(1, permutation)

    # Calls.

    def _states(self) -> tuple[int, ...]:
        """The features of each tensor of the state."""
        return (self.hidden_size,)

    def _check_rank_of_state(self, states: tuple, rank: int, batched: str) -> None:
        if any(s.ndim != rank for s in states):
            raise RuntimeError(f"For {batched} {rank}-D input, hx should also be {rank}-D but got {states[0].ndim}-D "
                               "tensor")

    def _enter(self, input: Any, hx: Any) -> tuple[Any, Any, Any, tuple]:
        """The input, its batch sizes, the order of a packed input, and the first state, each of three dimensions."""
        batch_sizes = order = None
        states: tuple | None = None if hx is None else tuple(hx) if isinstance(hx, (tuple, list)) else (hx,)
        if isinstance(input, PackedSequence):
            input, batch_sizes, order, _ = input
            batch = int(batch_sizes[0])
        else:
            if input.ndim not in (2, 3):
                raise ValueError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.ndim}D instead")
            single = input.ndim == 2
            if states is not None:
                self._check_rank_of_state(states, input.ndim, "unbatched" if single else "batched")
            if single:
                input = input.unsqueeze(0 if self.batch_first else 1)
                states = None if states is None else tuple([s.unsqueeze(1) for s in states])
            batch = input.shape[0 if self.batch_first else 1]
        if states is None:
            count = self.num_layers * (2 if self.bidirectional else 1)
            states = tuple([zeros(count, batch, size, dtype=input.dtype, device=input.device)
                            for size in self._states()])
        else:
            states = tuple([self.permute_hidden(s, order) for s in states])
        return input, batch_sizes, order, states

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """(output, last hidden state) of (steps, batch, features), (steps, features) or a PackedSequence."""
        packed, single = isinstance(input, PackedSequence), not isinstance(input, PackedSequence) and input.ndim == 2
        back = input.unsorted_indices if packed else None
        x, batch_sizes, order, states = self._enter(input, hx)
        several = self.mode == "LSTM"
        self.check_forward_args(x, states if several else states[0], batch_sizes)
        function = FUNCTIONS[self.mode.lower()]
        first = states if several else states[0]
        options = (self._flat_weights, self.bias, self.num_layers, self.dropout, self.training, self.bidirectional)
        if packed:
            output, *last = function(x, batch_sizes, first, *options)
            output = PackedSequence(output, batch_sizes, order, back)
        else:
            output, *last = function(x, first, *options, self.batch_first)
            if single:
                output = output.squeeze(0 if self.batch_first else 1)
        last = [s.squeeze(1) if single else self.permute_hidden(s, back) for s in last]
        return output, tuple(last) if several else last[0]

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        for name, default in (("proj_size", 0), ("num_layers", 1), ("bias", True), ("batch_first", False),
                              ("dropout", 0), ("bidirectional", False)):
            value = getattr(self, name)
            if value != default:
                text += f", {name}={value}"
        return text


class RNN(RNNBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or with relu (``nonlinearity``), step by step (Elman 1990).

    Arguments as those of :class:`RNNBase`, without ``mode`` and ``proj_size``.

    >>> import clgrad
    >>> clgrad.nn.RNN(3, 4, nonlinearity="relu")(clgrad.zeros(5, 2, 3))[0].shape
    torch.Size([5, 2, 4])
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh",
                 bias: bool = True, batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False,
                 device: Any = None, dtype: Any = None, **kwargs: Any):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if kwargs:
            raise TypeError(f"RNN() got an unexpected keyword argument '{next(iter(kwargs))}'")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__("RNN_" + nonlinearity.upper(), input_size, hidden_size, num_layers, bias, batch_first, dropout,
                         bidirectional, 0, device, dtype)
        self.nonlinearity = nonlinearity


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter and Schmidhuber 1997); the state is (hidden, cell).

    Arguments as those of :class:`RNNBase`, without ``mode``.

    >>> import clgrad
    >>> output, (h, c) = clgrad.nn.LSTM(3, 4, num_layers=2)(clgrad.zeros(5, 2, 3))
    >>> output.shape, h.shape, c.shape
    (torch.Size([5, 2, 4]), torch.Size([2, 2, 4]), torch.Size([2, 2, 4]))
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__("LSTM", *args, **kwargs)

    def _states(self) -> tuple[int, ...]:
        return self.proj_size or self.hidden_size, self.hidden_size

    def _check_rank_of_state(self, states: tuple, rank: int, batched: str) -> None:
        if any(s.ndim != rank for s in states):
            listed = ", ".join(f"{s.ndim}-D" for s in states)
            raise RuntimeError(f"For {batched} {rank}-D input, hx and cx should also be {rank}-D but got ({listed}) "
                               "tensors")

    def get_expected_cell_size(self, input: Any, batch_sizes: Any) -> tuple[int, int, int]:
        """The shape that the cell state must have for an input."""
        return (*self.get_expected_hidden_size(input, batch_sizes)[:2], self.hidden_size)

    def check_forward_args(self, input: Any, hidden: Any, batch_sizes: Any) -> None:
        """All checks of a call."""
        self.check_input(input, batch_sizes)
        self.check_hidden_size(hidden[0], self.get_expected_hidden_size(input, batch_sizes),
                               "Expected hidden[0] size {}, got {}")
        self.check_hidden_size(hidden[1], self.get_expected_cell_size(input, batch_sizes),
                               "Expected hidden[1] size {}, got {}")

    def permute_hidden(self, hx: Any, permutation: Any) -> Any:
        """The state in another order of sequences."""
        if isinstance(hx, tuple):
            return tuple([super(LSTM, self).permute_hidden(s, permutation) for s in hx])
        return super().permute_hidden(hx, permutation)


class GRU(RNNBase):
    """Gated recurrent units (Cho et al. 2014), the reset gate applied after the product with the hidden state.

    Arguments as those of :class:`RNNBase`, without ``mode`` and ``proj_size``.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        if "proj_size" in kwargs:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__("GRU", *args, **kwargs)


class RNNCellBase(Module):
    """What the single steps share: weight_ih (chunks * hidden, input), weight_hh (chunks * hidden, hidden), biases."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None,
                 dtype: Any = None):
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, device=device, dtype=dtype))
        self.weight_hh = Parameter(empty(rows, hidden_size, device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            if bias:
                setattr(self, name, Parameter(empty(rows, device=device, dtype=dtype)))
            else:
                self.register_parameter(name, None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values, uniform in +-1 / sqrt(hidden_size)."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def _step(self, function: str, input: Any, states: tuple | None, count: int) -> tuple:
        """One step over a batch, or over a single vector."""
        name = type(self).__name__
        if input.ndim not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        for number, s in enumerate(states or ()):
            if s.ndim not in (1, 2):
                what = "hidden" if count == 1 else f"hx[{number}]"
                raise ValueError(f"{name}: Expected {what} to be 1D or 2D, got {s.ndim}D instead")
        single = input.ndim == 1
        x = input.unsqueeze(0) if single else input
        if states is None:
            states = (zeros(x.shape[0], self.hidden_size, dtype=x.dtype, device=x.device),) * count
        elif single:
            states = tuple([s.unsqueeze(0) if s.ndim == 1 else s for s in states])
        found = FUNCTIONS[function](x, states if count > 1 else states[0], self.weight_ih, self.weight_hh, self.bias_ih,
                                    self.bias_hh)
        found = found if isinstance(found, tuple) else (found,)
        return tuple([s.squeeze(0) for s in found]) if single else found

    def extra_repr(self) -> str:
        """The sizes, and what differs from the defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        if not self.bias:
            text += f", bias={self.bias}"
        nonlinearity = self.__dict__.get("nonlinearity", "tanh")
        return text if nonlinearity == "tanh" else f"{text}, nonlinearity={nonlinearity}"


class RNNCell(RNNCellBase):
    """One step of :class:`RNN`: (n, input_size) and the hidden state (n, hidden_size) to the next hidden state."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh",
                 device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next hidden state; ``hx`` defaults to zeros."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        return self._step(f"rnn_{self.nonlinearity}_cell", input, None if hx is None else (hx,), 1)[0]


class LSTMCell(RNNCellBase):
    """One step of :class:`LSTM`: (n, input_size) and (hidden, cell) to the next (hidden, cell)."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """The next (hidden, cell); ``hx`` defaults to zeros."""
        return self._step("lstm_cell", input, None if hx is None else tuple(hx), 2)  # type: ignore[return-value]


class GRUCell(RNNCellBase):
    """One step of :class:`GRU`: (n, input_size) and the hidden state (n, hidden_size) to the next hidden state."""

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None):
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Any, hx: Any = None) -> Any:
        """The next hidden state; ``hx`` defaults to zeros."""
        return self._step("gru_cell", input, None if hx is None else (hx,), 1)[0]
