"""``torch._C._autograd``: what programs ask of the engine by name."""

from __future__ import annotations

from clgrad.autograd import SavedTensor
from clgrad.autograd.grad_mode import mode

__all__ = ["SavedTensor"]


def _saved_tensors_hooks_is_enabled() -> bool:
    """Whether hooks for saved tensors may be entered."""
    return mode.saved_hooks_refused is None
