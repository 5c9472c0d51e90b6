"""``torch.backends.opt_einsum``: it is not used; switches are kept."""

from __future__ import annotations

from clgrad.backends.switches import setter

enabled = False
strategy: str | None = None


def is_available() -> bool:
    """False."""
    return False


flags = setter(globals())
