"""PyTorch's old constructors of sparse tensors: ``sparse.FloatTensor(indices, values, size)``, for ``isinstance``, too."""

from __future__ import annotations

from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.conversion import TYPE_NAMES
from clgrad.dtypes import dtype
from clgrad.formats import sparse_coo
from clgrad.shapes import Size
from clgrad.sparse.construction import sparse_coo_tensor


class _Typed(type):
    dtype: dtype

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, TensorBase) and value.spec.dtype is cls.dtype and value.spec.layout is sparse_coo


def _make(kind: dtype) -> Any:
    def new(cls: Any, *args: Any, device: Any = None) -> Any:
        if not args:
            return sparse_coo_tensor((0,), dtype=kind, device=device)
        if isinstance(args[0], TensorBase):
            return sparse_coo_tensor(*args, device=device)
        sizes = args[0] if len(args) == 1 and isinstance(args[0], (Size, tuple, list)) else args
        return sparse_coo_tensor(tuple(sizes), dtype=kind, device=device)
    return _Typed(TYPE_NAMES[kind], (), {"__new__": new, "dtype": kind,
                                         "__doc__": f"Sparse tensors of {kind.name}, of coordinates."})


CLASSES = {name: _make(kind) for kind, name in TYPE_NAMES.items() if not kind.is_complex}
