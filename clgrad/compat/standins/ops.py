"""``torch.ops``: operators by namespace, name and overload, such as ``torch.ops.aten.add.Tensor``."""

from __future__ import annotations

from typing import NoReturn

from clgrad import library
from clgrad.compat.standins import vision_operators as torchvision
from clgrad.ops.overloads import Packet, aten

__all__ = ["aten", "load_library", "torchvision"]


def load_library(path: str) -> NoReturn:
    """OSError: operators are OpenCL C, not C++ libraries."""
    raise OSError(f"torch.ops.load_library: clgrad loads no C++ libraries, but was given {path}")


class CustomNamespace:
    """The operators that a program has made under one namespace."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str) -> Packet:
        found = library.OPERATORS.get(f"{self._name}::{name}")
        if found is None:
            raise AttributeError(f"'_OpNamespace' '{self._name}' object has no attribute '{name}'")
        return Packet(name, found)


def __getattr__(name: str) -> CustomNamespace:
    if not any(operator.startswith(f"{name}::") for operator in library.OPERATORS):
        raise AttributeError(f"torch.ops has no operators of '{name}'")
    return CustomNamespace(name)
