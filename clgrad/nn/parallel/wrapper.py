"""The wrapper that programs for several GPUs of one process use."""

from __future__ import annotations

from typing import Any

from clgrad.nn.modules.module import Module


class Wrapped(Module):
    """A module called ``module``, run as it is.

    Programs that wrap their network find its names in ``state_dict`` with the prefix that they expect.
    """

    def __init__(self, module: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0):
        super().__init__()
        self.module, self.dim = module, dim
        self.device_ids = [] if device_ids is None else list(device_ids)
        self.output_device = output_device

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module returns."""
        return self.module(*args, **kwargs)


class DataParallel(Wrapped):
    """A module called ``module``, run on one device; batches are not split."""


def data_parallel(module: Any, inputs: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0,
                  module_kwargs: dict | None = None) -> Any:
    """What the module returns for ``inputs`` (a tuple or one tensor), on one device."""
    return module(*(inputs if isinstance(inputs, tuple) else (inputs,)), **(module_kwargs or {}))
