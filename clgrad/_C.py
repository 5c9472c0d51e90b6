"""What programs take from PyTorch's C++ library by name: the switches of ``__torch_function__``.

>>> import clgrad
>>> with clgrad._C.DisableTorchFunctionSubclass():
...     clgrad._C._is_torch_function_enabled()
False
"""

from __future__ import annotations

from clgrad.autograd.graph import TensorBase
from clgrad.autograd.listening import thread, without_classes, without_overrides
from clgrad.nn import native
from clgrad.ops.interception import disabled_torch_dispatch, disabled_torch_function
from clgrad.ops.random import Generator
from clgrad.shapes import Size

__all__ = ["DisableTorchFunction", "DisableTorchFunctionSubclass", "Generator", "Size", "TensorBase"]

DisableTorchFunction, DisableTorchFunctionSubclass = without_overrides, without_classes
_disabled_torch_function_impl, _disabled_torch_dispatch_impl = disabled_torch_function, disabled_torch_dispatch
_TensorBase, _TensorMeta = TensorBase, type(TensorBase)
_nn = native


def _is_torch_function_enabled() -> bool:
    return not (thread.disabled or thread.classes_disabled)


def _is_torch_function_all_disabled() -> bool:
    return thread.disabled


def _is_torch_function_mode_enabled() -> bool:
    return bool(thread.modes) and not thread.disabled


def _get_tracing_state() -> None:
    """No tracing is ever going on."""
