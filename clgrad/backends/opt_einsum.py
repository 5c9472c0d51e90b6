"""``torch.backends.opt_einsum``: it is not used; switches are kept."""

from __future__ import annotations

enabled = False
strategy: str | None = None


def is_available() -> bool:
    """False."""
    return False
