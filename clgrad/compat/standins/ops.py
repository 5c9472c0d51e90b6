"""``torch.ops``: operators by namespace, name and overload, such as ``torch.ops.aten.add.Tensor``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from clgrad import library
from clgrad.compat.standins.refusal import function
from clgrad.ops.registry import FUNCTIONS, METHODS

__all__ = ["aten", "load_library"]


def _slice(x: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    return x[(slice(None),) * (dim % x.dim()) + (slice(start, end, step),)]


_DENSE = "clgrad has no sparse tensors"
# Operators that programs can call under these names only.
_UNDER_THE_HOOD: dict[str, Callable] = {
    "_to_copy": lambda x, **options: x.to(copy=True, **options),
    "alias": lambda x: x.view_as(x),
    "index": lambda x, indices: x[tuple(slice(None) if index is None else index for index in indices)],
    "_pin_memory": lambda x, device=None: x.pin_memory(),
    "slice": _slice,
    "_sparse_addmm": function("torch.ops.aten._sparse_addmm", _DENSE),
    "_sparse_mm_reduce_impl": function("torch.ops.aten._sparse_mm_reduce_impl", _DENSE),
    "_unsafe_view": lambda x, size: x.reshape(size),
}


def _function(name: str) -> Callable | None:
    return FUNCTIONS.get(name) or _UNDER_THE_HOOD.get(name) or METHODS.get(name)


class Packet:
    """An operator; its overloads are itself, as the arguments tell them apart."""

    def __init__(self, name: str, call: Callable):
        self._name, self._function = name, call

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
        found = _function(name)
        if found is None:
            raise AttributeError(f"'_OpNamespace' 'aten' object has no attribute '{name}'")
        packet = self.__dict__[name] = Packet(name, found)
        return packet


aten = Namespace()


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
