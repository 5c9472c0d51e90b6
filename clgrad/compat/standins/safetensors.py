"""``safetensors.torch`` with the names that programs ask about shared storages."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from clgrad.safetensors import load, load_file, load_model, save, save_file, save_model

__all__ = ["_find_shared_tensors", "_is_complete", "load", "load_file", "load_model", "save", "save_file", "save_model",
           "storage_ptr", "storage_size"]


def storage_ptr(tensor: Any) -> int:
    """Where a tensor's storage is; 0 for one without data."""
    return 0 if tensor.device.type == "meta" else tensor.untyped_storage().data_ptr()


def storage_size(tensor: Any) -> int:
    """How many bytes a tensor's storage has."""
    return tensor.untyped_storage().nbytes()


def _find_shared_tensors(state_dict: dict[str, Any]) -> list[set[str]]:
    """The names of tensors by storage; those apart that have a part of a storage for themselves."""
    by_storage = defaultdict(list)
    for name, tensor in state_dict.items():
        if storage_ptr(tensor) and storage_size(tensor):
            begin, size = tensor.data_ptr(), tensor.numel() * tensor.element_size()
            by_storage[tensor.device, storage_ptr(tensor)].append((begin, begin + size, name))
    found: list[set[str]] = []
    for areas in by_storage.values():
        stop = -1
        for begin, end, name in sorted(areas):
            if begin >= stop:
                found.append(set())
            found[-1].add(name)
            stop = end
    return found


def _is_complete(tensor: Any) -> bool:
    """Whether a tensor is all of its storage."""
    return tensor.data_ptr() == storage_ptr(tensor) and tensor.numel() * tensor.element_size() == storage_size(tensor)
