"""The switches of a backend, which are names of its module."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


def setter(names: dict[str, Any]) -> Callable[..., contextlib.AbstractContextManager[None]]:
    """The function ``flags`` of a module with these names: sets switches, given as keywords, within a block."""
    @contextlib.contextmanager
    def flags(**switches: Any) -> Iterator[None]:
        """The switches of this module as keywords, set within the block."""
        before = {name: names[name] for name in switches}
        names.update(switches)
        try:
            yield
        finally:
            names.update(before)
    return flags
