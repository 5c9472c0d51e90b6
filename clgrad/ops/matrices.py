"""Products of matrices as launches: plans by specs, called with tensors. Nothing here is recorded."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from clgrad import dtypes
from clgrad.kernels import gemm
from clgrad.ops.execute import blank, execute
from clgrad.shapes import Shape, broadcast_shapes, broadcast_strides, collapse
from clgrad.spec import Spec, contiguous_spec

Strides = tuple[int, int, int]


class Product(NamedTuple):
    """What is known of a product before its data; ``dense_a`` and ``dense_b``: an operand has to be copied first."""

    plan: gemm.Plan
    result: Spec
    dense_a: Shape | None = None  # the shape in which it is copied
    dense_b: Shape | None = None

    def __call__(self, a: Any, b: Any, bias: Any = None) -> Any:
        """The result for two tensors of the specs that were planned for."""
        if self.dense_a is not None:
            a = a.detach().expand(self.dense_a).contiguous()
        if self.dense_b is not None:
            b = b.detach().expand(self.dense_b).contiguous()
        out = blank(self.result)
        left, right, target = a.memory.buffer, b.memory.buffer, out.memory.buffer
        if left is None or right is None or target is None or bias is not None:
            execute(self.plan, (a, b, out, bias), ())
        else:
            self.plan((left, right, target, target), (a.offset, b.offset, 0, 0))
        return out


_rows: dict[tuple, Product] = {}


def of_rows(a: Any, b: Any, bias: Any = None, activation: str | None = None, *, flip_a: bool = False,
            flip_b: bool = False, kind: str = "column") -> Any:
    """``activation(a @ b + bias)``; an operand of more than two dimensions is a matrix of as many rows as it has vectors.

    ``flip_a`` and ``flip_b``: the transposed matrix is meant. ``bias`` has an element a column, densely; or it is, by its
    ``kind``, a "gate" of the result's shape, densely: see :func:`clgrad.kernels.gemm.plan`. The result of an ``a`` that is
    not flipped has its leading dimensions.
    """
    key = (a.spec, b.spec, None if bias is None else bias.spec, activation, flip_a, flip_b, kind)
    product = _rows.get(key)
    if product is None:
        if not _is_matrix(a.spec):
            return of_rows(a.contiguous(), b, bias, activation, flip_a=flip_a, flip_b=flip_b, kind=kind)
        if not _is_matrix(b.spec):
            return of_rows(a, b.contiguous(), bias, activation, flip_a=flip_a, flip_b=flip_b, kind=kind)
        product = _rows[key] = _plan_rows(a.spec, b.spec, None if bias is None else kind, activation, flip_a, flip_b)
    return product(a, b, bias)


_summed: dict[tuple[Spec, Spec], tuple[Product, Spec]] = {}


def of_rows_and_sums(a: Any, b: Any) -> tuple[Any, Any]:
    """``a.T @ b`` for the rows of both, and ``a.sum(0)``: in one launch where the kernels can, else None for the sums."""
    found = _summed.get((a.spec, b.spec))
    if found is None:
        for x in (a, b):
            if not _is_matrix(x.spec):
                return of_rows_and_sums(a.contiguous(), b.contiguous())
        product = _plan_rows(a.spec, b.spec, "sums", None, True, False)
        sums = contiguous_spec(product.result.shape[:1], a.spec.dtype, a.spec.device)
        found = _summed[a.spec, b.spec] = product, sums
    product, own = found
    if not product.plan.sums:
        return product(a, b), None
    sums = blank(own)
    return product(a, b, sums), sums


def _is_matrix(own: Spec) -> bool:
    return own.ndim == 2 or own.contiguous


def _plan_rows(a: Spec, b: Spec, bias: str | None, activation: str | None, flip_a: bool, flip_b: bool) -> Product:
    left, right = _rows_and_columns(a, flip_a), _rows_and_columns(b, flip_b)
    rows, columns = left[0], right[1]
    shape = (rows, columns) if flip_a or a.ndim == 2 else (*a.shape[:-1], columns)
    out = contiguous_spec(shape, a.dtype, a.device)
    plan = _plan(out, 1, rows, columns, left[1], (0, *left[2:]), (0, *right[2:]), (0, columns, 1), bias, activation)
    return Product(plan, out)


def _rows_and_columns(own: Spec, flip: bool) -> tuple[int, int, int, int]:
    """Rows, columns and their steps."""
    if own.ndim == 2:
        (rows, columns), (down, across) = own.shape, own.strides
    else:
        rows, columns = prod(own.shape[:-1]), own.shape[-1]
        down, across = columns, 1
    return (columns, rows, across, down) if flip else (rows, columns, down, across)


_batches: dict[tuple, Product] = {}


def of_batches(a: Any, b: Any) -> Any:
    """(..., m, k) @ (..., k, n), the leading dimensions broadcast."""
    product = _batches.get((a.spec, b.spec))
    if product is None:
        product = _batches[a.spec, b.spec] = _plan_batches(a.spec, b.spec)
    return product(a, b)


def _plan_batches(a: Spec, b: Spec) -> Product:
    batch = broadcast_shapes(a.shape[:-2], b.shape[:-2])
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    out = contiguous_spec((*batch, m, n), a.dtype, a.device)
    strides_a, dense_a = _batch_strides(a, batch)
    strides_b, dense_b = _batch_strides(b, batch)
    plan = _plan(out, prod(batch), m, n, k, strides_a, strides_b, (m * n, n, 1))
    return Product(plan, out, dense_a, dense_b)


def _batch_strides(own: Spec, batch: Shape) -> tuple[Strides, Shape | None]:
    """The steps of batch, row and column, and the shape for a copy where the batch dimensions do not walk evenly."""
    rows, columns = own.shape[-2:]
    strides = broadcast_strides(own.shape[:-2], own.strides[:-2], batch)
    if all(step == 0 for step in strides) or prod(batch) == 1:
        return (0, own.strides[-2], own.strides[-1]), None
    sizes, (steps,) = collapse(batch, [strides])
    if len(sizes) > 1:
        return (rows * columns, columns, 1), (*batch, rows, columns)
    return (steps[0], own.strides[-2], own.strides[-1]), None


def _plan(out: Spec, batch: int, m: int, n: int, k: int, a: Strides, b: Strides, c: Strides,
          bias: str | None = None, activation: str | None = None) -> gemm.Plan:
    device = out.device.compute  # type: ignore[attr-defined]
    if out.dtype is dtypes.float64 and not device.limits.fp64:
        raise RuntimeError(f"matmul: {device.limits.name} has no float64; convert to float32 first")
    return gemm.plan(device, out.dtype, batch, m, n, k, a, b, c, bias=bias, activation=activation)
