"""Sequences of different lengths: padded to one tensor, or packed step by step.

A :class:`PackedSequence` holds, for sequences sorted by length, the first elements of all, then the second elements of
those that have one, and so on: recurrent layers then compute nothing for what is only padding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from clgrad import dtypes
from clgrad.creation import full, tensor
from clgrad.ops.registry import FUNCTIONS
from clgrad.tensor import Tensor

__all__ = ["PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence",
           "pad_sequence", "unpack_sequence", "unpad_sequence"]


class _Fields(NamedTuple):
    data: Any
    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any


def _each(value: Any, function: Callable) -> Any:
    return None if value is None else function(value)


class PackedSequence(_Fields):
    """Packed sequences: ``data`` (elements, *), and ``batch_sizes``, how many sequences reach each step.

    ``sorted_indices`` says in which order the sequences were packed, ``unsorted_indices`` is its inverse; both are None
    where they were sorted before. Made by :func:`pack_padded_sequence` and :func:`pack_sequence`.
    """

    def __new__(cls, data: Any, batch_sizes: Any = None, sorted_indices: Any = None,
                unsorted_indices: Any = None) -> Any:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            if not (isinstance(data, (list, tuple)) and len(data) == 2):
                raise AssertionError("PackedSequence: expected data to be a list or tuple of length 2 where there are "
                                     "no batch_sizes")
            data, batch_sizes = data
        elif batch_sizes.device.type != "cpu":
            raise ValueError("PackedSequence: batch_sizes should always be on CPU, where pack_padded_sequence and "
                             f"pack_sequence put them; got {batch_sizes.device}")
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The sequences in another dtype or on another device, as :meth:`Tensor.to`; itself where nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        return PackedSequence(data, self.batch_sizes, _each(self.sorted_indices, lambda t: t.to(data.device)),
                              _each(self.unsorted_indices, lambda t: t.to(data.device)))

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The sequences on an OpenCL GPU."""
        return self.to(kwargs.pop("device", args[0] if args else "cuda"))

    def cpu(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The sequences in host memory."""
        return self.to("cpu")

    def pin_memory(self) -> PackedSequence:
        """The sequences themselves: host memory needs no pinning."""
        return self

    def is_pinned(self) -> bool:
        """Whether the data is in pinned memory."""
        return self.data.is_pinned()

    def double(self) -> PackedSequence:
        """The data as float64."""
        return self.to(dtypes.float64)

    def float(self) -> PackedSequence:
        """The data as float32."""
        return self.to(dtypes.float32)

    def half(self) -> PackedSequence:
        """The data as float16."""
        return self.to(dtypes.float16)

    def long(self) -> PackedSequence:
        """The data as int64."""
        return self.to(dtypes.int64)

    def int(self) -> PackedSequence:
        """The data as int32."""
        return self.to(dtypes.int32)

    def short(self) -> PackedSequence:
        """The data as int16."""
        return self.to(dtypes.int16)

    def char(self) -> PackedSequence:
        """The data as int8."""
        return self.to(dtypes.int8)

    def byte(self) -> PackedSequence:
        """The data as uint8."""
        return self.to(dtypes.uint8)

    @property
    def is_cuda(self) -> bool:
        """Whether the data is on a GPU."""
        return self.data.is_cuda


def _numbers(values: Any) -> list:
    return [int(n) for n in (values.tolist() if isinstance(values, Tensor) else values)]


def invert_permutation(permutation: Any) -> Any:
    """The permutation that undoes one; None for None.

    >>> import clgrad
    >>> clgrad.nn.utils.rnn.invert_permutation(clgrad.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    if permutation is None:
        return None
    order = _numbers(permutation)
    inverse = [0] * len(order)
    for place, source in enumerate(order):
        inverse[source] = place
    return tensor(inverse, dtype=dtypes.int64, device=permutation.device)


def _check_lengths(lengths: list, batch: int, steps: int, enforce_sorted: bool) -> None:
    if not lengths or not batch:
        raise RuntimeError("pack_padded_sequence: Cannot pack empty tensors.")
    if len(lengths) != batch:
        raise RuntimeError(f"pack_padded_sequence: Expected `len(lengths)` to be equal to batch_size, but got "
                           f"{len(lengths)} (batch_size={batch})")
    if any(n <= 0 for n in lengths):
        raise RuntimeError("pack_padded_sequence: Length of all samples has to be greater than 0, but found an element "
                           f"in 'lengths' that is <= 0: {lengths}")
    if enforce_sorted and any(a < b for a, b in zip(lengths, lengths[1:], strict=False)):
        raise RuntimeError("pack_padded_sequence: `lengths` array must be sorted in decreasing order when "
                           "`enforce_sorted` is True. You can pass `enforce_sorted=False` to pack_padded_sequence "
                           f"and/or pack_sequence to sidestep this requirement; got {lengths}")
    if max(lengths) > steps:
        raise RuntimeError(f"pack_padded_sequence: expected lengths of at most {steps}, the input's length, got "
                           f"{lengths}")


def pack_padded_sequence(input: Any, lengths: Any, batch_first: bool = False,
                         enforce_sorted: bool = True) -> PackedSequence:
    """Packs padded sequences.

    Args:
        input: (longest, batch, *), or (batch, longest, *) with ``batch_first``.
        lengths: the sequences' lengths, a list or a tensor.
        enforce_sorted: whether the lengths have to decrease; else they are sorted here. Default: True.

    Raises:
        RuntimeError: lengths that are not one a sequence, not positive, longer than the input, or not sorted.
    """
    if input.ndim < 2:
        raise RuntimeError(f"pack_padded_sequence: expected an input of 2 or more dimensions, got {input.ndim}D")
    if not input.numel():
        raise RuntimeError("Cannot pack empty tensors.")
    if isinstance(lengths, Tensor) and lengths.ndim != 1:
        raise RuntimeError(f"'lengths' argument should be a 1D CPU int64 tensor, but got {lengths.ndim}D "
                           f"{lengths.device.type} {lengths.dtype.name} tensor")
    counts = _numbers(lengths)
    if batch_first:
        input = input.transpose(0, 1)
    steps, batch = input.shape[:2]
    _check_lengths(counts, batch, steps, enforce_sorted)
    order = list(range(batch)) if enforce_sorted else sorted(range(batch), key=lambda n: -counts[n])
    sizes = [sum(count > step for count in counts) for step in range(max(counts))]
    places = [step * batch + source for step, size in enumerate(sizes) for source in order[:size]]
    rows = input.reshape(steps * batch, *input.shape[2:])
    data = rows.index_select(0, tensor(places, dtype=dtypes.int64, device=input.device))
    sorted_indices = None if enforce_sorted else tensor(order, dtype=dtypes.int64, device=input.device)
    return PackedSequence(data, tensor(sizes, dtype=dtypes.int64, device="cpu"), sorted_indices)


def pad_packed_sequence(sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
                        total_length: int | None = None) -> tuple[Any, Any]:
    """Undoes :func:`pack_padded_sequence`.

    Returns:
        (longest, batch, *), or (batch, longest, *) with ``batch_first``, padded with ``padding_value``, and the
        lengths. ``total_length`` pads further than to the longest.

    Raises:
        ValueError: ``total_length`` is less than the longest.
    """
    sizes = _numbers(sequence.batch_sizes)
    steps, batch = len(sizes), sizes[0]
    if total_length is not None:
        if total_length < steps:
            raise ValueError("Expected total_length to be at least the length of the longest sequence in input, but got "
                             f"total_length={total_length} and max sequence length being {steps}")
        steps = total_length
    data = sequence.data
    order = list(range(batch)) if sequence.unsorted_indices is None else _numbers(sequence.unsorted_indices)
    starts = [sum(sizes[:step]) for step in range(len(sizes))]
    nothing = data.shape[0]  # the row of padding that is appended
    places = [starts[step] + row if step < len(sizes) and row < sizes[step] else nothing
              for step in range(steps) for row in order]
    if nothing in places:
        row = full((1, *data.shape[1:]), padding_value, dtype=data.dtype, device=data.device)
        data = FUNCTIONS["cat"]([data, row])
    rows = data.index_select(0, tensor(places, dtype=dtypes.int64, device=data.device))
    padded = rows.view(steps, batch, *data.shape[1:])
    lengths = [sum(size > row for size in sizes) for row in order]
    return (padded.transpose(0, 1) if batch_first else padded,
            tensor(lengths, dtype=dtypes.int64, device="cpu"))


def pad_sequence(sequences: Any, batch_first: bool = False, padding_value: float = 0.0,
                 padding_side: str = "right") -> Any:
    """Tensors (length, *) of different lengths as one, (longest, batch, *) or (batch, longest, *).

    >>> import clgrad
    >>> clgrad.nn.utils.rnn.pad_sequence([clgrad.ones(2), clgrad.ones(1)], batch_first=True)
    tensor([[1., 1.],
            [1., 0.]])
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError("pad_sequence: Expected iterable for input sequences, but got arg of type: "
                           f"{type(sequences)}")
    listed = list(sequences)
    if not listed:
        raise RuntimeError("pad_sequence: received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"pad_sequence: Expected padding_side to be one of left or right, but got {padding_side}.")
    longest = max(s.shape[0] for s in listed)
    padded = []
    for sequence in listed:
        missing = longest - sequence.shape[0]
        if missing:
            filling = full((missing, *sequence.shape[1:]), padding_value, dtype=sequence.dtype,
                           device=sequence.device)
            sequence = FUNCTIONS["cat"]([filling, sequence] if padding_side == "left" else [sequence, filling])
        padded.append(sequence)
    return FUNCTIONS["stack"](padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list:
    """Undoes :func:`pad_sequence`: a list of tensors (length, *)."""
    rows = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [rows[number, :length] for number, length in enumerate(_numbers(lengths))]


def pack_sequence(sequences: Any, enforce_sorted: bool = True) -> PackedSequence:
    """Packs a list of tensors (length, *)."""
    listed = list(sequences)
    return pack_padded_sequence(pad_sequence(listed), [s.shape[0] for s in listed], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list:
    """Undoes :func:`pack_sequence`: a list of tensors (length, *)."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
