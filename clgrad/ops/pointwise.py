"""Running pointwise operators: promotion, broadcasting, plans, gradients. What each computes stands in ``table.py``."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, TensorBase, attach, check_in_place, current_node, mark_changed, rebase, wrap
from clgrad.autograd.listening import switch
from clgrad.dtypes import dtype
from clgrad.kernels import elementwise
from clgrad.layout import Layout, layout
from clgrad.ops.interception import intercepted, quick_form
from clgrad.ops.node_names import OVERLOADS, node_name
from clgrad.ops.registry import FUNCTIONS, REGISTRY, Pointwise, publish
from clgrad.ops.table import TENSOR_FIRST, TENSORS_ONLY
from clgrad.runtime import Device, result_storage, settle
from clgrad.shapes import Shape, broadcast_shapes, broadcast_strides, is_dense

_NUMBERS = (int, float, np.number, np.bool_)
_plan_caches: list[dict] = []


class Prepared:
    """What is known of a call before its data: the plan and the result's layout."""

    __slots__ = ("plan", "layout", "device", "nbytes", "reads", "numbers", "convert")

    def __init__(self, plan: elementwise.Plan, result: Layout, device: Device, calc: str, reads: list[int],
                 numbers: list[int]):
        self.plan, self.layout, self.device = plan, result, device
        self.nbytes = result.extent * result.dtype.itemsize
        # Positions of the operands that the kernel reads, and of those that are numbers, converted by ``convert``.
        self.reads, self.numbers = reads, numbers
        self.convert: Callable = int if calc in ("int", "long") else float


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
        raise NotImplementedError(f"\"{op.name}\" not implemented for '{dtypes.type_name(common)}'")
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
    shape: Shape = broadcast_shapes(*(a.shape for a in known))
    if out is None:
        out = layout(shape, result_strides(shape, known), result, known[0].device)
    elif broadcast_shapes(shape, out.shape) != out.shape:
        raise RuntimeError(f"{op.name}: output with shape {list(out.shape)} doesn't match the broadcast shape "
                           f"{list(shape)}")
    elif op.name != "_copy" and not dtypes.can_cast(result, out.dtype):
        raise RuntimeError(f"{op.name}: result type {dtypes.type_name(result)} can't be cast to the desired output "
                           f"type {dtypes.type_name(out.dtype)}")
    shape = out.shape
    _check_fp64(device, op.name, [*(a.dtype for a in known), common])
    calc = elementwise.calc_type(common)
    formula = op.integers if op.integers is not None and not common.is_floating_point else op.value
    reads = [n for n, name in enumerate(op.tensors) if layouts[n] is not None and name in formula.names]
    numbered = [n for n, a in enumerate(layouts) if a is None]
    inputs = [elementwise.Operand(op.tensors[n], a.dtype, broadcast_strides(a.shape, a.strides, shape))
              for n in reads if (a := layouts[n]) is not None]  # type: ignore[assignment]
    scalars = [*(op.tensors[n] for n in numbered), *op.parameters]
    plan = elementwise.plan(device, op.name.lstrip("_"), calc, [formula.c], inputs,
                            [elementwise.Operand("out", out.dtype, out.strides)], scalars, shape)
    return Prepared(plan, out, device, calc, reads, numbered)


def _plan(op: Pointwise, key: tuple, operands: list[Layout | type], out: Layout | None) -> Prepared:
    """Plans a call and keeps the plan under ``key``."""
    prepared = _prepare(op, operands, out)
    if not op.plans:
        _plan_caches.append(op.plans)
    op.plans[key] = prepared
    return prepared


def _check_fp64(device: Device, name: str, used: list[dtype]) -> None:
    if dtypes.float64 in used and not device.limits.fp64:
        raise RuntimeError(f"{name}: {device.limits.name} has no float64; convert to float32 first")


# Calls.

def _launch(prepared: Prepared, operands: tuple, parameters: tuple, out: Any, write: bool) -> None:
    """Enqueues the kernel; waits where memory is exported."""
    exported = False
    buffers, offsets = [], []
    for position in prepared.reads:
        t = operands[position]
        buffer = t.memory.buffer
        if buffer is None:
            buffer = t.memory.acquire()
            exported = True
        buffers.append(buffer)
        offsets.append(t.offset)
    buffer = out.memory.buffer
    if buffer is None:
        buffer = out.memory.acquire(write)
        exported = True
    buffers.append(buffer)
    offsets.append(out.offset)
    scalars: tuple = ()
    if prepared.numbers or parameters:
        convert = prepared.convert
        scalars = tuple([convert(operands[n]) for n in prepared.numbers] + [convert(v) for v in parameters])
    prepared.plan(tuple(buffers), tuple(offsets), scalars)
    if exported:
        settle()


def run(op: Pointwise, operands: tuple, parameters: tuple = ()) -> Any:
    """The result of a row over tensors and numbers, not recorded."""
    key = tuple([t.layout if isinstance(t, TensorBase) else type(t) for t in operands])
    prepared = op.plans.get(key)
    if prepared is None:
        prepared = _plan(op, key, list(key), None)
    out = wrap(result_storage(prepared.device, prepared.nbytes), 0, prepared.layout)
    _launch(prepared, operands, parameters, out, False)
    return out


def run_into(op: Pointwise, operands: tuple, parameters: tuple, out: Any) -> None:
    """Like :func:`run`, into an existing tensor, which may be one of the operands."""
    operands = tuple([_apart(op, t, out) for t in operands])
    key = (*[t.layout if isinstance(t, TensorBase) else type(t) for t in operands], "into", out.layout)
    prepared = op.plans.get(key)
    if prepared is None:
        prepared = _plan(op, key, list(key[:-2]), out.layout)
    mark_changed(out)
    _launch(prepared, operands, parameters, out, True)


def _apart(op: Pointwise, operand: Any, out: Any) -> Any:
    """The operand, copied where writing ``out`` would change elements of it that are still to be read."""
    if not isinstance(operand, TensorBase) or operand.memory is not out.memory:
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


# Gradients.

# Functions of formulas that no kernel needs: their tensors are made without one.
_TENSOR_ONLY = frozenset({"zeros_like", "_not_implemented"})


class _Rule:
    """The derivative of a row with respect to one operand."""

    __slots__ = ("name", "formula", "row", "passes", "composed")

    def __init__(self, op: Pointwise, operand: str):
        formula = op.derivatives[operand]
        names = tuple(n for n in ("g", "y", *op.tensors) if n in formula.names)
        parameters = {n: v for n, v in op.parameters.items() if n in formula.names}
        self.name, self.formula = operand, formula
        self.row = Pointwise(f"{op.name}_grad_{operand}", names, parameters, formula, None, "same", {})
        self.passes = formula.text == "g"  # the incoming gradient itself
        self.composed = bool(formula.functions & _TENSOR_ONLY)

    def __call__(self, op: Pointwise, values: dict[str, Any]) -> Any:
        """The gradient: one fused kernel, or, where a graph of it is wanted, Tensor operations."""
        if self.passes:
            return values["g"]
        if mode.enabled or self.composed:
            formula = self.formula
            operands = {n: values[n] for n in formula.names}
            if formula.functions:
                # Functions take tensors, and comparisons of numbers would give no mask: 2 ** x, x ** 4.
                operands.update({n: values["g"].new_tensor(operands[n]) for n in op.tensors
                                 if n in operands and not isinstance(operands[n], TensorBase)})
            return formula.evaluate(_FORMULA_FUNCTIONS, operands)
        row = self.row
        return run(row, tuple([values[n] for n in row.tensors]),
                   tuple([values[n] for n in row.parameters]) if row.parameters else ())


_rules: dict[tuple[Pointwise, str], _Rule] = {}


def _rule(op: Pointwise, operand: str) -> _Rule:
    found = _rules.get((op, operand))
    if found is None:
        found = _rules[op, operand] = _Rule(op, operand)
    return found


class _Recipe:
    """What recording a row needs, for one choice of operands that are numbers and of those that need gradients."""

    def __init__(self, op: Pointwise, tensors: tuple[bool, ...], needed: tuple[bool, ...]):
        names = op.tensors
        for name, need in zip(names, needed, strict=True):
            if need and name not in op.derivatives:
                raise NotImplementedError(f"the derivative for '{name}' of '{op.name}' is not implemented")
        self.name = OVERLOADS.get((op.name, tensors)) or node_name(op.name)
        self.rules = [_rule(op, name) if need else None for name, need in zip(names, needed, strict=True)]
        wanted = {n for rule in self.rules if rule for n in rule.formula.names}
        self.kept = [n for n, name in enumerate(names) if tensors[n] and name in wanted]
        self.numbers = [n for n, is_tensor in enumerate(tensors) if not is_tensor]
        self.value = "y" in wanted
        self.saved_names = [names[n] for n in self.kept] + (["y"] if self.value else [])


_recipes: dict[tuple, _Recipe] = {}


def record(op: Pointwise, operands: tuple, parameters: tuple, out: Any, changes: int = 0) -> Any:
    """Makes ``out`` the result of a node. ``changes``: how often its memory is still going to change."""
    inputs = [t if isinstance(t, TensorBase) else None for t in operands]
    key = (op, *[None if t is None else t._requires_grad for t in inputs])
    recipe = _recipes.get(key)
    if recipe is None:
        recipe = _recipes[key] = _Recipe(op, tuple([t is not None for t in inputs]),
                                         tuple([t is not None and t._requires_grad for t in inputs]))
    fixed = {op.tensors[n]: operands[n] for n in recipe.numbers} if recipe.numbers else {}
    if parameters:
        fixed.update(zip(op.parameters, parameters, strict=True))
    saved = None
    if recipe.saved_names:
        saved = Saved(op.name, [_before_change(operands[n]) if changes and n == 0 else operands[n]
                                for n in recipe.kept])
    rules, saved_names = recipe.rules, recipe.saved_names

    def backward(g: Any) -> tuple:
        values = {**fixed, "g": g}
        if saved is not None:
            values.update(zip(saved_names, saved.unpack(), strict=True))
        return tuple([None if rule is None else rule(op, values) for rule in rules])
    node = attach(out, recipe.name, inputs, backward, saved)
    if saved is not None and recipe.value:
        saved.add_output(out, changes)
    return node


def _before_change(x: Any) -> Any:
    """A copy of an operand that is about to change in place, at its place in the graph."""
    copy = run(REGISTRY.pointwise["_copy"], (x,))
    if x._requires_grad:
        copy._requires_grad, copy._grad_fn, copy._output_nr = True, current_node(x), x._output_nr
    return copy


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
    history = wrap(target.memory, target.offset, target.layout)
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


def _make_unary(op: Pointwise, told: Callable) -> Callable:
    plans = op.plans
    differentiable = bool(op.derivatives)

    def unary(input: Any, *, out: Any = None) -> Any:
        prepared = None
        if out is None and not switch.on and isinstance(input, TensorBase):
            prepared = plans.get((input.layout,))
        if prepared is None:
            return told(input) if out is None else told(input, out=out)
        buffer = input.memory.buffer
        result = wrap(result_storage(prepared.device, prepared.nbytes), 0, prepared.layout)
        if buffer is None:
            _launch(prepared, (input,), (), result, False)
        else:
            prepared.plan((buffer, result.memory.buffer), (input.offset, 0))
        if mode.enabled and differentiable and input._requires_grad and prepared.layout.dtype.is_floating_point:
            record(op, (input,), (), result)
        return result
    return quick_form(unary, told)


def _make_binary(op: Pointwise, told: Callable, tensor_first: bool, tensors_only: bool) -> Callable:
    plans = op.plans
    differentiable = bool(op.derivatives)

    def binary(input: Any, other: Any, *, out: Any = None) -> Any:
        left, right = isinstance(input, TensorBase), isinstance(other, TensorBase)
        prepared = None
        if out is None and not switch.on and (left or (right and not tensor_first)) and (right or not tensors_only):
            # A plan is there only for operands that passed the checks of the general call.
            prepared = plans.get((input.layout if left else type(input), other.layout if right else type(other)))
        if prepared is None:
            return told(input, other) if out is None else told(input, other, out=out)
        result = wrap(result_storage(prepared.device, prepared.nbytes), 0, prepared.layout)
        if left and right and input.memory.buffer is not None and other.memory.buffer is not None:
            prepared.plan((input.memory.buffer, other.memory.buffer, result.memory.buffer),
                          (input.offset, other.offset, 0))
        else:
            _launch(prepared, (input, other), (), result, False)
        if mode.enabled and differentiable and prepared.layout.dtype.is_floating_point and (
                (left and input._requires_grad) or (right and other._requires_grad)):
            record(op, (input, other), (), result)
        return result
    return quick_form(binary, told)


def _make_general(op: Pointwise, tensor_first: bool, tensors_only: bool) -> Callable:
    def general(*args: Any, **kwargs: Any) -> Any:
        operands, parameters, out = _bind(op, args, kwargs)
        if tensor_first:
            for name, operand in zip(("input", "other"), operands if tensors_only else operands[:1], strict=False):
                if not isinstance(operand, TensorBase):
                    raise TypeError(f"{op.name}(): argument '{name}' must be Tensor, not {type(operand).__name__}")
        return call(op, operands, parameters, out)
    return general


def _make_in_place(op: Pointwise) -> Callable:
    def in_place(*args: Any, **kwargs: Any) -> Any:
        operands, parameters, _ = _bind(op, args, kwargs)
        return call_in_place(op, operands, parameters)
    return in_place


# The functions that formulas call: as the public ones, but every operand may be a number.
_LENIENT: dict[str, Callable] = {}
_FORMULA_FUNCTIONS = ChainMap(_LENIENT, FUNCTIONS)


def _publish(op: Pointwise) -> None:
    strict = (op.name in TENSOR_FIRST, op.name in TENSORS_ONLY)
    function = _make_general(op, *strict)
    if not op.parameters and len(op.tensors) == 1:
        function = _make_unary(op, intercepted(function, op.name))
    elif not op.parameters and len(op.tensors) == 2:
        function = _make_binary(op, intercepted(function, op.name), *strict)
    if op.name in TENSOR_FIRST:
        _LENIENT[op.name] = _make_general(op, False, False)
    forms = {op.name: function}
    if op.in_place:
        forms[f"{op.name}_"] = _make_in_place(op)
    for name, form in forms.items():
        form.__name__ = form.__qualname__ = name
        form.__module__ = "clgrad"  # where pickle finds it
        form.__doc__ = describe(op, name)
        publish(form, name, method=op.public)


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
