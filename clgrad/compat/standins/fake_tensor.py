"""``torch._subclasses.fake_tensor``: tensors without data, of which there are none."""

from __future__ import annotations

from typing import Any

__all__ = ["FakeTensor", "is_fake"]


class FakeTensor:
    """A class of no object, for ``isinstance``."""


def is_fake(x: Any) -> bool:
    """False."""
    return False
