"""``safetensors.torch`` with the names that programs ask about shared storages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from clgrad.safetensors import load, load_file, load_model, save, save_file, save_model

__all__ = ["_end_ptr", "_find_shared_tensors", "_is_complete", "_remove_duplicate_names", "load", "load_file", "load_model",
           "save", "save_file", "save_model", "storage_ptr", "storage_size"]


def storage_ptr(tensor: Any) -> int:
    """Where a tensor's storage is; 0 for one without data."""
    return 0 if tensor.device.type == "meta" else tensor.untyped_storage().data_ptr()


def storage_size(tensor: Any) -> int:
    """How many bytes a tensor's storage has."""
    return tensor.untyped_storage().nbytes()


def _end_ptr(tensor: Any) -> int:
    """Where the memory after a contiguous tensor's last element begins."""
    return tensor.data_ptr() + tensor.numel() * tensor.element_size()


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


def _remove_duplicate_names(state_dict: dict[str, Any], *, preferred_names: Iterable[str] | None = None,
                            discard_names: Iterable[str] | None = None) -> dict[str, list[str]]:
    """By the name to save of each shared storage, the other names of it: the first of all that are complete is saved.

    Args:
        preferred_names: names to save where there is a choice.
        discard_names: names to save only where there is none.

    Raises:
        RuntimeError: no tensor is all of its storage.
    """
    removed = {}
    for shared in _find_shared_tensors(state_dict):
        complete = {name for name in shared if _is_complete(state_dict[name])}
        if not complete:
            raise RuntimeError(f"none of {sorted(shared)} is all of the storage that they share: clone what is to be saved")
        wanted = (complete & set(preferred_names or ())) or complete - set(discard_names or ()) or complete
        kept = min(wanted)
        if len(shared) > 1:
            removed[kept] = sorted(shared - {kept})
    return removed
