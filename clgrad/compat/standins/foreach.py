"""``torch.utils._foreach_utils``: lists of tensors in groups of one device and dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.tensor import Tensor

__all__ = ["_device_has_foreach_support", "_get_foreach_kernels_supported_devices", "_get_fused_kernels_supported_devices",
           "_group_tensors_by_device_and_dtype", "_has_foreach_support"]


def _group_tensors_by_device_and_dtype(tensorlistlist: Sequence[Sequence[Any]], with_indices: bool = False) -> dict:
    """By device and dtype of the first list's tensors: the lists' members at their places, and the places."""
    groups: dict = {}
    for place, row in enumerate(zip(*tensorlistlist, strict=True)):
        lists, places = groups.setdefault((row[0].device, row[0].dtype), ([[] for _ in tensorlistlist], []))
        for members, member in zip(lists, row, strict=True):
            members.append(member)
        if with_indices:
            places.append(place)
    return groups


def _get_foreach_kernels_supported_devices() -> list[str]:
    return ["cpu", "cl", "cuda"]


_get_fused_kernels_supported_devices = _get_foreach_kernels_supported_devices


def _device_has_foreach_support(device: Any) -> bool:
    return True


def _has_foreach_support(tensors: Sequence[Any], device: Any) -> bool:
    return all(t is None or type(t) is Tensor for t in tensors)
