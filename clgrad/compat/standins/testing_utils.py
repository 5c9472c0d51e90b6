"""Random numbers that tests leave alone: ``torch.testing._utils``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.random import fork_rng, manual_seed

freeze_rng_state = fork_rng


def wrapper_set_seed(op: Callable, *args: Any, **kwargs: Any) -> Any:
    """Calls ``op`` with random numbers that are the same each time."""
    with fork_rng():
        manual_seed(42)
        return op(*args, **kwargs)
