"""What programs see of the tensors that nodes save: ``node._saved_self``, and ``node._raw_saved_self``, which takes hooks.

The names are PyTorch's. Operators give them: pointwise ones with the class of what they save, others in ``SAVED_NAMES``.
"""

from __future__ import annotations

from typing import Any

# Who saves -> the names of the first of its tensors, in the order in which they are saved.
SAVED_NAMES: dict[str, tuple[str, ...]] = {}
_RAW, _PLAIN = "_raw_saved_", "_saved_"


class SavedTensor:
    """One of the tensors that a node keeps for the backward pass."""

    __slots__ = ("_saved", "_place")
    _saved: Any
    _place: int | None

    def __init__(self) -> None:
        raise RuntimeError("Trying to create a SavedTensor object from Python is forbidden.")

    def register_hooks(self, pack_hook: Any = None, unpack_hook: Any = None) -> None:
        """Keeps ``pack_hook(tensor)`` in its place, from which ``unpack_hook`` makes it again.

        Raises:
            RuntimeError: it has hooks, is None, or has been freed.
        """
        if not (callable(pack_hook) and callable(unpack_hook)):
            raise TypeError("register_hooks(): incompatible function arguments. Both hooks must be callable.")
        self._saved.pack(self._place, (pack_hook, unpack_hook))


def raw(saved: Any, place: int | None) -> SavedTensor:
    """One of the saved tensors as an object that takes hooks."""
    made = object.__new__(SavedTensor)
    made._saved, made._place = saved, place
    return made


def _places(node: Any) -> dict[str, int | None]:
    """The names of what a node saves; None for what it may save, but did not."""
    saved = node.saved
    if saved is None:
        return {}
    if saved.places is not None:
        return saved.places
    return {name: place for place, name in enumerate(SAVED_NAMES.get(saved.name, ()))}


def saved_attributes(node: Any) -> list[str]:
    """The attributes of a node that stand for saved tensors."""
    return [prefix + name for prefix in (_PLAIN, _RAW) for name in _places(node)]


def saved_attribute(node: Any, attribute: str) -> Any:
    """The saved tensor that an attribute of a node stands for.

    Raises:
        AttributeError: it stands for none.
        RuntimeError: it has been freed, or changed in place since.
    """
    prefix = _RAW if attribute.startswith(_RAW) else _PLAIN
    if attribute.startswith(prefix):
        places = _places(node)
        if (name := attribute.removeprefix(prefix)) in places:
            place = places[name]
            if prefix is _RAW:
                return raw(node.saved, place)
            return None if place is None else node.saved.tensor(place)
    raise AttributeError(f"'{type(node).__name__}' object has no attribute '{attribute}'")
