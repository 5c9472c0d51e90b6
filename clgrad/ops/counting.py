"""Counting and enumerating: bincount, isin, repeat_interleave, indices of triangles."""

from __future__ import annotations

import operator as op
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase
from clgrad.autograd.refused import no_derivative, refuse_gradient
from clgrad.formats import contiguous_format
from clgrad.ops.copying import cast, full
from clgrad.ops.joining import cat
from clgrad.ops.masks import Marked
from clgrad.ops.output import store
from clgrad.ops.registry import FUNCTIONS, operator
from clgrad.shapes import names_none, normalize_dim, reduced_dims
from clgrad.spec import common_dtype

_PAIRS = 1 << 14  # of elements and tests: comparing all of so many takes less than sorting


@operator("bincount")
def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often each number from 0 to the largest of a vector occurs; with ``weights`` the sums of their weights.

    >>> import clgrad
    >>> clgrad.bincount(clgrad.tensor([1, 3, 1]))
    tensor([0, 2, 0, 1])
    """
    own = input.spec
    if own.dtype.category != 1:
        raise NotImplementedError(f"\"bincount_cpu\" not implemented for '{dtypes.type_name(own.dtype)}'")
    if own.ndim != 1:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if weights is not None and weights.spec.shape != own.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    kind = dtypes.int64
    if weights is not None:
        kind = dtypes.float32 if weights.spec.dtype is dtypes.float32 else dtypes.float64
    if not own.numel:
        return full((minlength,), 0, dtypes.int64 if weights is None else kind, own.device)
    low, high = FUNCTIONS["stack"](FUNCTIONS["aminmax"](input)).tolist()
    if low < 0:
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    bins = full((max(high + 1, minlength),), 0, kind, own.device)
    if weights is None:
        one = full((1,), 1, kind, own.device).expand(own.shape)
        return bins.index_add_(0, input.to(dtypes.int64), one)
    sums = bins.index_add_(0, input.to(dtypes.int64), weights.detach().to(kind))
    return refuse_gradient(sums, [weights], no_derivative("bincount"))


@operator("hash_tensor")
def hash_tensor(input: Any, dim: Any = (), *, keepdim: bool = False, mode: int = 0, out: Any = None) -> Any:
    """The exclusive or of elements as 64 bits (of float64, or int64), over dimensions or all; as uint64."""
    if mode:
        raise RuntimeError(f"Unknown hash_tensor mode: {mode}")
    own = input.spec
    dims = reduced_dims(dim, own.ndim)
    if names_none(dim) and not own.numel:
        raise RuntimeError("hash_tensor: Expected reduction dim to be specified for input.numel() == 0. Specify the "
                           "reduction dim with the 'dim' argument.")
    bits = cast(input.detach(), dtypes.float64 if own.dtype.is_floating_point else dtypes.int64).view(dtypes.int64)
    for axis in dims:
        if not own.shape[axis]:
            raise IndexError(f"hash_tensor: Expected reduction dim {axis} to have non-zero size.")
        while (size := bits.spec.shape[axis]) > 1:  # one half upon the other; of an odd number the last waits
            folded = bits.narrow(axis, 0, size // 2) ^ bits.narrow(axis, size // 2, size // 2)
            bits = cat([folded, bits.narrow(axis, size - 1, 1)], axis) if size % 2 else folded
    bits = bits.view(dtypes.uint64)
    return store("hash_tensor", bits if keepdim else bits.squeeze(dims), out)


@operator("isin", method=False)
def isin(elements: Any = None, test_elements: Any = None, *, assume_unique: bool = False, invert: bool = False,
         out: Any = None, element: Any = None, test_element: Any = None) -> Any:
    """For each of ``elements`` whether it is among ``test_elements``; one of the two may be a number.

    A number may also be named ``element`` or ``test_element``.
    """
    elements = element if elements is None else elements
    test_elements = test_element if test_elements is None else test_elements
    if elements is None or test_elements is None:
        raise TypeError("isin() missing 1 required positional argument: 'test_elements'")
    if not isinstance(elements, TensorBase) and not isinstance(test_elements, TensorBase):
        raise TypeError("isin(): one of the arguments must be a Tensor")
    like = elements if isinstance(elements, TensorBase) else test_elements
    x, tests = (t if isinstance(t, TensorBase) else FUNCTIONS["tensor"](t, device=like.spec.device)
                for t in (elements, test_elements))
    for t in (x, tests):
        if t.spec.dtype is dtypes.bool:
            raise RuntimeError("Unsupported input type encountered for isin(): Bool")
    tests = tests.detach().reshape(-1)
    count = tests.spec.numel
    if not count or not x.spec.numel:
        found = x.new_zeros(x.spec.shape, dtype=dtypes.bool)
    elif count * x.spec.numel <= _PAIRS:
        found = x.detach().unsqueeze(-1).eq(tests).any(-1)
    else:
        kind = common_dtype((x.spec, tests.spec))
        ordered = FUNCTIONS["sort"](tests.to(kind))[0]
        values = x.detach().to(kind)
        place = FUNCTIONS["searchsorted"](ordered, values).clamp(max=count - 1)
        found = ordered[place].eq(values)
    return store("isin", found.logical_not() if invert else found, out, exact=True)


@operator("repeat_interleave")
def repeat_interleave(input: Any = None, repeats: Any = None, dim: int | None = None, *,
                      output_size: int | None = None) -> Any:
    """Each element (or slice along ``dim``) repeated: a number of times, or each as often as a tensor says.

    Without ``dim`` the flattened tensor. ``repeat_interleave(repeats)`` gives the index of what is repeated. Knowing
    ``output_size`` saves reading the repeats' sum back.
    """
    if repeats is None and input is None:
        raise TypeError("repeat_interleave() missing 1 required positional argument: 'repeats'")
    if repeats is None or input is None:
        return _repeated_places(repeats if input is None else input, output_size)
    x, axis = (input.reshape(-1), 0) if dim is None else (input, normalize_dim(dim, input.spec.ndim))
    scalar = not x.spec.ndim
    x = x.reshape(1) if scalar else x
    size = x.spec.shape[axis]
    if isinstance(repeats, (tuple, list)):
        repeats = FUNCTIONS["tensor"](repeats, device=x.spec.device)
    if not isinstance(repeats, TensorBase):
        if repeats < 0:
            raise RuntimeError(f"Repeats must be non-negative, got {repeats}")
        if output_size is not None and output_size != size * repeats:
            raise RuntimeError(f"repeat_interleave: Invalid output_size, expected {size * repeats} but got {output_size}")
        shape = x.spec.shape
        wide = x.unsqueeze(axis + 1).expand(*shape[:axis + 1], repeats, *shape[axis + 1:])
        return wide.clone(memory_format=contiguous_format).flatten(axis, axis + 1)
    if repeats.spec.ndim > 1:
        raise RuntimeError("repeats must be 0-dim or 1-dim tensor")
    if repeats.spec.numel == 1:
        repeats = repeats.reshape(1).expand(size)
    elif repeats.spec.numel != size:
        raise RuntimeError(f"repeats must have the same size as input along dim, but got repeats.size(0) = "
                           f"{repeats.spec.numel} and input.size({axis}) = {size}")
    return x.index_select(axis, _repeated_places(repeats, output_size))


def _repeated_places(repeats: Any, output_size: int | None) -> Any:
    """0 as often as the first element of ``repeats`` says, 1 as often as the second, and so on."""
    own = repeats.spec
    if own.ndim != 1:
        raise RuntimeError("repeat_interleave only accept 1D vector as repeat")
    if own.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError("repeats has to be Long or Int tensor")
    if not own.numel:
        return full((0,), 0, own.dtype, own.device)
    ends = repeats.to(dtypes.int64).cumsum(0)
    if output_size is None:
        least, total = FUNCTIONS["stack"]([repeats.amin().to(dtypes.int64), ends[-1]]).tolist()
        if least < 0:
            raise RuntimeError("repeats can not be negative")
    else:
        total = output_size
    # The number of runs that ended at or before each position.
    ended = full((total + 1,), 0, dtypes.int64, own.device)
    ended.index_add_(0, ends, full((1,), 1, dtypes.int64, own.device).expand(own.numel))
    return ended[:total].cumsum(0).to(own.dtype)


def _triangle(row: int, col: int, offset: int, lower: bool, dtype: Any, device: Any) -> Any:
    row, col, offset = op.index(row), op.index(col), op.index(offset)
    for name, size in (("row", row), ("col", col)):
        if size < 0:
            raise RuntimeError(f"{name} must be non-negative, got {size}")
    arange = FUNCTIONS["arange"]
    down = arange(row, device=device).unsqueeze(1) + (offset if lower else offset - 1)
    across = arange(col, device=device)
    below = sum(min(max(r + (offset if lower else offset - 1) + 1, 0), col) for r in range(row))
    mask = across <= down if lower else across > down
    return Marked(mask, below if lower else row * col - below).places().t().contiguous().to(dtype or dtypes.int64)


@operator("tril_indices", method=False)
def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None, layout: Any = None,
                 requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """The places (2, count) of the lower triangle of a matrix, on and below diagonal ``offset``, row by row."""
    return _triangle(row, col, offset, True, dtype, device)


@operator("triu_indices", method=False)
def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None, layout: Any = None,
                 requires_grad: bool = False, pin_memory: bool = False) -> Any:
    """The places (2, count) of the upper triangle of a matrix, on and above diagonal ``offset``, row by row."""
    return _triangle(row, col, offset, False, dtype, device)
