"""``torch.backends.mps``: there is no such device here; a Mac's GPU is used through OpenCL, as ``cuda``."""

from __future__ import annotations


def is_available() -> bool:
    """False."""
    return False


def is_built() -> bool:
    """False."""
    return False
