"""Operators that run graphs, and sequences of tensors (Python lists here)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad import dtypes
from clgrad.from_data import tensor
from clgrad.onnx.errors import OnnxError
from clgrad.onnx.operators.table import implements, ints, number, ops


@implements("If")
def if_(condition: Any, *, then_branch: Callable, else_branch: Callable) -> tuple:
    """The outputs of one of two graphs."""
    return tuple((then_branch if number(condition) else else_branch)())


@implements("Loop")
def loop(count: Any, condition: Any, *state: Any, body: Callable, outputs: int = 1) -> tuple:
    """A graph run again and again; its further outputs are stacked."""
    most = None if count is None else number(count)
    going = condition is None or bool(number(condition))
    carried, collected = list(state), [[] for _ in range(outputs - len(state))]  # type: ignore[var-annotated]
    device = next((value.device for value in (*state, count, condition) if hasattr(value, "device")), None)
    step = 0
    while going and (most is None or step < most):
        found = body(tensor(step, dtype=dtypes.int64, device=device), tensor(going, device=device), *carried)
        going, carried = bool(number(found[0])), found[1:1 + len(state)]
        for column, value in zip(collected, found[1 + len(state):], strict=True):
            column.append(value)
        step += 1
    if collected and not step:
        raise OnnxError("the loop did not run once: the shape of what it stacks is not known")
    return (*carried, *(ops.stack(column) for column in collected))


@implements("Scan", since=9)
def scan(*values: Any, body: Callable, num_scan_inputs: int, scan_input_axes: Any = None,
         scan_input_directions: Any = None, scan_output_axes: Any = None, scan_output_directions: Any = None,
         outputs: int = 1) -> tuple:
    """A graph run over the slices of tensors."""
    states = len(values) - num_scan_inputs
    carried, given = list(values[:states]), values[states:]
    count = outputs - states
    axes = scan_input_axes or [0] * num_scan_inputs
    backwards = scan_input_directions or [0] * num_scan_inputs
    steps = [x.flip(axis) if back else x for x, axis, back in zip(given, axes, backwards, strict=True)]
    columns: list[list] = [[] for _ in range(count)]
    for slices in zip(*(x.unbind(axis) for x, axis in zip(steps, axes, strict=True)), strict=True):
        found = body(*carried, *slices)
        carried = found[:states]
        for column, value in zip(columns, found[states:], strict=True):
            column.append(value)
    places, reversed_ = scan_output_axes or [0] * count, scan_output_directions or [0] * count
    made = [ops.stack(column, axis) for column, axis in zip(columns, places, strict=True)]
    return (*carried, *(x.flip(axis) if back else x for x, axis, back in zip(made, places, reversed_, strict=True)))


# Sequences.

@implements("SequenceEmpty")
def sequence_empty(*, dtype: int = 1) -> list:
    """No tensors."""
    return []


@implements("SequenceConstruct")
def sequence_construct(*values: Any) -> list:
    """These tensors, in order."""
    return list(values)


@implements("SequenceAt")
def sequence_at(values: list, position: Any) -> Any:
    """One of the tensors."""
    return values[number(position)]


@implements("SequenceLength")
def sequence_length(values: list) -> Any:
    """How many tensors there are."""
    return tensor(len(values), dtype=dtypes.int64)


@implements("SequenceInsert")
def sequence_insert(values: list, value: Any, position: Any = None) -> list:
    """A sequence with one more tensor, by default at its end."""
    at = len(values) if position is None else number(position)
    at = at + len(values) if at < 0 else at
    return [*values[:at], value, *values[at:]]


@implements("SequenceErase")
def sequence_erase(values: list, position: Any = None) -> list:
    """A sequence without one of its tensors, by default the last."""
    at = len(values) - 1 if position is None else number(position)
    at = at + len(values) if at < 0 else at
    return [value for place, value in enumerate(values) if place != at]


@implements("SplitToSequence")
def split_to_sequence(x: Any, split: Any = None, *, axis: int = 0, keepdims: int = 1) -> list:
    """The parts of a tensor along an axis; of size 1 if nothing else is said."""
    if split is None:
        return list(ops.split(x, 1, axis) if keepdims else x.unbind(axis))
    sizes = ints(split)
    return list(ops.split(x, sizes if split.dim() else sizes[0], axis))


@implements("ConcatFromSequence")
def concat_from_sequence(values: list, *, axis: int, new_axis: int = 0) -> Any:
    """The tensors one after another, or stacked along a new axis."""
    return ops.stack(values, axis) if new_axis else ops.cat(values, axis)


@implements("SequenceMap")
def sequence_map(values: list, *others: Any, body: Callable) -> tuple:
    """A graph run for each tensor; the results are sequences."""
    found = [body(value, *(other[place] if isinstance(other, list) else other for other in others))
             for place, value in enumerate(values)]
    return tuple([list(column) for column in zip(*found, strict=True)])


# Values that may be missing: None.

@implements("Optional")
def optional(value: Any = None, *, type: Any = None) -> Any:
    """The value, or none."""
    return value


@implements("OptionalGetElement")
def optional_get_element(value: Any) -> Any:
    """The value, which must be there."""
    if value is None:
        raise OnnxError("OptionalGetElement of an optional without a value")
    return value


@implements("OptionalHasElement")
def optional_has_element(value: Any = None) -> Any:
    """Whether there is a value."""
    return tensor(value is not None)
