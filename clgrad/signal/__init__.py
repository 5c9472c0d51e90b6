"""``torch.signal``: window functions."""

from clgrad.signal import windows

__all__ = ["windows"]
