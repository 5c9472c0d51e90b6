"""``torch.utils._python_dispatch``: helpers of classes with a ``__torch_dispatch__``. There are no modes below autograd;
``torch.overrides`` has those above it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.compat.standins import refusal
from clgrad.ops.overloads import Packet
from clgrad.tensor import Tensor

TorchDispatchMode = refusal.kind("torch.utils._python_dispatch.TorchDispatchMode",
                                 "clgrad has no modes below autograd; torch.overrides.TorchFunctionMode sees every call")


def return_and_correct_aliasing(func: Packet, args: tuple, kwargs: dict, out: Any) -> Any:
    """What an operator returns: the tensor that it writes to, else ``out``."""
    written = kwargs.get("out")
    if written is None and func.mutates:
        written = args[0]
    return out if written is None else written


def is_traceable_wrapper_subclass(t: Any) -> bool:
    """Whether a tensor says of which others it is made."""
    kind = type(t)
    return (issubclass(kind, Tensor) and kind is not Tensor and hasattr(kind, "__tensor_flatten__")
            and hasattr(kind, "__tensor_unflatten__"))


def transform_subclass(t: Any, callback: Callable[[str, Any], Any], outer_size: Any = None, outer_stride: Any = None) -> Any:
    """A tensor like ``t``, made of ``callback(name, inner)`` of those that ``t`` is made of."""
    names, context = t.__tensor_flatten__()
    inner = {name: callback(name, getattr(t, name)) for name in names}
    return type(t).__tensor_unflatten__(inner, context, t.size() if outer_size is None else outer_size,
                                        t.stride() if outer_stride is None else outer_stride)


def _get_current_dispatch_mode() -> None:
    """None: no mode is on."""
