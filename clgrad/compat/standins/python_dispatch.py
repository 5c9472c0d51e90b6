"""``torch.utils._python_dispatch``: modes below autograd, of which there are none; ``torch.overrides`` has those above it."""

from __future__ import annotations

from typing import Any

from clgrad.compat.standins import refusal

_REASON = "clgrad has no dispatcher below autograd; torch.overrides.TorchFunctionMode sees every call"

TorchDispatchMode = refusal.kind("torch.utils._python_dispatch.TorchDispatchMode", _REASON)
return_and_correct_aliasing = refusal.function("torch.utils._python_dispatch.return_and_correct_aliasing", _REASON)


def is_traceable_wrapper_subclass(t: Any) -> bool:
    """False: no tensor is made of others."""
    return False


def _get_current_dispatch_mode() -> None:
    """None: no mode is on."""
