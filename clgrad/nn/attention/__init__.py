"""The choice of an implementation of attention, which programs may make; here one kernel serves them all."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterable, Iterator


class SDPBackend(enum.IntEnum):
    """Implementations of ``scaled_dot_product_attention`` that programs ask for by name."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextlib.contextmanager
def sdpa_kernel(backends: SDPBackend | Iterable[SDPBackend], set_priority: bool = False) -> Iterator[None]:
    """Accepted: the results inside are the same, whatever is asked for.

    Raises:
        AssertionError: ``backends`` is neither an :class:`SDPBackend` nor several of them.

    >>> import clgrad
    >>> from clgrad.nn.attention import SDPBackend, sdpa_kernel
    >>> with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
    ...     clgrad.nn.functional.scaled_dot_product_attention(*[clgrad.ones(1, 1)] * 3)
    tensor([[1.]])
    """
    listed = [backends] if isinstance(backends, SDPBackend) else list(backends) if isinstance(
        backends, Iterable) else None
    if not listed or not all(isinstance(b, SDPBackend) for b in listed):
        raise AssertionError(f"sdpa_kernel: backends must be an SDPBackend or a list of them, got {backends!r}")
    yield
