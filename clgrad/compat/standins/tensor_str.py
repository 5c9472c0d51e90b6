"""``torch._tensor_str``: how the values of tensors are printed."""

from __future__ import annotations

from typing import Any

from clgrad.printing import get_printoptions, set_printoptions, tensor_text, values_text, with_suffixes

__all__ = ["PRINT_OPTS", "_add_suffixes", "_str_intern", "_tensor_str", "set_printoptions"]

_add_suffixes = with_suffixes


class _Options:
    """The options as attributes."""

    def __getattr__(self, name: str) -> Any:
        if name not in get_printoptions():
            raise AttributeError(name)
        return get_printoptions()[name]

    def __setattr__(self, name: str, value: Any) -> None:
        set_printoptions(**{"sci_mode": self.sci_mode, name: value})


PRINT_OPTS = _Options()


def _tensor_str(self: Any, indent: int) -> str:
    return values_text(self, indent)


def _str_intern(inp: Any, *, tensor_contents: str | None = None) -> str:
    return tensor_text(inp, tensor_contents)
