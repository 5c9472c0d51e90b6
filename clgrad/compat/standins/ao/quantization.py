"""``torch.ao.quantization``: its kinds of modules, to compare with; the two that mark places let everything pass."""

from typing import NoReturn

from clgrad.compat.standins.refusal import kind
from clgrad.nn.modules import Identity, Module

__all__ = ["DeQuantStub", "FakeQuantize", "FakeQuantizeBase", "ObserverBase", "QuantStub"]

_REASON = "clgrad has no quantization"
FakeQuantizeBase, ObserverBase = (
    kind(f"torch.ao.quantization.{name}", _REASON, Module) for name in ("FakeQuantizeBase", "ObserverBase"))
FakeQuantize = kind("torch.ao.quantization.FakeQuantize", _REASON, FakeQuantizeBase)


class QuantStub(Identity):
    """Where a network's numbers would become quantized."""


class DeQuantStub(Identity):
    """Where they would become floating-point numbers again."""


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(f"torch.ao.quantization.{name}: {_REASON}")
