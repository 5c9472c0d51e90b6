"""Automatic differentiation: the backward walk, modes, hooks, users' functions, gradient checks."""

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
           "no_grad", "once_differentiable", "set_detect_anomaly", "set_grad_enabled"]


class _VariableType(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, TensorBase)


class Variable(metaclass=_VariableType):
    """An old name of Tensor: ``Variable(x)`` is x, or, with ``requires_grad``, a leaf on the memory of x."""

    def __new__(cls, data, requires_grad: bool = False):  # type: ignore[no-untyped-def]
        made = data.detach()
        made.requires_grad = requires_grad
        return made


class set_detect_anomaly:
    """With ``True``, backward passes look for NaN and errors tell which forward call they belong to."""

    def __init__(self, mode_: bool, check_nan: bool = True):
        self.previous, mode.anomaly = mode.anomaly, mode_

    def __enter__(self) -> None:
        """On from the constructor on."""

    def __exit__(self, *exception: object) -> None:
        mode.anomaly = self.previous


class detect_anomaly(set_detect_anomaly):
    """Anomaly detection within a ``with`` block."""

    def __init__(self, check_nan: bool = True):
        super().__init__(True)
