"""Anomaly detection: backward passes look for NaN, and errors tell which forward call they belong to."""

from __future__ import annotations

import warnings
from typing import Any

from clgrad.autograd.grad_mode import mode


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


def tell_forward_calls(node: Any) -> None:
    """Warns which forward call made a node whose backward failed, and which ones led to that call."""
    if node.trace is None:
        warnings.warn(f"Error detected in {node.name()}. No forward pass information available. Enable detect anomaly during "
                      "forward pass for more information.", UserWarning, stacklevel=2)
        return
    warnings.warn(f"Error detected in {node.name()}. Traceback of forward call that caused the error:\n{node.trace}",
                  UserWarning, stacklevel=2)
    while (node := node.maker) is not None:
        told = node.trace or "No forward pass information available."
        warnings.warn(f"\n\nPrevious calculation was induced by {node.name()}. Traceback of forward call that induced the "
                      f"previous calculation:\n{told}", UserWarning, stacklevel=2)
