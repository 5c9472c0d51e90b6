"""Words for errors and printing."""

from __future__ import annotations

from typing import Any

from clgrad.tensor import TYPE_NAMES, Tensor


def indented(text: str, spaces: int) -> str:
    """The text with all lines but the first moved to the right."""
    return text.replace("\n", "\n" + " " * spaces)


def type_text(value: Any) -> str:
    """A value's type as errors name it: ``torch.FloatTensor`` for tensors."""
    if isinstance(value, Tensor):
        return ("torch.cuda." if value.is_cuda else "torch.") + TYPE_NAMES[value.dtype]
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
