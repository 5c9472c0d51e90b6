"""Pointwise operators: their functions, and what is recorded of them. What each computes stands in ``table.py``."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable
from functools import cache
from typing import Any

from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import (
    Saved,
    TensorBase,
    attach,
    check_history,
    check_in_place,
    current_node,
    is_wanted,
    node_class,
    rebase,
    wrap,
)
from clgrad.autograd.listening import switch
from clgrad.autograd.refused import NoDerivative, no_derivative, no_formula
from clgrad.autograd.walks import determined_by
from clgrad.dtypes import can_cast, dtype, of_number
from clgrad.ops.derivation import gradient_row, recorded_row
from clgrad.ops.execute import blank
from clgrad.ops.interception import intercepted, quick_form
from clgrad.ops.joint_gradients import JointGradients
from clgrad.ops.node_names import OVERLOADS, node_name
from clgrad.ops.output import check_apart, check_exact, check_place, resize_output
from clgrad.ops.registry import FUNCTIONS, NO_FORMULA, REGISTRY, Pointwise, operator, publish
from clgrad.ops.rows import NUMBERS, apart, launch, result_dtype, result_strides, run, run_into
from clgrad.ops.saved_names import saved_name
from clgrad.ops.table import (
    CLAMPS,
    EXACT_OUT,
    FACTOR_FIRST,
    NUMBERS_ALONE,
    SECOND_NAMED,
    TENSOR_FIRST,
    TENSORS_ONLY,
)
from clgrad.shapes import broadcast_shapes

# Gradients.


class _Gradient:
    """The derivative of a row with respect to one operand, and where its operands stand among ``names``.

    ``names`` are those of what a node has: the incoming gradient, saved tensors, numbers.
    """

    __slots__ = ("op", "operand", "formula", "names", "row", "passes", "composed", "operands", "parameters")

    def __init__(self, op: Pointwise, operand: str, names: list[str]):
        self.op, self.operand, self.formula, self.names = op, operand, op.derivatives[operand], names
        self.row = gradient_row(op, operand)
        self.passes = self.formula.text == "g"  # the incoming gradient itself
        self.composed = self.formula.text == NO_FORMULA or "zeros_like" in self.formula.functions  # needs no kernel
        self.operands = [names.index(n) for n in self.row.tensors]
        self.parameters = [names.index(n) for n in self.row.parameters]

    def __call__(self, values: list) -> Any:
        """The gradient: one fused kernel; where a graph of it is wanted, a row or Tensor operations."""
        if self.passes:
            return values[0]
        row: Pointwise | None = self.row
        if mode.enabled:  # derivatives of rows are formulas of real numbers, see Formula.complex_c
            row = None if values[0].spec.dtype.is_complex else recorded_row(self.op, self.operand)
        if row is None or self.composed:
            return self._evaluate(dict(zip(self.names, values, strict=True)))
        operands, parameters = tuple([values[n] for n in self.operands]), tuple([values[n] for n in self.parameters])
        return _derivative(row, *operands, *parameters) if mode.enabled else run(row, operands, parameters)

    def _evaluate(self, values: dict[str, Any]) -> Any:
        formula = self.formula
        if formula.text == NO_FORMULA:
            raise self._refusal()
        operands = {n: values[n] for n in formula.names}
        if values["g"].spec.dtype.is_complex:  # see Formula.complex_c
            operands = {n: value if n == "g" else value.conj() if isinstance(value, TensorBase) else value.conjugate()
                        for n, value in operands.items()}
        if formula.functions:
            # Functions take tensors, and comparisons of numbers would give no mask: 2 ** x, x ** 4.
            operands.update({n: values["g"].new_tensor(operands[n]) for n in self.op.tensors
                             if n in operands and not isinstance(operands[n], TensorBase)})
        return formula.evaluate(_FORMULA_FUNCTIONS, operands)

    def _refusal(self) -> Exception:
        name = self.op.name.strip("_")
        if self.op.underivable:
            return no_derivative(name)
        return no_formula(f"{name}: {'input' if self.operand == self.op.tensors[0] else self.operand}")


def beside(found: Any, place: Any) -> Any:
    """A tensor as one that depends on another of its shape too, with a gradient of zero."""
    made = wrap(found.memory, found.offset, found.spec)
    attach(made, "Steps", (found, place), lambda g: (g, FUNCTIONS["zeros_like"](g)))
    return made


@determined_by()
class _Recipe:
    """What recording a row needs. ``kinds``: for each operand whether it needs a gradient, None for a number."""

    __slots__ = ("node", "kept", "numbers", "value", "saved", "gradients", "joint")

    def __init__(self, op: Pointwise, kinds: tuple[bool | None, ...]):
        names = op.tensors
        for name, need in zip(names, kinds, strict=True):
            if need and name not in op.derivatives:
                raise NotImplementedError(f"the derivative for '{name}' of '{op.name}' is not implemented")
        self.node = node_class(NoDerivative if op.underivable else
                               OVERLOADS.get((op.name, tuple(kind is not None for kind in kinds))) or op.node or
                               node_name(op.name))
        wanted = {n for name, need in zip(names, kinds, strict=True) if need for n in op.derivatives[name].names}
        self.kept = [n for n, name in enumerate(names) if kinds[n] is not None and name in wanted]
        self.numbers = [n for n, kind in enumerate(kinds) if kind is None]
        self.value = "y" in wanted
        self.saved = self._saved(op, kinds)
        had = ["g", *[names[n] for n in self.kept], *(["y"] if self.value else []), *[names[n] for n in self.numbers],
               *op.parameters]
        self.gradients = [_Gradient(op, name, had) if need else None for name, need in zip(names, kinds, strict=True)]
        self.joint = self._joint(had)

    def _joint(self, had: list[str]) -> JointGradients | None:
        """All gradients by one launch, where there are several, and each is one."""
        launched = [gradient for gradient in self.gradients if gradient is not None]
        if len(launched) < 2 or self.numbers or any(gradient.passes or gradient.composed for gradient in launched):
            return None
        return JointGradients([gradient.row for gradient in launched], had)

    def _saved(self, op: Pointwise, kinds: tuple[bool | None, ...]) -> type[Saved]:
        """The class of what is saved, which knows where the operands are that any derivative asks for, and the value."""
        named = {n for formula in op.derivatives.values() for n in formula.names}
        order = [*[op.tensors[n] for n in self.kept], *(["y"] if self.value else [])]
        places = {saved_name(op.name, n): order.index(n) if n in order else None
                  for n, kind in zip((*op.tensors, "y"), (*kinds, self.value or None), strict=True)
                  if n in named and kind is not None}
        return type("Saved", (Saved,), {"__slots__": (), "places": places})


_recipes: dict[tuple, _Recipe] = {}


def record(op: Pointwise, operands: tuple, parameters: tuple, out: Any, changes: int = 0) -> Any:
    """Makes ``out`` the result of a node. ``changes``: how often its memory is still going to change."""
    kinds = tuple([t._requires_grad if isinstance(t, TensorBase) else None for t in operands])
    recipe = _recipes.get((op, kinds))
    if recipe is None:
        recipe = _recipes[op, kinds] = _Recipe(op, kinds)
    fixed, inputs, saved = parameters, operands, None
    if recipe.numbers:
        numbers = [operands[n] for n in recipe.numbers]
        kind = out.spec.dtype
        if op.name in CLAMPS and kind is not kind.compute:
            numbers = [kind.rounded(number) for number in numbers]
        fixed = (*numbers, *parameters)
        inputs = tuple([t if isinstance(t, TensorBase) else None for t in operands])
    if recipe.kept or recipe.value:
        saved = recipe.saved(op.name, [_before_change(operands[n]) if changes and _is_copied(operands, n) else operands[n]
                                       for n in recipe.kept])

    def backward(g: Any) -> tuple:
        values = [g, *fixed] if saved is None else [g, *saved.unpack(), *fixed]
        wanted = [gradient if gradient is not None and is_wanted(number) else None
                  for number, gradient in enumerate(recipe.gradients)]
        if recipe.joint is not None and not mode.enabled and wanted == recipe.gradients:
            found = recipe.joint(values)
            if found is not None:
                results = iter(found)
                return tuple([gradient and next(results) for gradient in wanted])
        return tuple([gradient and gradient(values) for gradient in wanted])
    node = attach(out, recipe.node, inputs, backward, saved)
    if recipe.value:
        saved.add_output(out, changes)  # type: ignore[union-attr]
    return node


def activation_gradient(name: str, g: Any, y: Any) -> Any:
    """The gradient of an activation's operand, from its result ``y``: for rows whose derivative asks for no more."""
    return _activation_gradient(name)([g, y])


@cache
def _activation_gradient(name: str) -> _Gradient:
    return _Gradient(REGISTRY.pointwise[name], "x", ["g", "y"])


def _is_copied(operands: tuple, n: int) -> bool:
    """Whether an operand is copied before the first one changes: that one, and what shares its memory where copies are
    taken of all that is saved."""
    return n == 0 or (mode.copies is not None and operands[n].memory is operands[0].memory)


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
    if _records(operands) and result.spec.dtype.differentiable and op.derivatives:
        record(op, operands, parameters, result)
    return result


@operator("_derivative", method=False)
def _derivative(row: Pointwise, *values: Any) -> Any:
    """The value of a row that is no public operator, of operands and parameters."""
    operands = len(row.tensors)
    return call(row, values[:operands], values[operands:])


def _same_place(op: Pointwise, operands: tuple, target: Any = None) -> tuple:
    """Checks the operands' types; 0-d tensors of the host meet tensors of another device, or the target, as numbers."""
    devices: list[Any] = []
    for t in operands:
        if isinstance(t, TensorBase):
            if t.spec.device not in devices:
                devices.append(t.spec.device)
        elif not isinstance(t, NUMBERS):
            raise TypeError(f"{op.name.strip('_')}(): argument must be Tensor or Number, not {type(t).__name__}")
    if not devices and op.name in NUMBERS_ALONE:
        return tuple([FUNCTIONS["tensor"](t) for t in operands])
    if not devices:
        raise TypeError(f"{op.name.strip('_')}(): at least one argument must be a Tensor, got only numbers")
    if len(devices) > 1:
        here = next((t.spec.device for t in operands if isinstance(t, TensorBase) and t.spec.ndim), None)
        here = here or (next(device for device in devices if device.type != "cpu") if target is None else target.spec.device)
        return tuple([t.to(here) if isinstance(t, TensorBase) and t.spec.device is not here and not t.spec.ndim else t
                      for t in operands])
    return operands


def _call_out(op: Pointwise, operands: tuple, parameters: tuple, out: Any) -> Any:
    if op.derivatives and not op.underivable and (_records(operands) or mode.enabled and out._requires_grad):
        raise RuntimeError(f"{op.name}(): functions with out=... arguments don't support automatic differentiation, "
                           "but one of the arguments requires grad.")
    specs = [t.spec for t in operands if isinstance(t, TensorBase)]
    check_place(specs[0].device, out)
    shape = broadcast_shapes(*(a.shape for a in specs))
    if op.name in EXACT_OUT or op.name in CLAMPS and not any(
            isinstance(t, TensorBase) for t in operands[1:]):
        check_exact(op.name.lstrip("_"), _result_dtype(op, operands), out)
    check_history(out)
    if out.spec.shape != shape:
        resize_output(out, shape, result_strides(shape, specs))
    if out.spec.repeats:
        check_apart(op.name, out)
    own, kind = _result_dtype(op, operands), out.spec.dtype
    if own is not kind and can_cast(own, kind):
        operands = tuple([apart(op, t, out) for t in operands])
        return out.copy_(run(op, operands, parameters))  # rounded, or wrapped around, as if there were no out
    run_into(op, operands, parameters, out)
    return out


def _result_dtype(op: Pointwise, operands: tuple) -> dtype:
    known = [t for t in operands if isinstance(t, TensorBase)]
    numbers = [of_number(t) for t in operands if not isinstance(t, TensorBase)]
    return result_dtype(op, [t.spec for t in known], numbers)[1]


# Ones and zeros that take the place of numbers do not change with these.
COMPARISONS = {"eq", "ne", "lt", "le", "gt", "ge"}


def call_in_place(op: Pointwise, operands: tuple, parameters: tuple = ()) -> Any:
    """A row whose result replaces the contents of its first operand."""
    target = operands[0]
    operands = _same_place(op, operands, target)
    recorded = _records(operands) and target.spec.dtype.differentiable
    check_in_place(target, recorded)
    compared = op.name in COMPARISONS
    if not recorded or not (op.derivatives or compared):
        run_into(op, operands, parameters, target)
        return target
    # The node is made first: it saves the operands as they are before the change.
    history = wrap(target.memory, target.offset, target.spec)
    if compared:
        tensors = [t for t in operands if isinstance(t, TensorBase)]
        node = attach(history, f"{op.name.capitalize()}Backward{len(tensors) - 1}", tensors,
                      lambda g: (FUNCTIONS["zeros_like"](g),) * len(tensors))
    else:
        node = record(op, operands, parameters, history, changes=1)
    run_into(op, operands, parameters, target)
    rebase(target, node, history)
    return target


def bind(op: Pointwise, args: tuple, kwargs: dict) -> tuple[tuple, tuple, Any]:
    """Operands, parameters and ``out`` from a call's arguments."""
    out = kwargs.pop("out", None)
    names = (*op.tensors, *op.parameters)
    if op.name in FACTOR_FIRST and len(args) == len(names):
        if isinstance(args[1], TensorBase) and args[1].spec.ndim:
            raise TypeError(f"{op.name}() takes 3 positional arguments but 4 were given")
        args = (args[0], *args[2:], args[1])
    if len(args) > len(names):
        raise TypeError(f"{op.name}() takes {len(names)} arguments but {len(args)} were given")
    values = dict(zip(names, args, strict=False))
    first, second = op.tensors[0], op.tensors[1] if len(op.tensors) > 1 else "other"
    renamed = {"input": first, "self": first, "x": first, "a": first, "x1": first, "other": second, "x2": second,
               "exponent": "b", "tensor1": "a", "tensor2": "b", "end": "b", "values": "b", "min": "low", "max": "high"}
    for name, value in kwargs.items():
        name = renamed.get(name, name)
        if name not in names or name in values:
            raise TypeError(f"{op.name}() got an unexpected keyword argument '{name}'")
        values[name] = value
    missing = [n for n in op.tensors if n not in values]
    if missing:
        raise TypeError(f"{op.name}() missing {len(missing)} required argument(s): {', '.join(missing)}")
    parameters = tuple([constant(op.name, n, values.get(n, default)) for n, default in op.parameters.items()])
    return tuple([values[n] for n in op.tensors]), parameters, out


def constant(name: str, parameter: str, value: Any) -> Any:
    """A parameter's value; TypeError for a tensor that requires a gradient, which it would not get."""
    if isinstance(value, TensorBase) and value._requires_grad:
        raise TypeError(f"{name}(): argument '{parameter}' must be Number, not a Tensor that requires grad")
    if isinstance(value, str):
        raise TypeError(f"{name.strip('_')}(): argument '{parameter}' must be Number, not str")
    return value


def _make_unary(op: Pointwise, told: Callable) -> Callable:
    plans = op.plans
    differentiable = bool(op.derivatives)

    def unary(input: Any = None, *more: Any, out: Any = None, **spelled: Any) -> Any:
        if spelled or more:  # an operand by another of its names; too many, or a method
            return told(*([] if input is None else [input]), *more, out=out, **spelled)
        prepared = None
        if out is None and not switch.watched and isinstance(input, TensorBase):
            prepared = plans.get((input.spec,))
        if prepared is None:
            return told(input) if out is None else told(input, out=out)
        buffer = input.memory.buffer
        result = blank(prepared.spec)
        if buffer is None or result.memory.buffer is None:
            launch(prepared, (input,), (), result, False)
        else:
            prepared.plan((buffer, result.memory.buffer), (input.offset, 0))
        if mode.enabled and differentiable and input._requires_grad and prepared.spec.dtype.differentiable:
            record(op, (input,), (), result)
        return result
    return quick_form(unary, told)


def _make_binary(op: Pointwise, told: Callable, tensor_first: bool, tensors_only: bool) -> Callable:
    plans = op.plans
    differentiable = bool(op.derivatives)

    def binary(input: Any = None, other: Any = None, *more: Any, out: Any = None, **spelled: Any) -> Any:
        if more:
            return told(input, other, *more, out=out, **spelled)
        if spelled:
            given = {name: operand for name, operand in (("input", input), ("other", other)) if operand is not None}
            return told(out=out, **given, **spelled)
        left, right = isinstance(input, TensorBase), isinstance(other, TensorBase)
        prepared = None
        if out is None and not switch.watched and (left or (right and not tensor_first)) and (right or not tensors_only):
            # A plan is there only for operands that passed the checks of the general call.
            prepared = plans.get((input.spec if left else type(input), other.spec if right else type(other)))
        if prepared is None:
            return told(input, other) if out is None else told(input, other, out=out)
        result = blank(prepared.spec)
        if left and right and input.memory.buffer is not None and other.memory.buffer is not None and (
                result.memory.buffer is not None):
            prepared.plan((input.memory.buffer, other.memory.buffer, result.memory.buffer),
                          (input.offset, other.offset, 0))
        else:
            launch(prepared, (input, other), (), result, False)
        if mode.enabled and differentiable and prepared.spec.dtype.differentiable and (
                (left and input._requires_grad) or (right and other._requires_grad)):
            record(op, (input, other), (), result)
        return result
    return quick_form(binary, told)


def _make_general(op: Pointwise, tensor_first: bool, tensors_only: bool) -> Callable:
    def general(*args: Any, **kwargs: Any) -> Any:
        operands, parameters, out = bind(op, args, kwargs)
        if tensor_first:
            for name, operand in zip(("input", "other"), operands if tensors_only else operands[:1], strict=False):
                if not isinstance(operand, TensorBase):
                    raise TypeError(f"{op.name}(): argument '{name}' must be Tensor, not {type(operand).__name__}")
        return call(op, operands, parameters, out)
    return general


def _make_in_place(op: Pointwise, tensors_only: bool) -> Callable:
    count, defaults = len(op.tensors), tuple(op.parameters.values())

    def in_place(*args: Any, **kwargs: Any) -> Any:
        operands, parameters = args, defaults
        if len(args) != count or kwargs:
            operands, parameters, _ = bind(op, args, kwargs)
        if tensors_only and not isinstance(operands[-1], TensorBase):
            raise TypeError(f"{op.name}_(): argument 'other' (position 1) must be Tensor, not "
                            f"{type(operands[-1]).__name__}")
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
    elif not op.parameters and len(op.tensors) == 2 and op.name not in SECOND_NAMED:
        function = _make_binary(op, intercepted(function, op.name), *strict)
    if op.name in TENSOR_FIRST:
        _LENIENT[op.name] = _make_general(op, False, False)
    forms = {op.name: function}
    if op.in_place:
        forms[f"{op.name}_"] = _make_in_place(op, strict[1])
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
            "bool": "bool", "number": "the promoted dtype, not bool", "real": "the promoted dtype, floating point",
            "integer": "the promoted dtype, integers or bool", "whole": "the promoted dtype, integers",
            "pair": "complex numbers"}[op.kind]
    where = "In place of the first operand's contents.\n\n" if name.endswith("_") else ""
    return (f"{name}({arguments}): ``{op.value.text}`` for each element, operands broadcast.\n\n{where}"
            f"Result: {kind}. Gradients: {gradient}.")


for _row in list(REGISTRY.pointwise.values()):
    _publish(_row)
