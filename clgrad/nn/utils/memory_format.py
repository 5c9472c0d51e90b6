"""The memory format of convolutions' weights."""

from __future__ import annotations

from typing import Any

from clgrad.nn.modules.conv import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d


def _converted(module: Any, kinds: Any, memory_format: Any) -> Any:
    for part in module.modules():
        if isinstance(part, kinds):
            part.weight.data = part.weight.detach().clone(memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module: Any, memory_format: Any) -> Any:
    """Lays out the weights of all Conv2d and ConvTranspose2d in ``module``, which is returned, in a memory format."""
    return _converted(module, (Conv2d, ConvTranspose2d), memory_format)


def convert_conv3d_weight_memory_format(module: Any, memory_format: Any) -> Any:
    """Lays out the weights of all Conv3d and ConvTranspose3d in ``module``, which is returned, in a memory format."""
    return _converted(module, (Conv3d, ConvTranspose3d), memory_format)
