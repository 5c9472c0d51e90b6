"""Operators over lists of tensors: ``_foreach_add(tensors, other)`` is the list of ``add(tensor, other)``.

``other`` is one number or 0-d tensor for all, or a list with one for each tensor. The forms that end in ``_`` change the
tensors in place and return nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.ops.registry import FUNCTIONS, METHODS, operator, publish

_UNARY = ("abs", "acos", "asin", "atan", "ceil", "cos", "cosh", "erf", "erfc", "exp", "expm1", "floor", "frac", "lgamma",
          "log", "log10", "log1p", "log2", "neg", "reciprocal", "round", "rsqrt", "sigmoid", "sign", "sin", "sinh", "sqrt",
          "tan", "tanh", "trunc")
_BINARY = {"add": "add", "sub": "sub", "mul": "mul", "div": "div", "pow": "pow", "maximum": "maximum",
           "minimum": "minimum", "clamp_max": "clamp_max", "clamp_min": "clamp_min"}


def _listed(name: str, tensors: Any) -> list:
    if isinstance(tensors, TensorBase) or not all(isinstance(t, TensorBase) for t in tensors):
        raise TypeError(f"{name}(): argument 'self' (position 1) must be tuple of Tensors")
    found = list(tensors)
    if not found:
        raise RuntimeError("Tensor list must have at least one tensor.")
    return found


def _spread(name: str, other: Any, count: int) -> list:
    """An operand for each of ``count`` tensors: an item of a list, or the same for all."""
    if not isinstance(other, (list, tuple)):
        if isinstance(other, TensorBase) and other.spec.numel != 1:
            raise RuntimeError(f"{name}: scalar tensor expected to be 0 dim but it has {other.spec.ndim} dimensions and "
                               f"{other.spec.numel} elements.")
        return [other] * count
    if len(other) != count:
        raise RuntimeError(f"Tensor lists must have the same number of tensors, got {count} and {len(other)}")
    return list(other)


def _publish(name: str, function: Callable, doc: str) -> None:
    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    publish(function, name, method=False)


def _write(tensors: list, results: list) -> None:
    for tensor, result in zip(tensors, results, strict=True):
        tensor.copy_(result)


def _unary(operation: str) -> None:
    name, apply, apply_ = f"_foreach_{operation}", FUNCTIONS[operation], METHODS[f"{operation}_"]

    def plain(self: Any) -> tuple:
        return tuple([apply(t) for t in _listed(name, self)])

    def in_place(self: Any) -> Any:
        for t in _listed(name, self):
            apply_(t)
        return self
    _publish(name, plain, f":func:`{operation}` of each tensor.")
    _publish(f"{name}_", in_place, f":func:`{operation}` of each tensor, in place.")


_OPERANDS = ("scalar", "scalars", "tensor", "exponent")  # PyTorch's overloads have names of their own


def _operand(name: str, other: Any, named: dict) -> Any:
    """The second operand, by position or under one of its names."""
    if len(named) + (other is not None) != 1 or any(key not in _OPERANDS for key in named):
        raise TypeError(f"{name}(): expected one operand beside the tensors, 'other' (or {', '.join(_OPERANDS)}), got "
                        f"{[*(['other'] if other is not None else []), *named]}")
    return next(iter(named.values())) if other is None else other


def _binary(suffix: str, operation: str) -> None:
    name, apply = f"_foreach_{suffix}", FUNCTIONS[operation]
    clamp = {"maximum": "clamp_min", "minimum": "clamp_max"}.get(operation)  # the choice between a tensor and a number

    def plain(self: Any, other: Any = None, *, alpha: Any = 1, **named: Any) -> tuple:
        given = _operand(name, other, named)
        if operation == "pow" and isinstance(self, (int, float)):
            return tuple([apply(self, t) for t in _listed(name, given)])
        tensors = _listed(name, self)
        options = {} if alpha == 1 else {"alpha": alpha}
        return tuple([apply(t, o, **options) if clamp is None or isinstance(o, TensorBase) else FUNCTIONS[clamp](t, o)
                      for t, o in zip(tensors, _spread(name, given, len(tensors)), strict=True)])

    def in_place(self: Any, other: Any = None, *, alpha: Any = 1, **named: Any) -> Any:
        tensors = _listed(name, self)
        given = _operand(name, other, named)
        options = {} if alpha == 1 else {"alpha": alpha}
        for t, o in zip(tensors, _spread(name, given, len(tensors)), strict=True):
            if clamp is not None:
                t.copy_(apply(t, o) if isinstance(o, TensorBase) else FUNCTIONS[clamp](t, o))
            else:
                METHODS[f"{operation}_"](t, o, **options)
        return self
    _publish(name, plain, f":func:`{operation}` of each tensor and a number, or the tensor or number beside it.")
    _publish(f"{name}_", in_place, f":func:`{operation}` of each tensor, in place.")


def _ternary(operation: str) -> None:
    name, apply = f"_foreach_{operation}", FUNCTIONS[operation]

    def results(self: Any, tensor1: Any, tensor2: Any, value: Any, scalars: Any) -> tuple[list, list]:
        tensors = _listed(name, self)
        factors = value if scalars is None else scalars
        if isinstance(factors, TensorBase):
            if factors.spec.ndim != 1:
                raise RuntimeError(f"{name}: expected a tensor of numbers of dimension 1, got {factors.spec.ndim}")
            factors = factors.tolist()
        parts = [_spread(name, part, len(tensors)) for part in (list(tensor1), list(tensor2), factors)]
        return tensors, [apply(t, a, b, value=v) for t, a, b, v in zip(tensors, *parts, strict=True)]

    def plain(self: Any, tensor1: Any, tensor2: Any, value: Any = 1, *, scalars: Any = None) -> tuple:
        return tuple(results(self, tensor1, tensor2, value, scalars)[1])

    def in_place(self: Any, tensor1: Any, tensor2: Any, value: Any = 1, *, scalars: Any = None) -> Any:
        _write(*results(self, tensor1, tensor2, value, scalars))
        return self
    _publish(name, plain, f":func:`{operation}` of each tensor and those beside it.")
    _publish(f"{name}_", in_place, f":func:`{operation}` of each tensor and those beside it, in place.")


@operator("_foreach_lerp", method=False)
def lerp(self: Any, tensors1: Any, weight: Any) -> tuple:
    """:func:`lerp` of each tensor and the one beside it; ``weight``: a number, or a list of numbers or tensors."""
    tensors = _listed("_foreach_lerp", self)
    count = len(tensors)
    return tuple([FUNCTIONS["lerp"](t, end, w) for t, end, w in zip(
        tensors, _spread("_foreach_lerp", list(tensors1), count), _spread("_foreach_lerp", weight, count), strict=True)])


@operator("_foreach_lerp_", method=False)
def lerp_(self: Any, tensors1: Any, weight: Any) -> Any:
    """:func:`lerp` of each tensor and the one beside it, in place."""
    _write(_listed("_foreach_lerp", self), list(lerp(self, tensors1, weight)))
    return self


@operator("_foreach_norm", method=False)
def norm(self: Any, ord: float = 2, dtype: Any = None) -> tuple:
    """The vector norm of all elements of each tensor."""
    vector_norm = FUNCTIONS["norm"]
    return tuple([vector_norm(t, float(ord), dtype=dtype) for t in _listed("_foreach_norm", self)])


@operator("_foreach_powsum", method=False)
def sums_of_powers(self: Any, ord: float = 2, dtype: Any = None) -> tuple:
    """The sum of |x| ** ord over all elements of each tensor: :func:`norm` without its root."""
    return tuple([(t.abs() ** ord).sum(dtype=dtype) for t in _listed("_foreach_powsum", self)])


@operator("_foreach_max", method=False)
def maxima(self: Any) -> tuple:
    """The largest element of each tensor."""
    return tuple([t.max() for t in _listed("_foreach_max", self)])


@operator("_foreach_clone", method=False)
def clones(self: Any, *, memory_format: Any = None) -> tuple:
    """A copy of each tensor."""
    return tuple([t.clone() for t in _listed("_foreach_clone", self)])


@operator("_foreach_mm", method=False)
def products(self: Any, mat2: Any) -> tuple:
    """The product of each matrix and the one beside it."""
    matrices = _listed("_foreach_mm", self)
    return tuple([a.mm(b) for a, b in zip(matrices, _spread("_foreach_mm", list(mat2), len(matrices)), strict=True)])


@operator("_foreach_copy_", method=False)
def copy_(self: Any, src: Any, non_blocking: bool = False) -> Any:
    """Each tensor's elements replaced by those of the one beside it."""
    tensors = _listed("_foreach_copy_", self)
    for tensor, source in zip(tensors, _spread("_foreach_copy_", list(src), len(tensors)), strict=True):
        tensor.copy_(source)
    return self


@operator("_foreach_zero_", method=False)
def zero_(self: Any) -> Any:
    """Zeros in each tensor."""
    for tensor in _listed("_foreach_zero_", self):
        tensor.zero_()
    return self


for _operation in _UNARY:
    _unary(_operation)
for _suffix, _operation in _BINARY.items():
    _binary(_suffix, _operation)
for _operation in ("addcmul", "addcdiv"):
    _ternary(_operation)
