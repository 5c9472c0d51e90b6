"""Layouts and memory formats by PyTorch's names, and the strides that a format means."""

from __future__ import annotations

from functools import lru_cache

from clgrad.shapes import Shape, contiguous_strides, ordered_strides


class _Named:
    """One of a few objects that programs know by their names in PyTorch."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


class layout(_Named):
    """How a tensor's elements are kept: all of them at ``strided`` places, or those that are not zero, with their places."""

    __slots__ = ()


class memory_format(_Named):
    """In which order the dimensions of a dense tensor lie in memory."""

    __slots__ = ()


strided = layout("strided")
sparse_coo, sparse_csr, sparse_csc, sparse_bsr, sparse_bsc, jagged = (layout(name) for name in (
    "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged"))
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")

_RANKS = {channels_last: 4, channels_last_3d: 5}
_ORDERS = {wanted: (1, *reversed(range(2, rank)), 0) for wanted, rank in _RANKS.items()}  # of dimensions, the innermost first


def check_layout(wanted: object) -> None:
    """RuntimeError for a layout that tensors cannot have here."""
    if wanted is not None and wanted is not strided:
        raise RuntimeError(f"layout {wanted} is not supported: tensors are dense (torch.strided)")


def format_strides(shape: Shape, wanted: memory_format) -> Shape:
    """The strides of a dense tensor of ``shape`` in a memory format.

    >>> format_strides((2, 3, 4, 5), channels_last)
    (60, 1, 15, 3)

    Raises:
        RuntimeError: the format needs another number of dimensions.
    """
    if wanted is contiguous_format:
        return contiguous_strides(shape)
    rank = _RANKS.get(wanted)
    if rank is None:
        raise RuntimeError(f"unsupported memory format {wanted}")
    if len(shape) != rank:
        raise RuntimeError(f"required rank {rank} tensor to use {wanted.name} format")
    return ordered_strides(shape, _ORDERS[wanted])


@lru_cache(4096)
def has_format(shape: Shape, strides: Shape, wanted: memory_format) -> bool:
    """Whether these are the strides of a format; those of dimensions of size 1 do not count."""
    if wanted in _RANKS and len(shape) != _RANKS[wanted]:
        return False
    expected = format_strides(shape, wanted)
    return 0 in shape or all(size == 1 or a == b for size, a, b in zip(shape, strides, expected, strict=True))


@lru_cache(4096)
def suggested(shape: Shape, strides: Shape) -> memory_format | None:
    """``channels_last`` or ``channels_last_3d`` where strides are in this order, between elements may be gaps; else None."""
    wanted = {4: channels_last, 5: channels_last_3d}.get(len(shape))
    if wanted is None:
        return None
    dense = has_format(shape, strides, wanted) and not has_format(shape, strides, contiguous_format)
    return wanted if dense or suggests(shape, strides, wanted) else None


def suggests(shape: Shape, strides: Shape, wanted: memory_format) -> bool:
    """Whether dimensions follow each other in memory as in a channels-last format; between elements may be gaps.

    >>> suggests((2, 3, 4, 5), (90, 1, 15, 3), channels_last)
    True
    """
    if len(shape) != _RANKS[wanted] or 0 in shape or strides[1] == 0:
        return False
    least = 0
    for axis in _ORDERS[wanted]:
        if strides[axis] < least or axis == 0 and least == strides[1]:  # the latter: a single pixel, whose order is unknown
            return False
        least = strides[axis] * shape[axis]
    return True
