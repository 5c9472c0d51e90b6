"""What has to hold of the indices of sparse tensors, and whether it is checked."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar

from clgrad.ops.sparse import BY_ROWS, OF_BLOCKS, Pattern


class check_sparse_tensor_invariants:
    """Whether sparse tensors are checked when they are made: a region, a decorator, or a switch.

    ``with check_sparse_tensor_invariants():`` checks within, ``check_sparse_tensor_invariants(False)`` does not.

    >>> import clgrad
    >>> with clgrad.sparse.check_sparse_tensor_invariants():
    ...     clgrad.sparse_coo_tensor([[5]], [1.], (2,))
    Traceback (most recent call last):
        ...
    RuntimeError: size is inconsistent with indices: for dim 0, size is 2 but found index 5
    """

    _enabled: ClassVar[bool] = False

    @classmethod
    def is_enabled(cls) -> bool:
        """Whether invariants are checked."""
        return check_sparse_tensor_invariants._enabled

    @classmethod
    def enable(cls) -> None:
        """From now on invariants are checked."""
        check_sparse_tensor_invariants._enabled = True

    @classmethod
    def disable(cls) -> None:
        """From now on invariants are not checked."""
        check_sparse_tensor_invariants._enabled = False

    def __init__(self, enable: bool = True):
        self.state = enable
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(self.is_enabled())
        check_sparse_tensor_invariants._enabled = self.state

    def __exit__(self, *exception: object) -> None:
        check_sparse_tensor_invariants._enabled = self._before.pop()

    def __call__(self, function: Callable) -> Callable:
        """A function within which invariants are checked, or not."""
        @functools.wraps(function)
        def inside(*args: Any, **kwargs: Any) -> Any:
            with type(self)(self.state):
                return function(*args, **kwargs)
        return inside


def check_coordinates(indices: Any, shape: tuple | None) -> None:
    """RuntimeError where an index is negative, or not within the shape. Looks at the extreme indices on the host."""
    if not indices.spec.numel:
        return
    for dim, (low, high) in enumerate(zip(indices.amin(1).tolist(), indices.amax(1).tolist(), strict=True)):
        if low < 0:
            raise RuntimeError(f"found negative index {low} for dim {dim}")
        if shape is not None and high >= shape[dim]:
            raise RuntimeError(f"size is inconsistent with indices: for dim {dim}, size is {shape[dim]} but found index "
                               f"{high}")


def check_compressed(pattern: Pattern, values: Any, first: str, second: str) -> None:
    """RuntimeError where compressed indices do not say what they have to. Looks at them on the host."""
    def require(holds: Any, what: str) -> None:
        if not bool(holds):
            raise RuntimeError(f"`{what}` is not satisfied.")
    batch, count = pattern.batch, pattern.count
    given = values.spec.shape[len(batch)]
    if count != given:
        raise RuntimeError(f"{second}.shape[-1] must be equal to nnz (={given}) as defined by values.shape[{len(batch)}], "
                           f"but got {count}")
    by_rows = pattern.layout in BY_ROWS
    sizes = [size // block for size, block in zip(pattern.sizes[-2:], pattern.block, strict=True)]
    lines, others = sizes if by_rows else sizes[::-1]
    kind = "blocks" if pattern.layout in OF_BLOCKS else ""
    line_name, other_name = (f"n{name}{kind}" for name in (("rows", "cols") if by_rows else ("cols", "rows")))
    starts, places = pattern.compressed, pattern.indices
    if starts.spec.shape[-1] != lines + 1:
        raise RuntimeError(f"{first}.shape[-1] must be equal to the number of {'rows' if by_rows else 'columns'} + 1 "
                           f"(={lines + 1}), but got {starts.spec.shape[-1]}")
    if places.spec.shape[:-1] != batch or values.spec.shape[:len(batch)] != batch:
        raise RuntimeError(f"all batch dimensions of {first} (={list(batch)}), {second} (={list(places.spec.shape[:-1])}) "
                           f"and values (={list(values.spec.shape[:len(batch)])}) must be equal to each other")
    require((starts[..., 0] == 0).all(), f"{first}[..., 0] == 0")
    require((starts[..., -1] == count).all(), f"{first}[..., -1] == nnz")
    steps = starts[..., 1:] - starts[..., :-1]
    require(((steps >= 0) & (steps <= others)).all(), f"0 <= {first}[..., 1:] - {first}[..., :-1] <= {other_name}")
    require(((places >= 0) & (places < others)).all(), f"0 <= {second} < {other_name}")
    coo = Pattern(pattern.layout, (*batch, lines, others), places, False, starts).as_coo()
    by_line = coo.indices if by_rows else coo.indices[[*range(len(batch)), -1, -2]]
    flat = Pattern(coo.layout, (*batch, lines, others), by_line).flat()
    require((flat[1:] > flat[:-1]).all(),
            f"{second}[..., {first}[..., i - 1]:{first}[..., i]] for all i = 1, ..., {line_name} are sorted and distinct "
            "along the last dimension values")
