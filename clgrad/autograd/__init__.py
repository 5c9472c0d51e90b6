"""Automatic differentiation: the backward walk, modes, hooks, users' functions, gradient checks."""

from importlib import import_module as _import_module
from typing import Any as _Any

from clgrad.autograd.anomaly_mode import detect_anomaly, set_detect_anomaly
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
from clgrad.autograd.saved_attributes import SavedTensor
from clgrad.autograd.variable import Variable

__all__ = ["Function", "FunctionCtx", "GradcheckError", "SavedTensor", "Variable", "backward", "detect_anomaly",
           "enable_grad", "grad", "gradcheck", "gradgradcheck", "inference_mode", "is_grad_enabled",
           "is_inference_mode_enabled", "no_grad", "once_differentiable", "set_detect_anomaly", "set_grad_enabled",
           "is_anomaly_check_nan_enabled", "is_anomaly_enabled", "is_multithreading_enabled", "set_multithreading_enabled"]


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


def __getattr__(name: str) -> _Any:
    if name in ("forward_ad", "profiler"):  # they stand on tensors, and are imported when a program names them
        return _import_module(f"clgrad.autograd.{name}")
    raise AttributeError(f"module 'clgrad.autograd' has no attribute '{name}'")
