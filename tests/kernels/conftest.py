"""Kernels are tested on each form of the device code: the CPU's, and the GPU's on the same device."""

from dataclasses import replace

import pytest

from clgrad.runtime import Device, default_device
from clgrad.runtime.devices import _discover

_opened: dict[bool, Device] = {}


def _device(is_cpu: bool) -> Device:
    if is_cpu not in _opened:
        number = default_device().compute.index
        handle, limits, companion = _discover()[number]
        if is_cpu and not limits.local_is_global:
            pytest.skip("devices with local memory of their own run the GPU form")
        _opened[is_cpu] = Device(handle, number, replace(limits, is_cpu=is_cpu, unified=is_cpu), companion)
    return _opened[is_cpu]


@pytest.fixture(params=["cpu", "gpu"])
def device(request: pytest.FixtureRequest) -> Device:
    """A device that runs the CPU form of each kernel, and one that runs the GPU form."""
    return _device(request.param == "cpu")
