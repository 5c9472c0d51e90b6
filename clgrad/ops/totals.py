"""Sums and means of rows of the pointwise table: the values are added up where they are computed, and not stored."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from clgrad.autograd.graph import TensorBase, ends_in, needs_graph
from clgrad.autograd.listening import switch
from clgrad.kernels import elementwise
from clgrad.ops.execute import blank, check_specs, execute
from clgrad.ops.formula import Formula
from clgrad.ops.pointwise import record
from clgrad.ops.reduction import run
from clgrad.ops.registry import FUNCTIONS, REGISTRY, Pointwise
from clgrad.ops.rows import result_strides
from clgrad.spec import Spec, contiguous_spec


@cache
def _total_of(name: str) -> Pointwise:
    """The sum of a row over a divisor. Its gradient arrives as one number, of which every value has its share."""
    row = REGISTRY.pointwise[name]
    derivatives = {operand: Formula(re.sub(r"\bg\b", "(g * (1 / divisor))", formula.text))
                   for operand, formula in row.derivatives.items()}
    return Pointwise(f"{name}_total", row.tensors, {**row.parameters, "divisor": 1.0}, row.value, None, row.kind, derivatives)


class _Ready:
    """What is known of a total before its data: the plan, and the spec of the sums of its work-items."""

    __slots__ = ("plan", "sums")

    def __init__(self, op: Pointwise, specs: tuple[Spec, ...]):
        device = check_specs(op.name, *specs)
        kind, shape = specs[0].dtype, specs[0].shape
        inputs = [elementwise.Operand(name, kind, own.strides) for name, own in zip(op.tensors, specs, strict=True)]
        target = elementwise.Operand("out", kind, result_strides(shape, list(specs)))
        self.plan = elementwise.plan(device, op.name.lstrip("_"), elementwise.calc_type(kind), [op.value.c], inputs, [target],
                                     list(op.parameters), shape, summed=True)
        self.sums = contiguous_spec((self.plan.items,) if self.plan.items > 1 else (), kind, specs[0].device)

    def __call__(self, operands: tuple, parameters: tuple) -> Any:
        result = blank(self.sums)
        execute(self.plan, operands, (result,), parameters)
        return run(result, "sum", (0,), False, self.sums.dtype)[0] if self.sums.ndim else result


_ready: dict[tuple, _Ready] = {}


def reduced_row(name: str, operands: tuple, parameters: tuple, reduction: str) -> Any:
    """The values of a row over tensors ("none"), their "mean" or "sum".

    Where nobody listens to operators, a mean or sum of floating-point values is one node, and the values are not stored.
    """
    if reduction == "none" or switch.watched or not _can_be_added(operands):
        values = FUNCTIONS[name](*operands, *parameters)
        return values if reduction == "none" else FUNCTIONS[reduction](values)
    op, specs = _total_of(name), tuple([t.spec for t in operands])
    ready = _ready.get((op, specs))
    if ready is None:
        ready = _ready[op, specs] = _Ready(op, specs)
    parameters = (*parameters, float(specs[0].numel) if reduction == "mean" else 1.0)
    result = ready(operands, parameters)
    if needs_graph(*operands):
        record(op, operands, parameters, result)
    return ends_in(result, reduction.capitalize())


def _can_be_added(operands: tuple) -> bool:
    """Whether all are tensors of one shape that holds elements, of one dtype of arithmetic, on one device."""
    first = operands[0].spec
    return first.dtype.is_floating_point and first.dtype.compute is first.dtype and first.numel > 0 and all(
        isinstance(t, TensorBase) and t.spec.shape == first.shape and t.spec.dtype is first.dtype
        and t.spec.device is first.device for t in operands)
