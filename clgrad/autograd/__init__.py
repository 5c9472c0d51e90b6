"""Automatic differentiation: the backward walk, modes, hooks, users' functions, gradient checks."""

import warnings

from clgrad.autograd.engine import backward, grad
from clgrad.autograd.function import Function, FunctionCtx, once_differentiable
from clgrad.autograd.grad_mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    mode,
    no_grad,
    set_grad_enabled,
)
from clgrad.autograd.gradcheck import GradcheckError, gradcheck, gradgradcheck
from clgrad.autograd.graph import TensorBase

__all__ = ["Function", "FunctionCtx", "GradcheckError", "Variable", "backward", "detect_anomaly", "enable_grad",
           "grad", "gradcheck", "gradgradcheck", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled",
           "no_grad", "once_differentiable", "set_detect_anomaly", "set_grad_enabled",
           "is_anomaly_check_nan_enabled", "is_anomaly_enabled", "is_multithreading_enabled", "set_multithreading_enabled"]


class _VariableType(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, TensorBase)


class Variable(metaclass=_VariableType):
    """An old name of Tensor: ``Variable(x)`` is x, or, with ``requires_grad``, a leaf on the memory of x."""

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


class set_detect_anomaly:
    """With ``True``, backward passes look for NaN and errors tell which forward call they belong to."""

    def __init__(self, mode: bool, check_nan: bool = True):  # PyTorch's name of the argument
        self.previous = _detect(mode, check_nan)

    def __enter__(self) -> None:
        """On from the constructor on."""

    def __exit__(self, *exception: object) -> None:
        _detect(*self.previous)


def _detect(wanted: bool, check_nan: bool) -> tuple[bool, bool]:
    """Sets anomaly detection; returns what was."""
    before = mode.anomaly, mode.check_nan
    mode.anomaly, mode.check_nan = wanted, check_nan
    return before


class detect_anomaly(set_detect_anomaly):
    """Anomaly detection within a ``with`` block."""

    def __init__(self, check_nan: bool = True):
        warnings.warn("Anomaly Detection has been enabled. This mode will increase the runtime and should only be enabled "
                      "for debugging.", UserWarning, stacklevel=2)
        super().__init__(True, check_nan)


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on."""
    return mode.anomaly


def is_anomaly_check_nan_enabled() -> bool:
    """Whether anomaly detection looks for NaN."""
    return mode.check_nan


class set_multithreading_enabled:
    """Accepted as a call and as a context: a backward pass runs in the thread that asks for it."""

    def __init__(self, mode: bool):  # PyTorch's name of the argument
        self.previous = _multithreading(mode)

    def __enter__(self) -> None:
        """On from the constructor on."""

    def __exit__(self, *exception: object) -> None:
        _multithreading(self.previous)


def _multithreading(wanted: bool) -> bool:
    before, mode.multithreading = mode.multithreading, wanted
    return before


def is_multithreading_enabled() -> bool:
    """What :func:`set_multithreading_enabled` was told last."""
    return mode.multithreading
