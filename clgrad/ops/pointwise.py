"""Running pointwise operators: promotion, broadcasting, plans, gradients. What each computes stands in ``table.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, TensorBase, attach, check_in_place, current_node, mark_changed, rebase, wrap
from clgrad.dtypes import dtype
from clgrad.kernels import elementwise
from clgrad.layout import Layout, contiguous_layout, layout
from clgrad.ops import table  # noqa: F401  (fills the registry)
from clgrad.ops.registry import FUNCTIONS, METHODS, REGISTRY, Pointwise
from clgrad.runtime import Device, new_storage, settle
from clgrad.shapes import Shape, broadcast_shapes, broadcast_strides, extent, is_dense

_NUMBERS = (int, float, np.number, np.bool_)
_plan_caches: list[dict] = []


class Prepared:
    """What is known of a call before its data: the plan and the result's layout."""

    __slots__ = ("plan", "layout", "device", "nbytes", "calc")

    def __init__(self, plan: elementwise.Plan, result: Layout, device: Device, calc: str):
        self.plan, self.layout, self.device, self.calc = plan, result, device, calc
        self.nbytes = extent(result.shape, result.strides) * result.dtype.itemsize


def clear_plans() -> None:
    """Forgets all plans: the default dtype, on which some depend, has changed."""
    for cache in _plan_caches:
        cache.clear()


def is_number(value: Any) -> bool:
    """Whether a value can be an operand without being a tensor."""
    return isinstance(value, _NUMBERS)


# Types and layouts.

def result_dtype(op: Pointwise, layouts: list[Layout | None], numbers: list[dtype]) -> tuple[dtype, dtype]:
    """(dtype of the common operands, dtype of the result)."""
    known = [a for a in layouts if a is not None]
    common = dtypes.result_type([a.dtype for a in known if a.ndim], [a.dtype for a in known if not a.ndim], numbers)
    if op.kind == "float" and not common.is_floating_point:
        common = dtypes.get_default_dtype()
    if op.kind == "integer" and common.is_floating_point:
        raise NotImplementedError(f"\"{op.name}\" not implemented for '{common.name}'")
    return common, dtypes.bool if op.kind == "bool" else common


def result_strides(shape: Shape, layouts: list[Layout]) -> Shape:
    """Strides of a new result: dense, with its dimensions in the order of the first full operand's (as PyTorch)."""
    for candidate in layouts:
        if candidate.shape == shape and is_dense(shape, candidate.strides):
            return candidate.strides
    full = next((a for a in layouts if a.shape == shape), None)
    steps = full.strides if full is not None else ()
    order = sorted(range(len(shape)), key=lambda axis: (-steps[axis], axis)) if full is not None and all(
        step > 0 for step in steps) else range(len(shape))
    strides = [0] * len(shape)
    step = 1
    for axis in reversed(list(order)):
        strides[axis] = step
        step *= max(shape[axis], 1)
    return tuple(strides)


def _prepare(op: Pointwise, operands: list[Layout | type], out: Layout | None) -> Prepared:
    """Plans a call with operands of these layouts (a type stands for a Python number)."""
    layouts = [a if isinstance(a, Layout) else None for a in operands]
    known = [a for a in layouts if a is not None]
    device = known[0].device.compute  # type: ignore[attr-defined]
    for a in known:
        if a.device.compute is not device:  # type: ignore[attr-defined]
            raise RuntimeError(f"{op.name}: expected all tensors to be on the same device, but found at least two "
                               f"devices, {known[0].device} and {a.device}!")
    conditions = [name == "condition" for name in op.tensors]
    numbers = [dtypes.of_number(a(0)) for a in operands if isinstance(a, type)]
    typed = [a for a, skip in zip(layouts, conditions, strict=True) if not skip]
    common, result = result_dtype(op, typed, numbers)
    shape = broadcast_shapes(*(a.shape for a in known))
    if out is None:
        out = layout(shape, result_strides(shape, known), result, known[0].device)
    elif broadcast_shapes(shape, out.shape) != out.shape:
        raise RuntimeError(f"{op.name}: output with shape {list(out.shape)} doesn't match the broadcast shape "
                           f"{list(shape)}")
    elif op.name != "_copy" and not dtypes.can_cast(result, out.dtype):
        raise RuntimeError(f"{op.name}: result type {result.name} can't be cast to the desired output type "
                           f"{out.dtype.name}")
    shape = out.shape
    _check_fp64(device, op.name, [*(a.dtype for a in known), common])
    calc = elementwise.calc_type(common)
    formula = op.integers if op.integers is not None and not common.is_floating_point else op.value
    inputs = [elementwise.Operand(name, a.dtype, broadcast_strides(a.shape, a.strides, shape))
              for name, a in zip(op.tensors, layouts, strict=True) if a is not None and name in formula.names]
    scalars = [name for name, a in zip(op.tensors, layouts, strict=True) if a is None]
    plan = elementwise.plan(device, op.name.lstrip("_"), calc, [formula.c], inputs,
                            [elementwise.Operand("out", out.dtype, out.strides)], [*scalars, *op.parameters], shape)
    return Prepared(plan, out, device, calc)


def _check_fp64(device: Device, name: str, used: list[dtype]) -> None:
    if dtypes.float64 in used and not device.limits.fp64:
        raise RuntimeError(f"{name}: {device.limits.name} has no float64; convert to float32 first")


def new_result(prepared: Prepared) -> Any:
    """A tensor for the result, its memory taken from the pool."""
    device = prepared.device
    return wrap(new_storage(device, prepared.nbytes, device.allocate(prepared.nbytes)), 0, prepared.layout)


# Calls.

def _scalar(calc: str, value: Any) -> Any:
    return int(value) if calc in ("int", "long") else float(value)


def _launch(op: Pointwise, prepared: Prepared, operands: tuple, parameters: tuple, out: Any, write: bool) -> None:
    """Enqueues the kernel; waits where memory is exported."""
    names = op.tensors
    formula = op.integers if op.integers is not None and prepared.calc in ("int", "long") else op.value
    tensors = [t for name, t in zip(names, operands, strict=True)
               if isinstance(t, TensorBase) and name in formula.names]
    calc = prepared.calc
    scalars = tuple([_scalar(calc, v) for v in operands if not isinstance(v, TensorBase)]
                    + [_scalar(calc, v) for v in parameters])
    tensors.append(out)
    exported = False
    buffers = []
    for position, t in enumerate(tensors):
        buffer = t.storage.buffer
        if buffer is None:
            buffer = t.storage.acquire(write and position == len(tensors) - 1)
            exported = True
        buffers.append(buffer)
    prepared.plan(tuple(buffers), tuple([t.offset for t in tensors]), scalars)
    if exported:
        settle()


def run(op: Pointwise, operands: tuple, parameters: tuple = ()) -> Any:
    """The result of a row over tensors and numbers, not recorded."""
    key = tuple([t.layout if isinstance(t, TensorBase) else type(t) for t in operands])
    plans = _plans_of(op)
    prepared = plans.get(key)
    if prepared is None:
        prepared = plans[key] = _prepare(op, list(key), None)
    out = new_result(prepared)
    _launch(op, prepared, operands, parameters, out, False)
    return out


def run_into(op: Pointwise, operands: tuple, parameters: tuple, out: Any) -> None:
    """Like :func:`run`, into an existing tensor, which may be one of the operands."""
    operands = tuple([_apart(op, t, out) for t in operands])
    key = (*[t.layout if isinstance(t, TensorBase) else type(t) for t in operands], "into", out.layout)
    plans = _plans_of(op)
    prepared = plans.get(key)
    if prepared is None:
        prepared = plans[key] = _prepare(op, list(key[:-2]), out.layout)
    mark_changed(out)
    _launch(op, prepared, operands, parameters, out, True)


def _apart(op: Pointwise, operand: Any, out: Any) -> Any:
    """The operand, copied where writing ``out`` would change elements of it that are still to be read."""
    if not isinstance(operand, TensorBase) or operand.storage is not out.storage:
        return operand
    a, b = operand.layout, out.layout
    if operand.offset == out.offset and broadcast_strides(a.shape, a.strides, b.shape) == b.strides:
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


_plans: dict[str, dict] = {}


def _plans_of(op: Pointwise) -> dict:
    found = _plans.get(op.name)
    if found is None:
        found = _plans[op.name] = {}
        _plan_caches.append(found)
    return found


# Gradients.

_derivatives: dict[tuple[str, str], Pointwise] = {}


def _derivative(op: Pointwise, operand: str) -> Pointwise:
    """The derivative's formula as a row of its own."""
    key = (op.name, operand)
    found = _derivatives.get(key)
    if found is None:
        formula = op.derivatives[operand]
        names = tuple(n for n in ("g", "y", *op.tensors) if n in formula.names)
        parameters = {n: v for n, v in op.parameters.items() if n in formula.names}
        found = _derivatives[key] = Pointwise(f"{op.name}_grad_{operand}", names, parameters, formula, None, "same", {})
    return found


def evaluate(op: Pointwise, operand: str, values: dict[str, Any]) -> Any:
    """The gradient of one operand: one fused kernel, or, where a graph of it is wanted, Tensor operations."""
    formula = op.derivatives[operand]
    text = formula.text
    if text == "g":
        return values["g"]
    if mode.enabled or formula.functions & _TENSOR_ONLY:
        operands = {n: values[n] for n in formula.names}
        if formula.functions:
            # Functions take tensors, and comparisons of numbers would give no mask: 2 ** x, x ** 4.
            operands.update({n: values["g"].new_tensor(operands[n]) for n in op.tensors
                             if n in operands and not isinstance(operands[n], TensorBase)})
        return formula.evaluate(FUNCTIONS, operands)
    row = _derivative(op, operand)
    return run(row, tuple([values[n] for n in row.tensors]), tuple([values[n] for n in row.parameters]))


# Functions of formulas that no kernel needs: their tensors are made without one.
_TENSOR_ONLY = frozenset({"zeros_like"})


def record(op: Pointwise, operands: tuple, parameters: tuple, out: Any, changes: int = 0) -> Any:
    """Makes ``out`` the result of a node. ``changes``: how often its memory is still going to change."""
    names = op.tensors
    needed = [isinstance(t, TensorBase) and t._requires_grad for t in operands]
    wanted: set[str] = set()
    for name, need in zip(names, needed, strict=True):
        if need and name not in op.derivatives:
            raise NotImplementedError(f"the derivative for '{name}' of '{op.name}' is not implemented")
        if need:
            wanted |= op.derivatives[name].names
    fixed = {n: v for n, v in zip(names, operands, strict=True) if not isinstance(v, TensorBase)}
    fixed.update(zip(op.parameters, parameters, strict=True))
    kept = [n for n in names if n in wanted and n not in fixed]
    saved = None
    if kept or "y" in wanted:
        first = names[0]
        saved = Saved(op.name, [_before_change(t) if changes and n == first else t
                                for n, t in zip(names, operands, strict=True) if n in kept])
        kept += ["y"] if "y" in wanted else []

    def backward(g: Any) -> tuple:
        values = {**fixed, "g": g}
        if saved is not None:
            values.update(zip(kept, saved.unpack(), strict=True))
        return tuple([evaluate(op, n, values) if need else None for n, need in zip(names, needed, strict=True)])
    inputs = [t if isinstance(t, TensorBase) else None for t in operands]
    node = attach(out, node_name(op.name), inputs, backward, saved)
    if saved is not None and "y" in wanted:
        saved.add_output(out, changes)
    return node


def _before_change(x: Any) -> Any:
    """A copy of an operand that is about to change in place, at its place in the graph."""
    copy = run(REGISTRY.pointwise["_copy"], (x,))
    if x._requires_grad:
        copy._requires_grad, copy._grad_fn, copy._output_nr = True, current_node(x), x._output_nr
    return copy


_NODES = {"square": "Pow", "_cube": "Pow", "_add_scaled": "Add", "_div_floor": "Div", "_div_trunc": "Div"}


def node_name(name: str) -> str:
    """PyTorch's spelling of an operator in its node's name: ``leaky_relu`` is ``LeakyRelu``."""
    if name in _NODES:
        return _NODES[name]
    return "".join(part.capitalize() for part in name.strip("_").split("_"))


# The functions.

def _records(operands: tuple) -> bool:
    if mode.enabled:
        for t in operands:
            if isinstance(t, TensorBase) and t._requires_grad:
                return True
    return False


def call(op: Pointwise, operands: tuple, parameters: tuple = (), out: Any = None) -> Any:
    """A row over tensors and numbers, recorded where that is wanted."""
    operands = _same_place(op, operands)
    if out is not None:
        return _call_out(op, operands, parameters, out)
    result = run(op, operands, parameters)
    if _records(operands) and result.layout.dtype.is_floating_point and op.derivatives:
        record(op, operands, parameters, result)
    return result


def _same_place(op: Pointwise, operands: tuple) -> tuple:
    """Checks the operands' types; 0-d tensors of the host meet tensors of another device as numbers."""
    tensors = [t for t in operands if isinstance(t, TensorBase)]
    for t in operands:
        if not isinstance(t, (TensorBase, *_NUMBERS)):
            raise TypeError(f"{op.name}(): argument must be Tensor or Number, not {type(t).__name__}")
    if not tensors:
        raise TypeError(f"{op.name}(): at least one argument must be a Tensor, got only numbers")
    devices = {t.layout.device for t in tensors}
    if len(devices) > 1:
        here = next((t.layout.device for t in tensors if t.layout.ndim), None)
        return tuple([t.to(here) if isinstance(t, TensorBase) and t.layout.device is not here and not t.layout.ndim
                      and here is not None else t for t in operands])
    return operands


def _call_out(op: Pointwise, operands: tuple, parameters: tuple, out: Any) -> Any:
    if _records(operands) or (mode.enabled and out._requires_grad):
        raise RuntimeError(f"{op.name}(): functions with out=... arguments don't support automatic differentiation, "
                           "but one of the arguments requires grad.")
    shape = broadcast_shapes(*(t.layout.shape for t in operands if isinstance(t, TensorBase)))
    if out.layout.shape != shape:
        out.resize_(shape)
    run_into(op, operands, parameters, out)
    return out


def call_in_place(op: Pointwise, operands: tuple, parameters: tuple = ()) -> Any:
    """A row whose result replaces the contents of its first operand."""
    target = operands[0]
    operands = _same_place(op, operands)
    recorded = _records(operands) and target.layout.dtype.is_floating_point
    check_in_place(target, recorded)
    if not recorded or not op.derivatives:
        run_into(op, operands, parameters, target)
        return target
    # The node is made first: it saves the operands as they are before the change.
    history = wrap(target.storage, target.offset, target.layout)
    node = record(op, operands, parameters, history, changes=1)
    run_into(op, operands, parameters, target)
    rebase(target, node, history)
    return target


def _bind(op: Pointwise, args: tuple, kwargs: dict) -> tuple[tuple, tuple, Any]:
    """Operands, parameters and ``out`` from a call's arguments."""
    out = kwargs.pop("out", None)
    names = (*op.tensors, *op.parameters)
    if len(args) > len(names):
        raise TypeError(f"{op.name}() takes {len(names)} arguments but {len(args)} were given")
    values = dict(zip(names, args, strict=False))
    renamed = {"input": op.tensors[0], "other": op.tensors[1] if len(op.tensors) > 1 else "other",
               "exponent": "b", "tensor1": "a", "tensor2": "b", "end": "b", "self": op.tensors[0], "values": "b"}
    for name, value in kwargs.items():
        name = name if name in names else renamed.get(name, name)
        if name not in names or name in values:
            raise TypeError(f"{op.name}() got an unexpected keyword argument '{name}'")
        values[name] = value
    missing = [n for n in op.tensors if n not in values]
    if missing:
        raise TypeError(f"{op.name}() missing {len(missing)} required argument(s): {', '.join(missing)}")
    parameters = tuple([values.get(n, default) for n, default in op.parameters.items()])
    return tuple([values[n] for n in op.tensors]), parameters, out


def _make_unary(op: Pointwise) -> Callable:
    plans = _plans_of(op)
    differentiable = bool(op.derivatives)

    def unary(input: Any, *, out: Any = None) -> Any:
        if out is not None or not isinstance(input, TensorBase):
            return call(op, (input,), (), out)
        key = (input.layout,)
        prepared = plans.get(key)
        if prepared is None:
            prepared = plans[key] = _prepare(op, [input.layout], None)
        buffer = input.storage.buffer
        device, nbytes = prepared.device, prepared.nbytes
        result = wrap(new_storage(device, nbytes, device.allocate(nbytes)), 0, prepared.layout)
        if buffer is None:
            _launch(op, prepared, (input,), (), result, False)
        else:
            prepared.plan((buffer, result.storage.buffer), (input.offset, 0))
        if mode.enabled and differentiable and input._requires_grad and prepared.layout.dtype.is_floating_point:
            record(op, (input,), (), result)
        return result
    return unary


def _make_binary(op: Pointwise) -> Callable:
    plans = _plans_of(op)
    differentiable = bool(op.derivatives)

    def binary(input: Any, other: Any, *, out: Any = None) -> Any:
        if out is None and isinstance(input, TensorBase) and isinstance(other, TensorBase):
            prepared = plans.get((input.layout, other.layout))
            if prepared is not None:
                left, right = input.storage.buffer, other.storage.buffer
                device, nbytes = prepared.device, prepared.nbytes
                result = wrap(new_storage(device, nbytes, device.allocate(nbytes)), 0, prepared.layout)
                if left is None or right is None:
                    _launch(op, prepared, (input, other), (), result, False)
                else:
                    prepared.plan((left, right, result.storage.buffer), (input.offset, other.offset, 0))
                if (mode.enabled and differentiable and (input._requires_grad or other._requires_grad)
                        and prepared.layout.dtype.is_floating_point):
                    record(op, (input, other), (), result)
                return result
        return call(op, (input, other), (), out)
    return binary


def _make_general(op: Pointwise) -> Callable:
    def general(*args: Any, **kwargs: Any) -> Any:
        operands, parameters, out = _bind(op, args, kwargs)
        return call(op, operands, parameters, out)
    return general


def _make_in_place(op: Pointwise) -> Callable:
    def in_place(*args: Any, **kwargs: Any) -> Any:
        operands, parameters, _ = _bind(op, args, kwargs)
        return call_in_place(op, operands, parameters)
    return in_place


def _publish(op: Pointwise) -> None:
    if not op.parameters and len(op.tensors) == 1:
        function = _make_unary(op)
    elif not op.parameters and len(op.tensors) == 2:
        function = _make_binary(op)
    else:
        function = _make_general(op)
    forms = {op.name: function}
    if op.in_place:
        forms[f"{op.name}_"] = _make_in_place(op)
    for name, form in forms.items():
        form.__name__ = form.__qualname__ = name
        form.__doc__ = describe(op, name)
        FUNCTIONS[name] = form
        if op.public:
            METHODS[name] = form


def describe(op: Pointwise, name: str) -> str:
    """The docstring of a pointwise function, from its row."""
    arguments = ", ".join([*op.tensors, *(f"{n}={v:g}" for n, v in op.parameters.items())])
    gradient = ("; ".join(f"d/d{n}: ``{f.text}``" for n, f in op.derivatives.items()) or "none (not differentiable)")
    kind = {"same": "the operands' promoted dtype", "float": "the promoted dtype, integers become floating point",
            "bool": "bool", "integer": "the promoted dtype, integers or bool"}[op.kind]
    where = "In place of the first operand's contents.\n\n" if name.endswith("_") else ""
    return (f"{name}({arguments}): ``{op.value.text}`` for each element, operands broadcast.\n\n{where}"
            f"Result: {kind}. Gradients: {gradient}.")


for _row in list(REGISTRY.pointwise.values()):
    _publish(_row)
