"""Shapes, strides and indices as pure arithmetic: no OpenCL, no data."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

Shape = tuple[int, ...]


def _as_int(position: int, size: Any) -> int:
    try:
        return operator.index(size)
    except TypeError as error:
        raise TypeError(f"torch.Size() takes an iterable of 'int' (item {position} is '{type(size).__name__}')") from error


class Size(tuple):
    """A tensor's shape: a tuple with :meth:`numel` and PyTorch's printing.

    >>> Size((2, 3)).numel(), Size((2, 3))[1:]
    (6, torch.Size([3]))
    """

    __slots__ = ()

    def __new__(cls, sizes: Iterable = ()) -> Size:
        """TypeError where an element is no integer."""
        if type(sizes) is not Size:
            sizes = [size if type(size) is int else _as_int(position, size) for position, size in enumerate(sizes)]
        return tuple.__new__(cls, sizes)

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        return prod(self)

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"

    __str__ = __repr__

    def __getitem__(self, index):
        item = tuple.__getitem__(self, index)
        return Size(item) if isinstance(index, slice) else item

    def __add__(self, other):
        if isinstance(other, tuple):
            return Size(tuple.__add__(self, other))
        if hasattr(other, "__radd__"):
            return NotImplemented
        raise TypeError(f"can only concatenate tuple (not {type(other).__name__}) to torch.Size")

    def __radd__(self, other):
        return Size(other + tuple(self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, times):
        return Size(tuple.__mul__(self, times))

    __rmul__ = __mul__

    def __reduce__(self):
        return Size, (tuple(self),)


def divide_up(a: int, b: int) -> int:
    """``a / b`` rounded up."""
    return -(-a // b)


def round_up(a: int, b: int) -> int:
    """The smallest multiple of ``b`` that is not below ``a``."""
    return -(-a // b) * b


def as_shape(sizes: object, name: str = "size") -> Shape:
    """``(2, 3)``, ``[2, 3]``, ``((2, 3),)`` or ``2`` as a tuple of integers that are not negative."""
    if isinstance(sizes, (tuple, list)) and len(sizes) == 1 and isinstance(sizes[0], (tuple, list)):
        sizes = sizes[0]
    if not isinstance(sizes, (tuple, list)):
        sizes = (sizes,)
    for s in sizes:
        if s.__class__ is not int or s < 0:
            break
    else:
        return tuple(sizes)
    try:
        shape = tuple(operator.index(s) for s in sizes)
    except TypeError:
        kinds = ", ".join(type(s).__name__ for s in sizes)
        raise TypeError(f"argument '{name}' must be tuple of ints, got ({kinds})") from None
    if any(s < 0 for s in shape):
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}")
    return shape


def contiguous_strides(shape: Sequence[int]) -> Shape:
    """Row-major strides, in elements; a size of 0 counts as 1, as in PyTorch."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size or 1
    return tuple(strides[::-1])


def is_contiguous(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether elements lie in row-major order without gaps (dimensions of size 1 do not matter)."""
    if 0 in shape:
        return True
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1:
            if stride != expected:
                return False
            expected *= size
    return True


def is_dense(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether each element of a gapless block is used exactly once, in whatever order of dimensions."""
    pairs = sorted((stride, size) for size, stride in zip(shape, strides, strict=True) if size != 1)
    expected = 1
    for stride, size in pairs:
        if size == 0:
            return True
        if stride != expected:
            return False
        expected *= size
    return True


def memory_order(shape: Sequence[int], operands: Sequence[Sequence[int]]) -> list[int]:
    """The dimensions of operands with these strides, the innermost first.

    The first operand that says something about two dimensions decides: that of the larger stride is farther out, and of two
    with equal strides the larger one. A stride of 0 says nothing.

    >>> memory_order((2, 3, 4), [(0, 0, 1), (1, 8, 2)])
    [0, 2, 1]
    """
    def beyond(a: int, b: int) -> int:
        for strides in operands:
            if strides[a] and strides[b]:
                if strides[a] != strides[b]:
                    return strides[a] - strides[b]
                if shape[a] > shape[b]:
                    return 1
        return 0
    order = list(reversed(range(len(shape))))
    for place in range(1, len(order)):
        for inner in reversed(range(place)):
            verdict = beyond(order[inner], order[place])
            if verdict < 0:
                break
            if verdict > 0:
                order[inner], order[place] = order[place], order[inner]
                place = inner
    return order


def ordered_strides(shape: Sequence[int], order: Sequence[int]) -> Shape:
    """The strides of a dense block with its dimensions in an order, the innermost first.

    >>> ordered_strides((2, 3, 4), [1, 2, 0])
    (12, 1, 3)
    """
    strides = [0] * len(shape)
    step = 1
    for axis in order:
        strides[axis] = step
        step *= max(shape[axis], 1)
    return tuple(strides)


def has_overlap(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether two indices surely share an element: some dimension has size > 1 and stride 0."""
    return any(size > 1 and stride == 0 for size, stride in zip(shape, strides, strict=True))


def sees_twice(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Whether two indices may share an element: a dimension's step does not pass over what smaller steps reach."""
    reach = 0
    for stride, size in sorted((stride, size) for size, stride in zip(shape, strides, strict=True) if size != 1):
        if stride <= reach:
            return True
        reach += stride * (size - 1)
    return False


def extent(shape: Sequence[int], strides: Sequence[int]) -> int:
    """How many elements of storage, from the first to the last that is used, a view reaches over."""
    if 0 in shape:
        return 0
    return 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))


def broadcast_shapes(*shapes: Sequence[int]) -> Size:
    """The shape that all the given ones broadcast to; RuntimeError where they do not.

    >>> broadcast_shapes((4, 1), (3,))
    torch.Size([4, 3])
    """
    rank = max((len(s) for s in shapes), default=0)
    result = [1] * rank
    for shape in shapes:
        for axis, size in enumerate(shape, rank - len(shape)):
            if size != 1 and size != result[axis]:
                if result[axis] != 1:
                    raise RuntimeError(
                        f"The size of tensor a ({result[axis]}) must match the size of tensor b ({size}) at "
                        f"non-singleton dimension {axis}: shapes {', '.join(str(list(s)) for s in shapes)} do not "
                        "broadcast")
                result[axis] = size
    return Size(result)


def broadcast_strides(shape: Sequence[int], strides: Sequence[int], to: Sequence[int]) -> Shape:
    """Strides with which a tensor of ``shape`` is read as if it had the shape ``to``."""
    lead = len(to) - len(shape)
    return (0,) * lead + tuple(
        0 if size == 1 and target != 1 else stride
        for size, stride, target in zip(shape, strides, to[lead:], strict=True))


def expanded_strides(shape: Sequence[int], strides: Sequence[int], to: Sequence[int]) -> Shape:
    """:func:`broadcast_strides` as users see them: a new dimension of one element steps over all that is behind it."""
    if not shape:
        return (0,) * len(to)
    result = list(broadcast_strides(shape, strides, to))
    for axis in reversed(range(len(to) - len(shape))):
        if to[axis] == 1:
            result[axis] = to[axis + 1] * result[axis + 1]
    return tuple(result)


def normalize_dim(dim: int, rank: int) -> int:
    """A possibly negative dimension as one in [0, rank); IndexError outside. A 0-d tensor has dimension 0 too."""
    bound = max(rank, 1)
    if dim is True or dim is False:  # a flag in the place of a dimension
        raise TypeError("argument 'dim' must be int, not bool")
    dim = operator.index(dim)
    if not -bound <= dim < bound:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-bound}, {bound - 1}], but got {dim})")
    return dim % bound


def normalize_dims(dims: int | Iterable[int] | None, rank: int) -> Shape:
    """One, several or (None) all dimensions, each once, as sorted numbers in [0, rank)."""
    if dims is None:
        return tuple(range(rank))
    if rank > 64:
        raise RuntimeError("only tensors with up to 64 dims are supported")
    if type(dims) is int and -rank <= dims < rank:
        return (dims % rank,)
    if not isinstance(dims, (tuple, list)):
        dims = (dims,)  # type: ignore[assignment]
    found = [normalize_dim(d, rank) for d in dims]  # type: ignore[union-attr]
    for d in found:
        if found.count(d) > 1:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return tuple(sorted(d for d in found if d < rank))


def names_none(dims: Any) -> bool:
    """Whether an argument names no dimension, by which most operators mean all of them."""
    return dims is None or isinstance(dims, (tuple, list)) and not dims


def reduced_dims(dims: int | Iterable[int] | None, rank: int) -> Shape:
    """:func:`normalize_dims` for reductions that take ``()`` and ``[]`` for all dimensions."""
    return normalize_dims(None if names_none(dims) else dims, rank)


def collapse(shape: Sequence[int], strides: Sequence[Sequence[int]]) -> tuple[Shape, tuple[Shape, ...]]:
    """Merges neighbouring dimensions that all operands walk through without a jump, and drops those of size 1.

    ``strides`` holds one list a operand. Returns the merged shape and each operand's strides; the shape of a scalar
    is ``(1,)``.

    >>> collapse((2, 3, 4), [(12, 4, 1), (0, 0, 1)])
    ((6, 4), ((4, 1), (0, 1)))
    """
    sizes: list[int] = []
    steps: list[list[int]] = [[] for _ in strides]
    for axis, size in enumerate(shape):
        if size == 1:
            continue
        if sizes and all(s[-1] == stride[axis] * size for s, stride in zip(steps, strides, strict=True)):
            sizes[-1] *= size
            for s, stride in zip(steps, strides, strict=True):
                s[-1] = stride[axis]
        else:
            sizes.append(size)
            for s, stride in zip(steps, strides, strict=True):
                s.append(stride[axis])
    if not sizes:
        return (1,), tuple((0,) for _ in strides)
    return tuple(sizes), tuple(tuple(s) for s in steps)


def view_strides(shape: Sequence[int], strides: Sequence[int], new_shape: Sequence[int]) -> Shape | None:
    """The strides of ``new_shape`` over the same memory, or None where only a copy can have that shape."""
    if 0 in shape:
        return contiguous_strides(new_shape)
    if not shape:
        return (1,) * len(new_shape)
    result = [0] * len(new_shape)
    place = len(new_shape) - 1
    step, count = strides[-1], 1  # of the dimensions of the input, from the last, that form one even walk
    for axis in reversed(range(len(shape))):
        count *= shape[axis]
        if axis and (shape[axis - 1] == 1 or strides[axis - 1] == count * step):
            continue
        used = 1
        while place >= 0 and (used < count or new_shape[place] == 1):
            result[place] = used * step
            used *= new_shape[place]
            place -= 1
        if used != count:
            return None
        if axis:
            step, count = strides[axis - 1], 1
    return tuple(result) if place < 0 else None


def infer_shape(shape: Sequence[int], numel: int) -> Shape:
    """Replaces one -1 of ``shape`` by what makes it hold ``numel`` elements; RuntimeError where nothing does."""
    unknown = [axis for axis, size in enumerate(shape) if size == -1]
    if len(unknown) > 1:
        raise RuntimeError("only one dimension can be inferred")
    if any(size < -1 for size in shape):
        raise RuntimeError(f"invalid shape dimension {min(shape)}")
    known = prod(size for size in shape if size != -1)
    if unknown and known == 0 and numel == 0:
        raise RuntimeError(f"cannot reshape tensor of 0 elements into shape {list(shape)} because the unspecified "
                           "dimension size -1 can be any value and is ambiguous")
    if (not unknown and known != numel) or (unknown and (known == 0 or numel % known)):
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {numel}")
    return tuple(numel // known if size == -1 else size for size in shape)
