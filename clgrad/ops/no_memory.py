"""What tensors without bytes of their own have in the place of memory."""

from __future__ import annotations

from typing import Any, ClassVar

from clgrad.formats import strided


class NoMemory:
    """Counts changes as memory does; whatever else is asked of it is an error, so that nothing can take it for bytes."""

    __slots__ = ("version", "__weakref__")

    missing: ClassVar[str] = "Cannot access data pointer of Tensor that doesn't have storage"
    era, file, exported, filling = 0, None, False, None

    def __init__(self) -> None:
        self.version = 0

    def wrote(self, counted: bool = True) -> None:
        """Notes that the tensor was changed in place."""
        self.version += counted

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotImplementedError(self.missing)


def stands_for_others(tensor: Any) -> bool:
    """Whether a tensor has no memory because it is made of other ones; a sparse one is made of its parts."""
    return isinstance(tensor.memory, NoMemory) and tensor.spec.layout is strided
