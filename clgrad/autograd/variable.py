"""``Variable``, the old name of Tensor."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import TensorBase


class _VariableType(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, TensorBase)


class _Engine:
    """What programs ask of PyTorch's engine by way of ``Variable._execution_engine``."""

    @staticmethod
    def queue_callback(callback: Callable[[], None]) -> None:
        """Calls ``callback()`` when the backward pass that is going on is done.

        Raises:
            RuntimeError: none is going on.
        """
        if mode.walk is None:
            raise RuntimeError("Final callbacks can only be installed during backward pass.")
        mode.walk.callbacks.append(callback)


class Variable(metaclass=_VariableType):
    """An old name of Tensor: ``Variable(x)`` is x, or, with ``requires_grad``, a leaf on the memory of x."""

    _execution_engine = _Engine

    def __new__(cls, data=None, requires_grad: bool = False, volatile: bool | None = None):  # type: ignore[no-untyped-def]
        if volatile is not None:
            warnings.warn("volatile was removed and now has no effect. Use `with torch.no_grad():` instead.", UserWarning,
                          stacklevel=2)
        if data is None:
            data = TensorBase.concrete()
        if not isinstance(data, TensorBase):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        made = data.detach()
        made.requires_grad = requires_grad
        return made
