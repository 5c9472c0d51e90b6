"""Pickles of whole objects, such as modules of users' own classes: written and read by Python's pickle.

Reading such a file runs whatever code it names; so it happens only for ``load(..., weights_only=False)``.
"""

from __future__ import annotations

import importlib
import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from clgrad.pickles import Allowed


class Stored(NamedTuple):
    """Stands for a storage inside of a pickle; the file holds it elsewhere."""

    id: tuple


def dump(value: Any, reduce: Callable[[Any], Any], stored: Callable[[Any], tuple | None], library: Any = pickle,
         protocol: int = 2) -> bytes:
    """The pickle of an object.

    Args:
        reduce: describes a tensor as a function and its arguments, among them a :class:`Stored`; for what is to be written
            as it describes itself it gives NotImplemented.
        stored: gives the persistent id of a storage or a :class:`Stored`, None for other things.
        library: the module whose Pickler writes.
    """
    class Pickler(library.Pickler):
        def persistent_id(self, item: Any) -> Any:
            return stored(item)

        def reducer_override(self, item: Any) -> Any:
            return reduce(item)
    file = io.BytesIO()
    Pickler(file, protocol).dump(value)
    return file.getvalue()


def _found(module: str, name: str) -> Any:
    """What clgrad has under a name of PyTorch's; ImportError where it has none."""
    own = "clgrad" + module.removeprefix("torch")
    for place in (own, *(["clgrad.nn"] if own.startswith("clgrad.nn.") else []), "clgrad"):
        try:
            return getattr(importlib.import_module(place), name)
        except (ImportError, AttributeError):
            continue
    raise ImportError(f"load(): the file refers to {module}.{name}, which clgrad does not have")


def load(data: bytes, known: Mapping[tuple[str, str], Any], storage: Callable[[Any], Any], library: Any = pickle,
         **arguments: Any) -> Any:
    """The object of a pickle; this runs what the pickle names.

    Args:
        known: values of names that files of PyTorch's refer to.
        storage: gives the storage of a persistent id.
        arguments: of the Unpickler, such as ``encoding``.
    """
    class Unpickler(library.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            value = known.get((module, name))
            if value is not None:
                return value.call if isinstance(value, Allowed) else value
            if module == "torch" or module.startswith("torch."):
                return _found(module, name)
            return super().find_class(module, name)

        def persistent_load(self, id: Any) -> Any:
            return storage(id)
    return Unpickler(io.BytesIO(data), **{"encoding": "utf-8", **arguments}).load()
