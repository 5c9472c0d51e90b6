"""Wrappers of programs for several devices: on one device and in one process they change nothing, or say so."""

from __future__ import annotations

from typing import Any, NoReturn

from clgrad.nn.modules.module import Module
from clgrad.nn.modules.parallel import DataParallel

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel"]


class DistributedDataParallel(Module):
    """Refused: clgrad trains in one process. Train the module itself.

    Raises:
        RuntimeError: always.
    """

    def __init__(self, module: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise RuntimeError("DistributedDataParallel: clgrad trains in one process, there is no process group; train the "
                           "module itself")


def data_parallel(module: Any, inputs: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0,
                  module_kwargs: dict | None = None) -> Any:
    """What the module returns for ``inputs`` (a tuple or one tensor), on one device."""
    return module(*(inputs if isinstance(inputs, tuple) else (inputs,)), **(module_kwargs or {}))
