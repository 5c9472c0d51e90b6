"""Running the rows of the pointwise table over tensors and numbers: promotion, broadcasting, plans. Not recorded."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase, mark_changed
from clgrad.dtypes import dtype
from clgrad.kernels import elementwise
from clgrad.ops.execute import FAR, blank, within_reach
from clgrad.ops.node_names import kernel_name
from clgrad.ops.registry import FUNCTIONS, REGISTRY, Pointwise
from clgrad.ops.table import ALIKE, COMPLEX, FACTORS, FITTING_NUMBERS, ROUNDED_PARAMETERS
from clgrad.runtime import Device, settle
from clgrad.shapes import (
    Shape,
    broadcast_shapes,
    broadcast_strides,
    contiguous_strides,
    is_dense,
    memory_order,
    ordered_strides,
)
from clgrad.spec import Spec, common_dtype, spec

NUMBERS = (int, float, complex, np.number, np.bool_)
_plan_caches: list[dict] = []


class Prepared:
    """What is known of a call before its data: the plan and the result's spec."""

    __slots__ = ("plan", "spec", "reads", "numbers", "convert", "convert_parameter", "pairs")

    def __init__(self, plan: elementwise.Plan, result: Spec, reads: list[int], numbers: list[int], op: Pointwise,
                 common: dtype):
        self.plan, self.spec = plan, result
        # Positions of the operands that the kernel reads, and of those that are numbers, converted by ``convert``.
        self.reads, self.numbers = reads, numbers
        self.convert, self.convert_parameter = _conversions(op, common)
        self.pairs = common.is_complex  # numbers become two arguments each


def _conversions(op: Pointwise, common: dtype) -> tuple[Callable, Callable]:
    """How numbers, and parameters, become arguments of a kernel that computes in ``common``."""
    if common.is_complex:
        return _parts, _parts
    if common.is_floating_point:
        if not _is_row(op):
            return float, float  # gradients, which are no rows of the table, take numbers as they are
        half = common is not common.compute
        parameter: Callable = common.compute.fitting
        if half and op.name in ROUNDED_PARAMETERS:
            def parameter(value: Any) -> float:
                return common.rounded(common.fitting(value))
        if op.name in FACTORS:
            return common.compute.fitting if op.name == "lerp" else float, parameter
        if op.name in FITTING_NUMBERS and op.name != ("where" if half else "pow"):
            return (lambda value: common.rounded(common.fitting(value))) if half else common.fitting, parameter
        return common.rounded if half else float, parameter
    if common is dtypes.bool:
        return int, lambda value: int(bool(value))
    if common.itemsize == 8:
        return int, int
    return (common.element if op.name in FITTING_NUMBERS else common.wrapped), common.element


def _parts(value: Any) -> tuple[float, float]:
    """A number's real and imaginary part."""
    number = complex(value)
    return number.real, number.imag


def clear_plans() -> None:
    """Forgets all plans: the default dtype, on which some depend, has changed."""
    for cache in _plan_caches:
        cache.clear()


def is_number(value: Any) -> bool:
    """Whether a value can be an operand without being a tensor."""
    return isinstance(value, NUMBERS)


# Types and specs.

# The categories of dtypes (0 bool, 1 integer, 2 floating point, 3 complex) that kinds of rows take, where not all.
_CATEGORIES = {"integer": (0, 1), "whole": (1,), "number": (1, 2, 3), "real": (2, 3)}


def result_dtype(op: Pointwise, specs: list[Spec | None], numbers: list[dtype]) -> tuple[dtype, dtype]:
    """(dtype of the common operands, dtype of the result)."""
    common = common_dtype([a for a in specs if a is not None], numbers)
    if op.kind == "float" and not common.differentiable:
        common = dtypes.get_default_dtype()
    if op.kind == "pair":
        return common, common.to_complex()
    if common.is_complex and _is_row(op) and op.name not in COMPLEX:
        if op.name == "sign":
            raise NotImplementedError("Unlike NumPy, torch.sign is not intended to support complex numbers. Please use "
                                      "torch.sgn instead.")
        raise NotImplementedError(f"\"{kernel_name(op.name)}\" not implemented for '{dtypes.type_name(common)}'")
    if common.category not in _CATEGORIES.get(op.kind, (0, 1, 2, 3)):
        if op.name == "neg":
            raise RuntimeError("Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a "
                               "mask, use the `~` or `logical_not()` operator instead.")
        if op.name == "relu":
            raise RuntimeError("Boolean inputs not supported for relu")
        if op.name in ("hardtanh", "relu6"):
            raise RuntimeError("Bool inputs not supported for hardtanh")
        raise NotImplementedError(f"\"{kernel_name(op.name)}\" not implemented for '{dtypes.type_name(common)}'")
    return common, dtypes.bool if op.kind == "bool" else common


def refuse_masks(operands: list) -> None:
    """RuntimeError where an operand of a subtraction, a tensor, a number, or the spec or type of one, is of bool."""
    masks = [operand.spec.dtype is dtypes.bool if isinstance(operand, TensorBase) else
             operand.dtype is dtypes.bool if isinstance(operand, Spec) else
             (operand if isinstance(operand, type) else type(operand)) in (bool, np.bool_) for operand in operands]
    if all(masks):
        raise RuntimeError("Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or "
                           "`logical_xor()` operator instead.")
    if any(masks):
        raise RuntimeError("Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert "
                           "a mask, use the `~` or `logical_not()` operator instead.")


def _check_lerp(start: Spec | None, end: Spec | None, weight: Spec | None) -> None:
    """TypeError or RuntimeError where the ends of an interpolation, or its weights, are not of one floating-point dtype."""
    if start is None or end is None:
        raise TypeError("lerp() received an invalid combination of arguments: input and end must be Tensors")
    for name, other in (("end", end), ("weight", weight)):
        if other is not None and other.dtype is not start.dtype and (name == "end" or other.ndim):
            raise RuntimeError(f"expected dtype {dtypes.c_name(start.dtype)} for `{name}` but got dtype "
                               f"{dtypes.c_name(other.dtype)}")
    if not start.dtype.differentiable:
        raise NotImplementedError(f"\"lerp_kernel_scalar\" not implemented for '{dtypes.type_name(start.dtype)}'")


def result_strides(shape: Shape, specs: list[Spec]) -> Shape:
    """Strides of a new result: dense, with its dimensions in the order in which the operands' lie in memory (as PyTorch)."""
    if all(a.shape == shape for a in specs):
        if all(a.contiguous for a in specs):
            return contiguous_strides(shape)
        first = specs[0].strides
        if is_dense(shape, first) and all(a.strides == first for a in specs):
            return first
    order = memory_order(shape, [broadcast_strides(a.shape, a.strides, shape) for a in specs])
    return ordered_strides(shape, order)


def _prepare(op: Pointwise, operands: list[Spec | type], out: Spec | None) -> Prepared:
    """Plans a call with operands of these specs (a type stands for a Python number)."""
    specs = [a if isinstance(a, Spec) else None for a in operands]
    known = [a for a in specs if a is not None]
    if not known:
        kinds = [a.__name__ for a in operands if isinstance(a, type)]
        raise TypeError(f"{op.name.strip('_')}(): argument 'input' must be Tensor, not {kinds[0]}")
    if op.name in ("sub", "_absolute_error"):
        refuse_masks(operands)
    elif op.name == "lerp":
        _check_lerp(*specs)
    elif op.name == "addcdiv" and not common_dtype(known).differentiable:
        raise RuntimeError("Integer division with addcdiv is no longer supported, and in a future  release addcdiv will "
                           "perform a true division of tensor1 and tensor2; divide with torch.div and a rounding_mode, and "
                           "add the result.")
    elif op.name == "heaviside" and len({a.dtype for a in known}) > 1:
        raise RuntimeError("heaviside is not yet implemented for tensors with different dtypes.")
    device = known[0].device.compute  # type: ignore[attr-defined]
    for a in known:
        if a.device.compute is not device:  # type: ignore[attr-defined]
            raise RuntimeError(f"{op.name}: expected all tensors to be on the same device, but found at least two "
                               f"devices, {known[0].device} and {a.device}!")
    conditions = [name == "condition" for name in op.tensors]
    numbers = [dtypes.of_number(a(0)) for a in operands if isinstance(a, type)]
    typed = [a for a, skip in zip(specs, conditions, strict=True) if not skip]
    common, result = result_dtype(op, typed, numbers)
    shape: Shape = broadcast_shapes(*(a.shape for a in known))
    if out is None:
        strides = contiguous_strides(shape) if op.row_major else result_strides(shape, known)
        out = spec(shape, strides, result, known[0].device)
    elif broadcast_shapes(shape, out.shape) != out.shape:
        raise RuntimeError(f"{op.name}: output with shape {list(out.shape)} doesn't match the broadcast shape "
                           f"{list(shape)}")
    elif op.name != "_copy" and not dtypes.can_cast(result, out.dtype):
        raise RuntimeError(f"{op.name.lstrip('_')}: result type {dtypes.type_name(result)} can't be cast to the desired "
                           f"output type {dtypes.type_name(out.dtype)}")
    shape = out.shape
    _check_fp64(device, op.name, [*(a.dtype for a in known), common])
    if (op.kind == "pair" or op.name == "_copy") and out.dtype.is_complex:
        common = dtypes.promote_types(common, out.dtype)
    formula = op.integers if op.integers is not None and not common.differentiable else op.value
    reads = [n for n, name in enumerate(op.tensors) if specs[n] is not None and name in formula.names]
    numbered = [n for n, a in enumerate(specs) if a is None]
    narrowed = _narrowed(op, common)
    inputs = [elementwise.Operand(op.tensors[n], a.dtype, broadcast_strides(a.shape, a.strides, shape),
                                  common if not a.ndim and narrowed[n] and not conditions[n] else None)
              for n in reads if (a := specs[n]) is not None]  # type: ignore[assignment]
    scalars = [*(op.tensors[n] for n in numbered), *op.parameters]
    output = elementwise.Operand("out", out.dtype, out.strides)
    if op.name in ALIKE and not scalars and all(o.dtype is common for o in (*inputs, output)) and common.is_complex:
        inputs, output, shape = [o.parts() for o in inputs], output.parts(), (*shape, 2)
        common = common.to_real()
    value = formula.complex_c(conjugated=not _is_row(op)) if common.is_complex else formula.c
    plan = elementwise.plan(device, op.name.lstrip("_"), elementwise.calc_type(common), [value], inputs, [output], scalars,
                            shape)
    return Prepared(plan, out, reads, numbered, op, common)


def _is_row(op: Pointwise) -> bool:
    """Whether it is a row of the table, and not the derivative of one."""
    return REGISTRY.pointwise.get(op.name) is op


def _narrowed(op: Pointwise, common: dtype) -> list[bool]:
    """For each operand whether a 0-d tensor, which may be of a wider dtype, becomes the common one before it is used.

    Beside 16-bit floats divisors, and factors that stand second, stay what they are, as do operands of gradients.
    """
    if common is common.compute:
        return [True] * len(op.tensors)
    if not _is_row(op):
        return [False] * len(op.tensors)
    return [position != 1 or op.name not in FACTORS or op.name == "lerp" for position in range(len(op.tensors))]


def plan_for(op: Pointwise, key: tuple, operands: list[Spec | type], out: Spec | None) -> Prepared:
    """Plans a call and keeps the plan under ``key``."""
    prepared = _prepare(op, operands, out)
    if not op.plans:
        _plan_caches.append(op.plans)
    op.plans[key] = prepared
    return prepared


def _check_fp64(device: Device, name: str, used: list[dtype]) -> None:
    if not device.limits.fp64 and any(kind.to_real() is dtypes.float64 for kind in used):
        raise RuntimeError(f"{name}: {device.limits.name} has no float64; convert to float32 first")


# Calls.

def launch(prepared: Prepared, operands: tuple, parameters: tuple, out: Any, write: bool) -> None:
    """Enqueues the kernel; waits where memory is exported."""
    exported = False
    buffers, offsets = [], []
    for position in prepared.reads:
        t = operands[position]
        buffer = t.memory.buffer
        if buffer is None:
            buffer = t.memory.acquire()
            exported = exported or t.memory.buffer is None
        offset = t.offset
        if offset >= FAR:
            buffer, offset = within_reach(buffer, t)
        buffers.append(buffer)
        offsets.append(offset)
    buffer = out.memory.buffer
    if buffer is None:
        buffer = out.memory.acquire(write)
        exported = exported or out.memory.buffer is None
    offset = out.offset
    if offset >= FAR:
        buffer, offset = within_reach(buffer, out)
    buffers.append(buffer)
    offsets.append(offset)
    scalars: tuple = ()
    if prepared.numbers or parameters:
        convert, number = prepared.convert_parameter, prepared.convert
        scalars = tuple([number(operands[n]) for n in prepared.numbers] + [convert(v) for v in parameters])
        if prepared.pairs:
            scalars = tuple(chain.from_iterable(scalars))
    prepared.plan(tuple(buffers), tuple(offsets), scalars)
    if exported:
        settle()


def run(op: Pointwise, operands: tuple, parameters: tuple = ()) -> Any:
    """The result of a row over tensors and numbers, not recorded."""
    key = tuple([t.spec if isinstance(t, TensorBase) else type(t) for t in operands])
    prepared = op.plans.get(key)
    if prepared is None:
        prepared = plan_for(op, key, list(key), None)
    out = blank(prepared.spec)
    launch(prepared, operands, parameters, out, False)
    return out


def run_into(op: Pointwise, operands: tuple, parameters: tuple, out: Any) -> None:
    """Like :func:`run`, into an existing tensor, which may be one of the operands."""
    operands = tuple([apart(op, t, out) for t in operands])
    key = (*[t.spec if isinstance(t, TensorBase) else type(t) for t in operands], "into", out.spec)
    prepared = op.plans.get(key)
    if prepared is None:
        prepared = plan_for(op, key, list(key[:-2]), out.spec)
    mark_changed(out)
    launch(prepared, operands, parameters, out, True)


def apart(op: Pointwise, operand: Any, out: Any) -> Any:
    """The operand, copied where writing ``out`` would change elements of it that are still to be read."""
    if not isinstance(operand, TensorBase) or operand.memory is not out.memory:
        return operand
    a, b = operand.spec, out.spec
    if operand.offset == out.offset and (a is b or broadcast_strides(a.shape, a.strides, b.shape) == b.strides):
        return operand
    size_a, size_b = a.dtype.itemsize, b.dtype.itemsize
    if (operand.offset * size_a >= (out.offset + b.extent) * size_b
            or out.offset * size_b >= (operand.offset + a.extent) * size_a):
        return operand
    if is_dense(a.shape, a.strides) and is_dense(b.shape, b.strides):
        raise RuntimeError(f"{op.name}: unsupported operation: some elements of the input tensor and the written-to "
                           "tensor refer to a single memory location. Please clone() the tensor before performing the "
                           "operation.")
    return FUNCTIONS["clone"](operand)
