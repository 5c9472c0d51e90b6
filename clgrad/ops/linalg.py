"""Matrix products, with batches and transposed operands, and what is made of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from math import prod
from typing import Any

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, TensorBase, attach, ends_in, is_wanted, needs_graph, wrap
from clgrad.ops.matrices import of_batches, of_rows, of_rows_and_sums
from clgrad.ops.output import add_in_place, store
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.shapes import Shape, broadcast_shapes
from clgrad.spec import Spec, contiguous_spec, spec


def check_operands(name: str, *tensors: Any) -> None:
    """RuntimeError where operands differ in dtype or device, or are masks."""
    first = tensors[0].spec
    if first.dtype is dtypes.bool:
        raise NotImplementedError(f"\"{name}\" not implemented for 'Bool'")
    for t in tensors[1:]:
        if t.spec.dtype is not first.dtype:
            raise RuntimeError(f"{name}: expected m1 and m2 to have the same dtype, but got: "
                               f"{dtypes.c_name(first.dtype)} != {dtypes.c_name(t.spec.dtype)}")
        if t.spec.device.compute is not first.device.compute:
            raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found at least two "
                               f"devices, {first.device} and {t.spec.device}!")


def _recorded(a: Any, b: Any, name: str) -> Any:
    """A recorded product of operands of at least two dimensions."""
    out = of_batches(a, b)
    if needs_graph(a, b):
        saved = Saved(name, [a if b._requires_grad else None, b if a._requires_grad else None])

        def backward(g: Any) -> tuple:
            left, right = saved.unpack_for(1, 0)
            if not mode.enabled and g.spec.ndim == 2:
                return (None if right is None else of_rows(g, right, flip_b=True),
                        None if left is None else of_rows(left, g, flip_a=True))
            return (None if right is None else matmul(g, right.transpose(-2, -1)),
                    None if left is None else matmul(left.transpose(-2, -1), g))
        attach(out, name, (a, b), backward, saved)
    return out


def _column(vector: Any) -> Any:
    """A vector as a matrix of one column, outside of the graph."""
    own = vector.spec
    return wrap(vector.memory, vector.offset, spec((*own.shape, 1), (*own.strides, 1), own.dtype, own.device))


def _vector(column: Any) -> Any:
    """A new matrix of one column as a vector, outside of the graph."""
    own = column.spec
    return wrap(column.memory, column.offset, contiguous_spec(own.shape[:1], own.dtype, own.device))


def _times_vector(matrix: Any, vector: Any) -> Any:
    """A recorded product of a matrix and a vector."""
    out = _vector(of_batches(matrix, _column(vector)))
    if needs_graph(matrix, vector):
        saved = Saved("mv", [matrix if vector._requires_grad else None, vector if matrix._requires_grad else None])

        def backward(g: Any) -> tuple:
            left, right = saved.unpack_for(1, 0)
            if mode.enabled:
                return None if right is None else outer(g, right), None if left is None else matmul(left.t(), g)
            return (None if right is None else of_rows(_column(g), _column(right), flip_b=True),
                    None if left is None else _vector(of_rows(left, _column(g), flip_a=True)))
        attach(out, "Mv", (matrix, vector), backward, saved)
    return out


@operator("matmul")
def matmul(input: Any, other: Any, *, out: Any = None) -> Any:
    """The matrix product; vectors are rows or columns, dimensions before the last two are a broadcast batch.

    >>> import clgrad
    >>> clgrad.matmul(clgrad.ones(2, 3), clgrad.ones(3))
    tensor([3., 3.])
    """
    if out is not None:
        return store("matmul", matmul(input, other), out, exact=True)
    a, b = _specs(input, other)
    if a.ndim == 1 and b.ndim == 1:
        return dot(input, other)
    if a.ndim == 2 and b.ndim == 1:
        return _times_vector(input, other)
    left = input.unsqueeze(0) if a.ndim == 1 else input
    right = other.unsqueeze(1) if b.ndim == 1 else other
    if left.spec.ndim > 2 and right.spec.ndim == 2:
        # A batch of rows against one matrix is one product of many rows.
        shape = (*left.spec.shape[:-1], right.spec.shape[-1])
        result = _recorded(left.reshape(prod(shape[:-1]), a.shape[-1]), right, "Mm")
        result = ends_in(result.view(shape), "UnsafeView")
    else:
        both = left.spec.ndim > 2 or right.spec.ndim > 2
        result = _recorded(left, right, "Bmm" if both else "Mm")
    if a.ndim == 1:
        result = result.squeeze(-2)
    return result.squeeze(-1) if b.ndim == 1 else result


_multiplicable: set[tuple[Spec, Spec]] = set()


def _specs(input: Any, other: Any) -> tuple[Spec, Spec]:
    """The operands' specs, checked once for each pair."""
    for t in (input, other):
        if not isinstance(t, TensorBase):
            raise TypeError(f"matmul(): arguments must be Tensors, not {type(t).__name__}")
    a, b = input.spec, other.spec
    if (a, b) not in _multiplicable:
        if not a.ndim or not b.ndim:
            raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D")
        check_operands("matmul", input, other)
        if a.shape[-1] != (b.shape[-2] if b.ndim > 1 else b.shape[0]):
            raise RuntimeError(_mismatch(a.shape, b.shape))
        _multiplicable.add((a, b))
    return a, b


def _mismatch(a: Shape, b: Shape) -> str:
    if len(a) == 2 and len(b) == 2:
        return f"mat1 and mat2 shapes cannot be multiplied ({a[0]}x{a[1]} and {b[0]}x{b[1]})"
    return f"matmul: size mismatch, got {list(a)} and {list(b)}: the last dimension of the first operand must equal " \
           "the last but one of the second"


# What PyTorch says of operands of another number of dimensions, where it says it in words of its own.
_WRONG_RANKS = {("mm", 1): "self must be a matrix", ("mm", 2): "mat2 must be a matrix",
                ("bmm", 1): "batch1 must be a 3D tensor", ("bmm", 2): "batch2 must be a 3D tensor",
                ("baddbmm", 1): "batch1 must be a 3D tensor", ("baddbmm", 2): "batch2 must be a 3D tensor",
                ("addmm", 1): "mat1 must be a matrix",
                ("addmm", 2): "mat2 must be a matrix", ("outer", 1): "outer: Expected 1-D argument self",
                ("outer", 2): "outer: Expected 1-D argument vec2"}


def _ranks(name: str, *pairs: tuple[Any, int]) -> None:
    for number, (t, rank) in enumerate(pairs, 1):
        if not isinstance(t, TensorBase):
            raise TypeError(f"{name}(): argument {number} must be Tensor, not {type(t).__name__}")
        if t.spec.ndim != rank:
            wanted = _WRONG_RANKS.get((name, number), f"{name}: argument {number} must have {rank} dimension(s)")
            raise RuntimeError(f"{wanted}, got {t.spec.ndim}-D tensor of shape {list(t.spec.shape)}")


@operator("mm")
def mm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """The product of two matrices."""
    _ranks("mm", (input, 2), (mat2, 2))
    return store("mm", matmul(input, mat2), out, exact=True)


def check_batches(name: str, batch1: Any, batch2: Any) -> None:
    """RuntimeError unless two tensors are batches of as many matrices, which can be multiplied."""
    _ranks(name, (batch1, 3), (batch2, 3))
    if batch1.spec.shape[0] != batch2.spec.shape[0] or batch1.spec.shape[2] != batch2.spec.shape[1]:
        b, _, k = batch1.spec.shape
        raise RuntimeError(f"{name}(): Expected size for first two dimensions of batch2 tensor to be: [{b}, {k}] but got: "
                           f"{list(batch2.spec.shape[:2])}.")


@operator("bmm")
def bmm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """The products of two batches of matrices of the same length."""
    check_batches("bmm", input, mat2)
    return store("bmm", matmul(input, mat2), out, exact=True)


@operator("mv")
def mv(input: Any, vec: Any, *, out: Any = None) -> Any:
    """The product of a matrix and a vector."""
    _ranks("mv", (input, 2), (vec, 1))
    if input.spec.shape[1] != vec.spec.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({input.spec.shape[0]}), mat "
                           f"({input.spec.shape[0]}x{input.spec.shape[1]}), vec ({vec.spec.shape[0]})")
    return store("mv", matmul(input, vec), out, exact=True)


@operator("dot")
def dot(input: Any, tensor: Any, *, out: Any = None) -> Any:
    """The sum of products of two vectors."""
    if isinstance(tensor, TensorBase) and (input.spec.ndim, tensor.spec.ndim) != (1, 1):
        raise RuntimeError(f"1D tensors expected, but got {input.spec.ndim}D and {tensor.spec.ndim}D tensors")
    _ranks("dot", (input, 1), (tensor, 1))
    if input.spec.dtype is not tensor.spec.dtype:
        raise RuntimeError("dot : expected both vectors to have same dtype, but found "
                           f"{dtypes.type_name(input.spec.dtype)} and {dtypes.type_name(tensor.spec.dtype)}")
    check_operands("dot", input, tensor)
    if input.spec.shape != tensor.spec.shape:
        raise RuntimeError(f"inconsistent tensor size, expected tensor {list(input.spec.shape)} and src "
                           f"{list(tensor.spec.shape)} to have the same number of elements")
    return store("dot", ends_in(_recorded(input.unsqueeze(0), tensor.unsqueeze(1), "Dot").view(()), "Dot"), out, exact=True)


@operator("outer", "ger")
def outer(input: Any, vec2: Any, *, out: Any = None) -> Any:
    """All products of two vectors' elements."""
    _ranks("outer", (input, 1), (vec2, 1))
    return store("outer", input.unsqueeze(1) * vec2.unsqueeze(0), out)


def _combine(x: Any, value: Any, beta: Any, alpha: Any) -> Any:
    """beta * x + alpha * value, x broadcast."""
    if broadcast_shapes(x.spec.shape, value.spec.shape) != value.spec.shape:
        raise RuntimeError(f"The expanded size of the tensor ({list(value.spec.shape)}) must match the existing size "
                           f"({list(x.spec.shape)})")
    if not (value.spec.dtype.differentiable or x.spec.dtype.differentiable):
        both = value.spec.dtype is x.spec.dtype is dtypes.bool
        beta, alpha = (bool(beta), bool(alpha)) if both else (_whole(beta, value), _whole(alpha, value))
    for factor in (beta, alpha):
        value.spec.dtype.compute.to_numpy_scalar(factor)
    if alpha != 1:
        value = value * alpha
    if beta == 0:
        return value
    return FUNCTIONS["_sum_of_rows"](x if beta == 1 else x * beta, value)


def _whole(factor: Any, value: Any) -> int:
    """A factor of integers without what is not whole of it; RuntimeError for infinities and NaN."""
    if not math.isfinite(factor):
        raise value.spec.dtype.overflow()
    return int(factor)


def _in_older_order(function: Callable) -> Callable:
    """Takes factors also where older programs have them: ``f(beta, input, alpha, a, b)``, ``x.f(beta, a, b)``."""
    @wraps(function)
    def form(input: Any, *operands: Any, **named: Any) -> Any:
        if len(operands) < 3:
            return function(input, *operands, **named)
        given = (input, *operands)
        tensors = [value for value in given if isinstance(value, TensorBase)]
        factors = [value for value in given if not isinstance(value, TensorBase)]
        if len(tensors) != 3 or len(factors) > 2:
            raise TypeError(f"{function.__name__}() takes 3 positional arguments but {len(given)} were given")
        return function(*tensors, **dict(zip(("beta", "alpha"), factors, strict=False)), **named)
    return form


@operator("addmm")
@_in_older_order
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * (mat1 @ mat2)."""
    _ranks("addmm", (mat1, 2), (mat2, 2))
    check_operands("addmm", mat1, input)
    if beta == 1 and alpha == 1 and input.spec.ndim == 1 and input.spec.shape[0] == mat2.spec.shape[1]:
        return store("addmm", linear(mat1, mat2.t(), input), out, exact=True)
    return store("addmm", ends_in(_combine(input, matmul(mat1, mat2), beta, alpha), "Addmm"), out, exact=True)


@operator("addmv")
@_in_older_order
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * (mat @ vec)."""
    check_operands("addmv", mat, input)
    product = mv(mat, vec)
    if not mat.spec.numel:  # a sum of nothing is zero, whatever alpha is
        if input.spec.shape not in ((), (1,), product.spec.shape):
            sizes = "x".join(map(str, mat.spec.shape))
            raise RuntimeError(f"size mismatch, got input ({input.spec.numel}), mat ({sizes}), vec ({vec.spec.numel})")
        return store("addmv", input * beta if beta != 0 else input.new_zeros(input.spec.shape), out, exact=True)
    return store("addmv", ends_in(_combine(input, product, beta, alpha), "Addmv"), out, exact=True)


def check_factors(kind: dtypes.dtype, beta: Any, alpha: Any) -> None:
    """RuntimeError for factors of :func:`addr` that are no numbers of the result's kind."""
    for name, factor in (("beta", beta), ("alpha", alpha)):
        if isinstance(factor, bool) and kind is not dtypes.bool:
            raise RuntimeError(f"Boolean {name} only supported for Boolean results.")
        if isinstance(factor, float) and not kind.differentiable:
            raise RuntimeError(f"For integral input tensors, argument {name} must not be a floating point number.")
        if isinstance(factor, complex) and not kind.is_complex:
            raise RuntimeError(f"For non-complex input tensors, argument {name} must not be a complex number.")


@operator("addr")
@_in_older_order
def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * outer(vec1, vec2)."""
    kind = dtypes.result_type([t.spec.dtype for t in (input, vec1, vec2)])
    check_factors(kind, beta, alpha)
    product = outer(vec1, vec2)
    made = _combine(input.expand(product.spec.shape), product, beta, alpha).to(kind)
    return store("addr", ends_in(made, "Addr"), out)


@operator("baddbmm")
@_in_older_order
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * bmm(batch1, batch2)."""
    check_operands("baddbmm", batch1, input)
    return store("baddbmm", ends_in(_combine(input, bmm(batch1, batch2), beta, alpha), "Baddbmm"), out, exact=True)


@operator("addbmm")
@_in_older_order
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * the sum over the batch of bmm(batch1, batch2)."""
    check_operands("addbmm", batch1, input)
    check_batches("addbmm", batch1, batch2)
    count, rows, depth = batch1.spec.shape
    # The sum over the batch is a product of matrices side by side, and of matrices below each other.
    product = matmul(batch1.transpose(0, 1).reshape(rows, count * depth), batch2.reshape(count * depth, batch2.spec.shape[2]))
    return store("addbmm", ends_in(_combine(input, product, beta, alpha), "Addbmm"), out, exact=True)


add_in_place("addmm", "addr", "baddbmm", "addbmm")
add_in_place("addmv", function=True)


@operator("linear", method=False)
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """``input @ weight.T + bias`` over the last dimension, the bias added in the product's own launch.

    Args:
        input: (..., in_features).
        weight: (out_features, in_features).
        bias: (out_features) or None.
    """
    key = (input.spec, weight.spec, None if bias is None else bias.spec)
    if key not in _linear_checked:
        _check_linear(input, weight, bias)
        if weight.spec.ndim == 1 or (bias is not None and bias.spec.shape != weight.spec.shape[:1]):
            result = matmul(input, weight.t())
            return result if bias is None else result + bias.expand(result.spec.shape)
        if bias is not None and not bias.spec.contiguous:
            return linear(input, weight, bias.contiguous())
        _linear_checked.add(key)
    out = of_rows(input, weight, bias, flip_b=True)
    if needs_graph(input, weight, bias):
        saved = Saved("linear", [input if weight._requires_grad else None, weight if input._requires_grad else None])
        if bias is None:
            attach(out, "Mm", (input, weight), lambda g: linear_gradients(g, saved.unpack_for(1, 0), False)[:2], saved)
        else:
            bias_needed = bias._requires_grad

            def backward(g: Any) -> tuple:
                *others, of_bias = linear_gradients(g, saved.unpack_for(2, 1), bias_needed and is_wanted(0))
                return (of_bias, *others)  # hooks see the bias first, as in PyTorch
            attach(out, "Addmm", (bias, input, weight), backward, saved)
    return out


def linear_gradients(g: Any, operands: Sequence[Any], bias_needed: bool, gate: Any = None) -> tuple[Any, Any, Any]:
    """The gradients of :func:`linear`'s input, weight and bias.

    ``operands``: the input, where the weight's gradient is wanted, and the weight, where the input's is; else None.
    ``gate``: the input, where a ReLU gave it, whose gradient is taken in the same launch. Then nothing is recorded.
    """
    inputs, weights = operands
    if mode.enabled:
        return (None if weights is None else matmul(g, weights),
                None if inputs is None else matmul(_as_rows(g).t(), _as_rows(inputs)),
                _as_rows(g).sum(0) if bias_needed else None)
    weight_gradient = bias_gradient = None
    if inputs is not None and bias_needed:
        weight_gradient, bias_gradient = of_rows_and_sums(g, inputs)
    elif inputs is not None:
        weight_gradient = of_rows(g, inputs, flip_a=True)
    if bias_needed and bias_gradient is None:
        bias_gradient = _as_rows(g).sum(0)
    input_gradient = None if weights is None else of_rows(g, weights, gate, kind="gate")
    return input_gradient, weight_gradient, bias_gradient


def _as_rows(x: Any) -> Any:
    """The vectors along the last dimension as a matrix."""
    own = x.spec
    return x if own.ndim == 2 else x.reshape(prod(own.shape[:-1]), own.shape[-1])


# The specs of calls that passed all checks and need no preparation.
_linear_checked: set[tuple] = set()


def _check_linear(input: Any, weight: Any, bias: Any) -> None:
    for label, t in (("input", input), ("weight", weight)):
        if not isinstance(t, TensorBase):
            raise TypeError(f"linear(): argument '{label}' must be Tensor, not {type(t).__name__}")
    x, w = input.spec, weight.spec
    if not x.ndim or not w.ndim:
        raise RuntimeError(f"both arguments to linear need to be at least 1D, but they are {x.ndim}D and {w.ndim}D")
    if bias is not None and x.dtype is not w.dtype and dtypes.bool not in (x.dtype, w.dtype):
        raise RuntimeError("linear: mat1 and mat2 must have the same dtype, but got "
                           f"{dtypes.type_name(x.dtype)} and {dtypes.type_name(w.dtype)}")
    if not x.ndim or x.shape[-1] != w.shape[-1]:
        rows = prod(x.shape[:-1])
        raise RuntimeError(f"linear: mat1 and mat2 shapes cannot be multiplied ({rows}x{x.shape[-1] if x.ndim else 1} and "
                           f"{w.shape[-1]}x{w.shape[0] if w.ndim > 1 else 1}): expected an input of shape "
                           f"(*, {w.shape[-1]}), got {x.shape}")
    check_operands("linear", input, weight, *(() if bias is None else (bias,)))
