"""``torch.cpu``: the host, which is always there."""

from __future__ import annotations

from typing import Any

from clgrad.cuda import Stream, current_stream, stream
from clgrad.runtime import device as _Device

__all__ = ["Stream", "current_device", "current_stream", "device_count", "is_available", "is_initialized", "set_device",
           "stream", "synchronize"]


def is_available() -> bool:
    """True."""
    return True


def is_initialized() -> bool:
    """True."""
    return True


def device_count() -> int:
    """1."""
    return 1


def current_device() -> str:
    """``"cpu"``."""
    return "cpu"


def set_device(device: Any) -> None:
    """Nothing to choose from."""


def synchronize(device: Any = None) -> None:
    """Waits for the device that computes on ``cpu`` tensors."""
    _Device("cpu").compute.synchronize()
