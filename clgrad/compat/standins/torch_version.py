"""``torch.torch_version``: a version that is a text, and is compared as a version with texts and tuples."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from typing import Any

from clgrad.compat.standins.version import __version__ as _text

__all__ = ["TorchVersion"]

# Release, a mark such as "rc1", what is local after "+": the common forms of Python's versions.
_FORM = re.compile(r"v?(\d+(?:\.\d+)*)(?:[-_.]?(dev|a|b|rc|post)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?",
                   re.IGNORECASE)
_MARKS = {"dev": -4, "a": -3, "b": -2, "rc": -1, "": 0, "post": 1}


def _key(version: Any) -> tuple | None:
    """What a version is ordered by; None for what is no version."""
    if not isinstance(version, str):
        if not isinstance(version, Iterable):
            return None
        version = ".".join(str(part) for part in version)
    found = _FORM.fullmatch(version.strip())
    if found is None:
        return None
    release, mark, number, local = found.groups(default="")
    numbers = [int(part) for part in release.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    parts = [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"[-_.]", local.lower()) if part]
    return numbers, _MARKS[mark.lower()], int(number or 0), parts


def _compared(name: str) -> Callable:
    compare = getattr(operator, name)

    def method(self: str, other: Any) -> Any:
        ours, theirs = _key(self), _key(other)
        return getattr(str, f"__{name}__")(self, other) if ours is None or theirs is None else compare(ours, theirs)
    return method


class TorchVersion(str):
    """A version; compared with what is no version it is a text."""

    __slots__ = ()
    __hash__ = str.__hash__
    __lt__, __le__, __eq__, __ge__, __gt__ = (_compared(name) for name in ("lt", "le", "eq", "ge", "gt"))


__version__ = TorchVersion(_text)
