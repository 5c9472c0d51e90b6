"""Spec: all that is known of a tensor without its data, as one object that is shared by all who have the same.

Equal specs are the same object, so that a plan is found by identity: the second call of an operator with the same
kinds of operands does no arithmetic on shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from math import prod

from clgrad import dtypes
from clgrad.dtypes import dtype
from clgrad.formats import layout, strided
from clgrad.shapes import Shape, Size, contiguous_strides, extent, is_contiguous

_LARGEST = (1 << 63) - 1  # bytes
before_complex: list[Callable[[], object]] = []  # called once, before the first tensor of complex numbers is there
before_sparse: list[Callable[[], object]] = []  # called once, before the first sparse tensor is there


class Spec:
    """Shape, strides (in elements), dtype and device of a tensor. Get one from :func:`spec`."""

    __slots__ = ("shape", "strides", "dtype", "device", "numel", "ndim", "contiguous", "extent", "nbytes",
                 "span", "repeats", "size")
    layout = strided

    def __init__(self, shape: Shape, strides: Shape, dtype: dtype, device: Hashable):
        if not dtype.cl:
            raise NotImplementedError(f"clgrad has no tensors of {dtype}: there are the floating-point types float16, "
                                      "bfloat16, float32 and float64, complex64 and complex128, the integers and bool")
        while dtype.is_complex and before_complex:
            before_complex.pop()()
        self.shape, self.strides, self.dtype, self.device = shape, strides, dtype, device
        self.numel = prod(shape)
        self.ndim = len(shape)
        self.contiguous = is_contiguous(shape, strides)
        self.extent = extent(shape, strides)
        self.nbytes = self.numel * dtype.itemsize
        self.span = self.extent * dtype.itemsize  # bytes of memory from the first to the last element
        if max(strides, default=0) > _LARGEST:
            raise RuntimeError(f"Stride calculation overflowed with sizes={list(shape)}")
        if self.span > _LARGEST:
            raise RuntimeError(f"Storage size calculation overflowed with sizes={list(shape)} and strides={list(strides)}")
        # Whether several elements share a place in memory: such a tensor cannot be written.
        self.repeats = self.numel > 0 and any(size > 1 and not step for size, step in zip(shape, strides, strict=True))
        self.size = Size(shape)  # what users see; a plain tuple is read faster


class SparseSpec(Spec):
    """The spec of a tensor of another layout, which has no strides; get one from :func:`sparse_spec`."""

    __slots__ = ("layout",)

    def __init__(self, shape: Shape, dtype: dtype, device: Hashable, layout: layout):
        super().__init__(shape, (0,) * len(shape), dtype, device)
        self.layout = layout  # type: ignore[misc]
        self.contiguous = self.repeats = False


_specs: dict[tuple, Spec] = {}


def spec(shape: Shape, strides: Shape, dtype: dtype, device: Hashable) -> Spec:
    """The one spec of these properties."""
    key = (shape, strides, dtype, device)
    found = _specs.get(key)
    if found is None:
        found = _specs.setdefault(key, Spec(tuple(shape), tuple(strides), dtype, device))
    return found


_contiguous: dict[tuple, Spec] = {}


def contiguous_spec(shape: Shape, dtype: dtype, device: Hashable) -> Spec:
    """The spec of a new row-major tensor."""
    key = (shape, dtype, device)
    found = _contiguous.get(key)
    if found is None:
        found = _contiguous[key] = spec(tuple(shape), contiguous_strides(shape), dtype, device)
    return found


_sparse: dict[tuple, SparseSpec] = {}


def sparse_spec(shape: Shape, dtype: dtype, device: Hashable, layout: layout) -> SparseSpec:
    """The spec of a sparse tensor."""
    key = (shape, dtype, device, layout)
    found = _sparse.get(key)
    if found is None:
        while before_sparse:
            before_sparse.pop()()
        found = _sparse[key] = SparseSpec(tuple(shape), dtype, device, layout)
    return found


def common_dtype(specs: Iterable[Spec], numbers: Iterable[dtype] = ()) -> dtype:
    """The dtype of an operation on tensors of these specs and on numbers, whose dtypes are given."""
    known = list(specs)
    return dtypes.result_type([a.dtype for a in known if a.ndim], [a.dtype for a in known if not a.ndim], numbers)
