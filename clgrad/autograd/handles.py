"""What registering a hook returns."""

from __future__ import annotations

import itertools
from typing import Any


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes the entry with its ``id`` out of a dictionary of hooks.

    Args:
        hooks_dict: the dictionary; whoever makes the handle puts the hook there, under ``handle.id``.
        extra_dict: another dictionary, or a list of them, out of which the entry is taken as well.
    """

    _ids = itertools.count()

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None):
        self.id = next(self._ids)
        more = [] if extra_dict is None else extra_dict if isinstance(extra_dict, list) else [extra_dict]
        self._places = [hooks_dict, *more]

    def remove(self) -> None:
        """Takes the hook away; a second call does nothing."""
        for place in self._places:
            place.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def add_hook(hooks: Any, hook: Any) -> RemovableHandle:
    """Puts a hook into a dictionary; the handle takes it out again."""
    handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    return handle
