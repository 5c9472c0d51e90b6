"""``torch.serialization``: the types of storages by their names."""

from __future__ import annotations

import clgrad

__all__ = ["normalize_storage_type"]


def normalize_storage_type(storage_type: type) -> type:
    """The type of ``torch`` with the name of a type of storages, of ``torch.cuda`` for one."""
    return getattr(clgrad, storage_type.__name__)
