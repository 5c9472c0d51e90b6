"""How much a program wants to be told of what its groups do: a setting that programs ask for."""

from __future__ import annotations

import os
from enum import IntEnum


class DebugLevel(IntEnum):
    """The levels of TORCH_DISTRIBUTED_DEBUG."""

    OFF = 0
    INFO = 1
    DETAIL = 2


_level = {"now": DebugLevel.OFF}


def get_debug_level() -> DebugLevel:
    """The level; what members call is compared at every level."""
    return _level["now"]


def set_debug_level(level: DebugLevel) -> None:
    """Another level."""
    _level["now"] = DebugLevel(level)


def set_debug_level_from_env() -> None:
    """The level that the variable TORCH_DISTRIBUTED_DEBUG names (OFF where it is not set).

    Raises:
        RuntimeError: it names none.
    """
    name = os.environ.get("TORCH_DISTRIBUTED_DEBUG", "OFF").upper()
    if name not in DebugLevel.__members__:
        raise RuntimeError("The value of TORCH_DISTRIBUTED_DEBUG must be one of: `OFF`, `INFO`, `DETAIL`; "
                           f"it is {name!r}")
    set_debug_level(DebugLevel[name])


set_debug_level_from_env()
