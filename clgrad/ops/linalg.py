"""Matrix products, with batches and transposed operands, and what is made of them."""

from __future__ import annotations

from math import prod
from typing import Any

from clgrad import dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import Saved, TensorBase, attach, ends_in, needs_graph
from clgrad.kernels import gemm
from clgrad.layout import Layout
from clgrad.ops.copying import blank, empty
from clgrad.ops.output import add_in_place, store
from clgrad.ops.registry import operator
from clgrad.runtime import settle
from clgrad.shapes import Shape, broadcast_shapes, broadcast_strides, collapse

_plans: dict[tuple, gemm.Plan] = {}


def product(a: Any, b: Any, out: Any, bias: Any = None, *, flip_a: bool = False, flip_b: bool = False,
            bias_kind: str | None = None) -> Any:
    """``out[z] = a[z] @ b[z] + bias`` for operands of two dimensions, or three with a batch in front. Not recorded.

    ``flip_a`` and ``flip_b`` say that an operand is given transposed.
    """
    key = (a.layout, b.layout, out.layout, flip_a, flip_b, bias_kind)
    plan = _plans.get(key)
    if plan is None:
        plan = _plans[key] = _plan(*key)
    left = a.memory.buffer or a.memory.acquire()
    right = b.memory.buffer or b.memory.acquire()
    target = out.memory.buffer or out.memory.acquire(True)
    if bias is None:
        plan(left, a.offset, right, b.offset, target, out.offset)
    else:
        plan(left, a.offset, right, b.offset, target, out.offset, bias.memory.buffer or bias.memory.acquire(),
             bias.offset)
    if a.memory.buffer is None or b.memory.buffer is None or out.memory.buffer is None or (
            bias is not None and bias.memory.buffer is None):
        settle()
    return out


def _plan(a: Layout, b: Layout, out: Layout, flip_a: bool, flip_b: bool, bias: str | None) -> gemm.Plan:
    device = out.device.compute  # type: ignore[attr-defined]
    if out.dtype is dtypes.float64 and not device.limits.fp64:
        raise RuntimeError(f"matmul: {device.limits.name} has no float64; convert to float32 first")
    batch = out.shape[0] if out.ndim == 3 else 1
    m, n = out.shape[-2:]

    def strides(t: Layout, flip: bool) -> tuple[int, int, int]:
        step = t.strides[0] if t.ndim == 3 and t.shape[0] > 1 else 0
        row, column = t.strides[-2:]
        return (step, column, row) if flip else (step, row, column)
    return gemm.plan(device, out.dtype, batch, m, n, a.shape[-2 if flip_a else -1], strides(a, flip_a),
                     strides(b, flip_b), strides(out, False), bias=bias)


def _mm(a: Any, b: Any, flip_a: bool = False, flip_b: bool = False) -> Any:
    """The product of two matrices, either of them transposed; recorded where a graph is wanted."""
    if mode.enabled:
        return matmul(a.t() if flip_a else a, b.t() if flip_b else b)
    rows = a.layout.shape[1 if flip_a else 0]
    columns = b.layout.shape[0 if flip_b else 1]
    out = empty((rows, columns), a.layout.dtype, a.layout.device)
    if out.layout.numel == 0:
        return out
    if a.layout.shape[0 if flip_a else 1] == 0:
        return out.zero_()
    return product(a, b, out, flip_a=flip_a, flip_b=flip_b)


def check_operands(name: str, *tensors: Any) -> None:
    """RuntimeError where operands differ in dtype or device."""
    first = tensors[0].layout
    for t in tensors[1:]:
        if t.layout.dtype is not first.dtype:
            raise RuntimeError(f"{name}: expected m1 and m2 to have the same dtype, but got: {first.dtype.name} != "
                               f"{t.layout.dtype.name}")
        if t.layout.device.compute is not first.device.compute:
            raise RuntimeError(f"{name}: expected all tensors to be on the same device, but found at least two "
                               f"devices, {first.device} and {t.layout.device}!")


def _as_batch(x: Any, batch: Shape) -> Any:
    """(..., rows, columns) as (batch, rows, columns), without a copy where the batch dimensions walk evenly."""
    own = x.layout
    strides = broadcast_strides(own.shape[:-2], own.strides[:-2], batch)
    if all(s == 0 for s in strides) or prod(batch) == 1:
        return x.detach().as_strided((1, *own.shape[-2:]), (0, *own.strides[-2:]), x.offset)
    sizes, (steps,) = collapse(batch, [strides])
    if len(sizes) > 1:
        x = x.detach().expand(*batch, *own.shape[-2:]).contiguous()
        return x.view(prod(batch), *own.shape[-2:])
    return x.detach().as_strided((sizes[0], *own.shape[-2:]), (steps[0], *own.strides[-2:]), x.offset)


def _multiply(a: Any, b: Any) -> Any:
    """(..., m, k) @ (..., k, n), batches broadcast. Not recorded."""
    batch = broadcast_shapes(a.layout.shape[:-2], b.layout.shape[:-2])
    m, k, n = a.layout.shape[-2], a.layout.shape[-1], b.layout.shape[-1]
    out = empty((*batch, m, n), a.layout.dtype, a.layout.device)
    if out.layout.numel == 0:
        return out
    if k == 0:
        return out.zero_()
    if not batch:
        return product(a, b, out)
    flat = out.view(prod(batch), m, n)
    product(_as_batch(a, batch), _as_batch(b, batch), flat)
    return out


def _batched(a: Any, b: Any, name: str) -> Any:
    """A recorded product of operands of at least two dimensions."""
    out = _multiply(a, b)
    if needs_graph(a, b):
        saved = Saved(name, [a if b._requires_grad else None, b if a._requires_grad else None])

        def backward(g: Any) -> tuple:
            left, right = saved.unpack()
            return (None if right is None else matmul(g, right.transpose(-2, -1)),
                    None if left is None else matmul(left.transpose(-2, -1), g))
        attach(out, name, (a, b), backward, saved)
    return out


@operator("matmul")
def matmul(input: Any, other: Any, *, out: Any = None) -> Any:
    """The matrix product; vectors are rows or columns, dimensions before the last two are a broadcast batch.

    >>> import clgrad
    >>> clgrad.matmul(clgrad.ones(2, 3), clgrad.ones(3))
    tensor([3., 3.])
    """
    for t in (input, other):
        if not isinstance(t, TensorBase):
            raise TypeError(f"matmul(): arguments must be Tensors, not {type(t).__name__}")
    if out is not None:
        return store("matmul", matmul(input, other), out)
    a, b = input.layout, other.layout
    if not a.ndim or not b.ndim:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.ndim}D and {b.ndim}D")
    check_operands("matmul", input, other)
    inner_a, inner_b = a.shape[-1], b.shape[-2] if b.ndim > 1 else b.shape[0]
    if inner_a != inner_b:
        raise RuntimeError(_mismatch(a.shape, b.shape))
    if a.ndim == 1 and b.ndim == 1:
        return dot(input, other)
    left = input.unsqueeze(0) if a.ndim == 1 else input
    right = other.unsqueeze(1) if b.ndim == 1 else other
    if left.layout.ndim > 2 and right.layout.ndim == 2:
        # A batch of rows against one matrix is one product of many rows.
        shape = (*left.layout.shape[:-1], right.layout.shape[-1])
        result = _batched(left.reshape(prod(shape[:-1]), inner_a), right, "Mm").view(shape)
    else:
        both = left.layout.ndim > 2 or right.layout.ndim > 2
        result = _batched(left, right, "Bmm" if both else "Mm")
    if a.ndim == 1:
        result = result.squeeze(-2)
    return result.squeeze(-1) if b.ndim == 1 else result


def _mismatch(a: Shape, b: Shape) -> str:
    if len(a) == 2 and len(b) == 2:
        return f"mat1 and mat2 shapes cannot be multiplied ({a[0]}x{a[1]} and {b[0]}x{b[1]})"
    return f"matmul: size mismatch, got {list(a)} and {list(b)}: the last dimension of the first operand must equal " \
           "the last but one of the second"


def _ranks(name: str, *pairs: tuple[Any, int]) -> None:
    for number, (t, rank) in enumerate(pairs, 1):
        if not isinstance(t, TensorBase):
            raise TypeError(f"{name}(): argument {number} must be Tensor, not {type(t).__name__}")
        if t.layout.ndim != rank:
            raise RuntimeError(f"{name}: argument {number} must have {rank} dimension(s), got {t.layout.ndim}D tensor of "
                               f"shape {list(t.layout.shape)}")


@operator("mm")
def mm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """The product of two matrices."""
    _ranks("mm", (input, 2), (mat2, 2))
    return store("mm", matmul(input, mat2), out)


@operator("bmm")
def bmm(input: Any, mat2: Any, *, out: Any = None) -> Any:
    """The products of two batches of matrices of the same length."""
    _ranks("bmm", (input, 3), (mat2, 3))
    if input.layout.shape[0] != mat2.layout.shape[0] or input.layout.shape[2] != mat2.layout.shape[1]:
        b, m, k = input.layout.shape
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: [{b}, {k}] but got: "
                           f"{list(mat2.layout.shape[:2])}.")
    return store("bmm", matmul(input, mat2), out)


@operator("mv")
def mv(input: Any, vec: Any, *, out: Any = None) -> Any:
    """The product of a matrix and a vector."""
    _ranks("mv", (input, 2), (vec, 1))
    if input.layout.shape[1] != vec.layout.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({input.layout.shape[0]}), mat "
                           f"({input.layout.shape[0]}x{input.layout.shape[1]}), vec ({vec.layout.shape[0]})")
    return store("mv", ends_in(matmul(input, vec), "Mv"), out)


@operator("dot")
def dot(input: Any, tensor: Any, *, out: Any = None) -> Any:
    """The sum of products of two vectors."""
    _ranks("dot", (input, 1), (tensor, 1))
    check_operands("dot", input, tensor)
    if input.layout.shape != tensor.layout.shape:
        raise RuntimeError(f"inconsistent tensor size, expected tensor {list(input.layout.shape)} and src "
                           f"{list(tensor.layout.shape)} to have the same number of elements")
    return store("dot", ends_in(_batched(input.unsqueeze(0), tensor.unsqueeze(1), "Dot").view(()), "Dot"), out)


@operator("outer", "ger")
def outer(input: Any, vec2: Any, *, out: Any = None) -> Any:
    """All products of two vectors' elements."""
    _ranks("outer", (input, 1), (vec2, 1))
    return store("outer", input.unsqueeze(1) * vec2.unsqueeze(0), out)


def _combine(x: Any, value: Any, beta: Any, alpha: Any) -> Any:
    """beta * x + alpha * value, x broadcast."""
    if broadcast_shapes(x.layout.shape, value.layout.shape) != value.layout.shape:
        raise RuntimeError(f"The expanded size of the tensor ({list(value.layout.shape)}) must match the existing size "
                           f"({list(x.layout.shape)})")
    if not value.layout.dtype.is_floating_point:
        beta, alpha = int(beta), int(alpha)
    if alpha != 1:
        value = value * alpha
    if beta == 0:
        return value
    return (x if beta == 1 else x * beta) + value


@operator("addmm")
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * (mat1 @ mat2)."""
    _ranks("addmm", (mat1, 2), (mat2, 2))
    if beta == 1 and alpha == 1 and input.layout.ndim == 1 and input.layout.shape[0] == mat2.layout.shape[1]:
        return store("addmm", linear(mat1, mat2.t(), input), out)
    return store("addmm", ends_in(_combine(input, matmul(mat1, mat2), beta, alpha), "Addmm"), out)


@operator("addmv")
def addmv(input: Any, mat: Any, vec: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * (mat @ vec)."""
    return store("addmv", _combine(input, mv(mat, vec), beta, alpha), out)


@operator("addr")
def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * outer(vec1, vec2)."""
    if not vec1.layout.dtype.is_floating_point:
        for name, factor in (("beta", beta), ("alpha", alpha)):
            if isinstance(factor, float):
                raise RuntimeError(f"For integral input tensors, argument {name} must not be a floating point number.")
    return store("addr", _combine(input, outer(vec1, vec2), beta, alpha), out)


@operator("baddbmm")
def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * bmm(batch1, batch2)."""
    return store("baddbmm", _combine(input, bmm(batch1, batch2), beta, alpha), out)


@operator("addbmm")
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta * input + alpha * the sum over the batch of bmm(batch1, batch2)."""
    return store("addbmm", _combine(input, bmm(batch1, batch2).sum(0), beta, alpha), out)


add_in_place("addmm", "addmv", "addr", "baddbmm", "addbmm")


# The results of products that passed all checks and need no preparation.
_linear_results: dict[tuple, Layout] = {}


def _check_linear(input: Any, weight: Any, bias: Any) -> None:
    x, w = input.layout, weight.layout
    if not x.ndim or x.shape[-1] != w.shape[-1]:
        rows = prod(x.shape[:-1])
        raise RuntimeError(f"linear: mat1 and mat2 shapes cannot be multiplied ({rows}x{x.shape[-1] if x.ndim else 1} and "
                           f"{w.shape[-1]}x{w.shape[0]})")
    check_operands("linear", input, weight, *(() if bias is None else (bias,)))


@operator("linear", method=False)
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    """``input @ weight.T + bias`` over the last dimension, the bias added in the product's own launch.

    Args:
        input: (..., in_features).
        weight: (out_features, in_features).
        bias: (out_features) or None.
    """
    x, w = input.layout, weight.layout
    known = _linear_results.get((x, w, None if bias is None else bias.layout))
    if known is not None:
        flat, out = input, blank(known)
        product(input, weight, out, bias, flip_b=True, bias_kind=None if bias is None else "column")
    else:
        _check_linear(input, weight, bias)
        if w.ndim == 1:
            return matmul(input, weight) if bias is None else matmul(input, weight) + bias
        if bias is not None and bias.layout.shape != w.shape[:1]:
            plain = linear(input, weight)
            return plain + bias.expand(plain.layout.shape)
        flat = input if x.ndim == 2 else input.reshape(prod(x.shape[:-1]), x.shape[-1])
        out = empty((flat.layout.shape[0], w.shape[0]), x.dtype, x.device)
        if out.layout.numel:
            if x.shape[-1] == 0:
                out.zero_() if bias is None else out.copy_(bias)
            else:
                packed = None if bias is None else bias.contiguous()
                product(flat, weight, out, packed, flip_b=True, bias_kind=None if bias is None else "column")
                if flat is input and packed is bias:
                    _linear_results[x, w, None if bias is None else bias.layout] = out.layout
    if needs_graph(flat, weight, bias):
        saved = Saved("linear", [flat if weight._requires_grad else None, weight if flat._requires_grad else None])
        bias_needed = bias is not None and bias._requires_grad

        def backward(g: Any) -> tuple:
            inputs, weights = saved.unpack()
            return (None if weights is None else _mm(g, weights),
                    None if inputs is None else _mm(g, inputs, flip_a=True),
                    g.sum(0) if bias_needed else None)
        attach(out, "Addmm" if bias is not None else "Mm", (flat, weight, bias), backward, saved)
    return out if x.ndim == 2 else out.view(*x.shape[:-1], w.shape[0])
