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


def replicate(network: Any, devices: Any, detach: bool = False) -> list:
    """A module for each device: everywhere the same, since one device computes."""
    return [network for _ in devices]


def parallel_apply(modules: Any, inputs: Any, kwargs_tup: Any = None, devices: Any = None) -> list:
    """What each module returns for its inputs (a tuple or one tensor), one after the other."""
    if len(modules) != len(inputs):
        raise AssertionError(f"The number of modules {len(modules)} is not equal to the number of inputs {len(inputs)}")
    settings = kwargs_tup or [{}] * len(modules)
    return [data_parallel(module, given, module_kwargs=kwargs)
            for module, given, kwargs in zip(modules, inputs, settings, strict=True)]
