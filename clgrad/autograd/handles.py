"""What registering a hook returns."""

from __future__ import annotations

import itertools
import weakref
from collections import OrderedDict
from typing import Any


class RemovableHandle:
    """What registering a hook returns: ``remove()`` takes the entry with its ``id`` out of a dictionary of hooks.

    Args:
        hooks_dict: the OrderedDict; whoever makes the handle puts the hook there, under ``handle.id``.
        extra_dict: another dictionary, or a list of them, out of which the entry is taken as well.
    """

    _ids = itertools.count()

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None):
        self.id = next(self._ids)
        more = [] if extra_dict is None else extra_dict if isinstance(extra_dict, list) else [extra_dict]
        # Weak, so that a handle that is kept does not keep what it was registered with.
        self.hooks_dict_ref = weakref.ref(hooks_dict)
        self.extra_dict_ref = tuple(weakref.ref(place) for place in more)

    def remove(self) -> None:
        """Takes the hook away; a second call does nothing."""
        for reference in (self.hooks_dict_ref, *self.extra_dict_ref):
            place = reference()
            if place is not None:
                place.pop(self.id, None)

    def __getstate__(self) -> tuple:
        return self.hooks_dict_ref(), self.id, [reference() for reference in self.extra_dict_ref]

    def __setstate__(self, state: tuple) -> None:
        # What is gone by now, or is in no other dictionary of the pickle, has no entry to take out.
        hooks, self.id, extra = state[0], state[1], state[2] if len(state) > 2 else ()
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
        self.extra_dict_ref = tuple(weakref.ref(OrderedDict() if place is None else place) for place in extra)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def add_hook(hooks: Any, hook: Any, extra: list | None = None) -> RemovableHandle:
    """Puts a hook into an OrderedDict; the handle takes it out of that, and of those in ``extra``, again."""
    handle = RemovableHandle(hooks, extra_dict=extra)
    hooks[handle.id] = hook
    return handle
