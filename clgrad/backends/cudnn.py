"""``torch.backends.cudnn``: there is no cuDNN here. Results are deterministic whatever the switches say."""

from __future__ import annotations

from typing import Any

from clgrad.backends.switches import setter

enabled = True
benchmark = False
benchmark_limit: int | None = 10
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """False."""
    return False


def version() -> int | None:
    """None."""
    return None


def is_acceptable(tensor: Any) -> bool:
    """False."""
    return False


flags = setter(globals())
