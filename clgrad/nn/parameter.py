"""``Parameter`` and ``Buffer``: tensors that a Module takes into its lists when they are assigned to an attribute."""

from __future__ import annotations

from typing import Any

from clgrad.creation import empty
from clgrad.tensor import Tensor


def _over(cls: type, data: Any) -> Any:
    """A tensor of class ``cls`` on the memory of another, outside of any graph."""
    made: Any = object.__new__(cls)
    made.memory, made.offset, made.layout = data.memory, data.offset, data.layout
    return made


class Parameter(Tensor):
    """A tensor that is trained: assigned to an attribute of a Module it appears in ``parameters()``.

    Args:
        data: the tensor whose memory it takes over; default an empty one.
        requires_grad: whether gradients are wanted. Default: True.

    Raises:
        TypeError: ``data`` is not a tensor.
        RuntimeError: a gradient is wanted of a dtype that is not floating point.

    >>> import clgrad
    >>> clgrad.nn.Parameter(clgrad.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"{cls.__name__}(): argument 'data' must be Tensor, not {type(data).__name__}")
        made = _over(cls, data)
        made.requires_grad = requires_grad
        return made


class Buffer(Tensor):
    """A tensor that belongs to a Module's state without being trained, such as a running mean.

    Args:
        data: the tensor whose memory it takes over; default an empty one.
        persistent: whether ``state_dict()`` holds it. Default: True.
    """

    persistent = True

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        if data is None:
            data = empty(0)
        made = _over(cls, data)
        made.requires_grad = data.requires_grad
        made.persistent = persistent
        return made
