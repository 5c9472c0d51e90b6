"""A tensor that shows one entry of a batch and holds all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.ops.interception import disabled_torch_function
from clgrad.spec import Spec, spec
from clgrad.tensor import Tensor


class _Withheld:
    """In the place of an entry's memory, which nobody is to reach: an operator that no level saw would read one entry."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions
            raise AttributeError(name)
        raise RuntimeError("vmap: a tensor of the batch is used where vmap cannot see it: outside of the function that it "
                           "was given to, in another thread, or by something that is no operator")


_WITHHELD = _Withheld()


class Batched(Tensor):
    """All entries of a level, ``whole``, along its first dimension; its shape and strides are those of one entry.

    It stays what it is: what changes tensors in place has to change ``whole``.
    """

    __torch_function__ = staticmethod(disabled_torch_function)  # type: ignore[assignment]
    memory = property(lambda self: _WITHHELD)  # type: ignore[assignment]
    offset = property(lambda self: 0)  # type: ignore[assignment]
    spec = property(lambda self: self.of_entry)  # type: ignore[assignment]
    level: Any
    whole: Any
    of_entry: Spec

    def __new__(cls, level: Any, whole: Any) -> Batched:
        made = object.__new__(cls)
        made.level = level
        return made

    def __init__(self, level: Any, whole: Any):
        self.hold(whole)

    def hold(self, whole: Any) -> None:
        """From now on these are the entries."""
        own = whole.spec
        self.whole, self.of_entry = whole, spec(own.shape[1:], own.strides[1:], own.dtype, own.device)


def _of_whole(name: str) -> property:
    return property(lambda self: getattr(self.whole, name))


for _name in TensorBase.__slots__:
    if _name not in ("memory", "offset", "spec"):  # the place in the graph is that of all entries, which others set
        setattr(Batched, _name, _of_whole(_name))
Batched._requires_grad = Batched._requires_grad.setter(  # type: ignore[assignment, attr-defined]
    lambda self, value: setattr(self.whole, "_requires_grad", value))


def physical(tensor: Any) -> Any:
    """The tensor with memory of its own behind the batches of all levels."""
    while type(tensor) is Batched:
        tensor = tensor.whole
    return tensor


def is_withheld(value: Any) -> bool:
    """Whether a value is a tensor without memory of its own that is no batch: made by what no level saw."""
    return isinstance(value, TensorBase) and value.memory is _WITHHELD and type(value) is not Batched


def behind(change: Callable[[Any], Any], tensor: Any) -> Any:
    """The same batches around another physical tensor, which ``change`` makes of the one that is there."""
    return Batched(tensor.level, behind(change, tensor.whole)) if type(tensor) is Batched else change(tensor)
