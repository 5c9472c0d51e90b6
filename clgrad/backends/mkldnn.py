"""``torch.backends.mkldnn``: it is not used here, whatever the switches say."""

from __future__ import annotations

from clgrad.backends.switches import setter

enabled = True
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """False."""
    return False


flags = setter(globals())
