"""Names that programs import, of things that clgrad has nothing for: to use one is an error that says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn


def function(name: str, reason: str) -> Callable[..., NoReturn]:
    """A function that raises NotImplementedError."""
    def refuse(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"{name}: {reason}")
    refuse.__name__ = refuse.__qualname__ = name.rpartition(".")[2]
    return refuse


def kind(name: str, reason: str, *bases: type) -> Any:
    """A class of which no object can be made; ``isinstance`` with it is False."""
    def refuse(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(f"{name}: {reason}")
    module, _, own = name.rpartition(".")
    return type(own, bases, {"__init__": refuse, "__module__": module, "__doc__": f"Stands for {name}: {reason}."})
