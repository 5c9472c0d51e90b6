"""Anomaly detection: backward passes look for NaN, and errors tell which forward call they belong to."""

from __future__ import annotations

import warnings

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
