"""``torch.ops``: operators by namespace, name and overload, such as ``torch.ops.aten.add.Tensor``."""

from __future__ import annotations

from typing import Any, NoReturn

from clgrad.ops.registry import FUNCTIONS

__all__ = ["aten", "load_library"]


class Packet:
    """An operator; its overloads are itself, as the arguments tell them apart."""

    def __init__(self, name: str):
        self._name = name
        self._function = FUNCTIONS[name]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the operator."""
        return self._function(*args, **kwargs)

    def __getattr__(self, overload: str) -> Packet:
        if overload.startswith("__"):
            raise AttributeError(overload)
        return self

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='aten.{self._name}')>"


class Namespace:
    """The operators of PyTorch itself."""

    def __getattr__(self, name: str) -> Packet:
        if name not in FUNCTIONS:
            raise AttributeError(f"'_OpNamespace' 'aten' object has no attribute '{name}'")
        packet = self.__dict__[name] = Packet(name)
        return packet


aten = Namespace()


def load_library(path: str) -> NoReturn:
    """OSError: operators are OpenCL C, not C++ libraries."""
    raise OSError(f"torch.ops.load_library: clgrad loads no C++ libraries, but was given {path}")


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(f"clgrad has no torch.ops.{name}: there are the operators of torch.ops.aten")
