"""``torch.types``: names for annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.dtypes import dtype
from clgrad.runtime import device
from clgrad.shapes import Size
from clgrad.tensor import Tensor

Number = int | float | bool
Device = device | str | int | None
FileLike = Any
_size = Size | list[int] | tuple[int, ...]
_int, _float, _bool, _dtype, _device = int, float, bool, dtype, device
TensorOrTensors = Tensor | Sequence[Tensor]
_TensorOrTensors = TensorOrTensors
Storage = Any


class SymInt:
    """A size that is not known yet, of which clgrad has none: for ``isinstance``."""


class SymFloat:
    """A number that is not known yet, of which clgrad has none: for ``isinstance``."""


class SymBool:
    """A truth that is not known yet, of which clgrad has none: for ``isinstance``."""
