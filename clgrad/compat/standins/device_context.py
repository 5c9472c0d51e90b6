"""``torch.utils._device``: the device of what is made."""

from __future__ import annotations

from collections.abc import Callable

import clgrad
from clgrad.runtime import device

__all__ = ["DeviceContext"]

DeviceContext = device  # a device is the context that makes it the default one

_CONSTRUCTORS = (
    "arange", "as_tensor", "asarray", "bartlett_window", "blackman_window", "empty", "empty_permuted", "empty_strided", "eye",
    "full", "hamming_window", "hann_window", "kaiser_window", "linspace", "logspace", "ones", "rand", "randint", "randn",
    "randperm", "range", "scalar_tensor", "tensor", "tril_indices", "triu_indices", "zeros")


def _device_constructors() -> set[Callable]:
    """The functions that make tensors on a device."""
    return {getattr(clgrad, name) for name in _CONSTRUCTORS}
