"""Views: tensors that share the memory of another one, where they were made, and what may therefore be done to them.

A change in place of a view changes its base, whose history then says so. Where that history would be wrong (the view was
made unrecorded, by a function with several results, or by a user's ``Function``), the change is refused.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from clgrad.autograd.grad_mode import mode

# Where a view was made that may not be changed in place where changes are recorded.
NO_GRAD, INFERENCE, SEVERAL, FUNCTION = "no_grad", "inference", "several", "function"

_ADVICE = ("Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your code by moving both "
           "the view and the inplace either both inside the {0} block (if you don't want the inplace to be tracked) or both "
           "outside (if you want the inplace to be tracked).")
_REASONS = {
    NO_GRAD: _ADVICE.format("no_grad"),
    INFERENCE: _ADVICE.format("inference_mode"),
    SEVERAL: "This view is the output of a function that returns multiple views. Such functions do not allow the output "
             "views to be modified inplace. You should replace the inplace operation by an out-of-place one.",
    FUNCTION: "This view was created inside a custom Function (or because an input was returned as-is) and the autograd "
              "logic to handle view+inplace would override the custom backward associated with the custom Function, leading "
              "to incorrect gradients. This behavior is forbidden. You can fix this by cloning the output of the custom "
              "Function."}


class View(weakref.ref):
    """How ``tensor`` was made from the ``base`` whose memory it shares: ``replay(base)`` makes it again.

    It is a weak reference to the base, so that the base knows its views: :func:`views_of`.
    """

    __slots__ = ("base", "replay", "epoch", "origin", "version", "tensor")

    base: Any
    replay: Callable[[Any], Any]
    epoch: int
    origin: str | None
    version: int
    tensor: weakref.ref


def view_of(tensor: Any, base: Any, replay: Callable[[Any], Any], origin: str | None) -> View:
    """Says that ``tensor`` is ``replay(base)``. (No constructor: a class of weak references would need two.)"""
    made = View(base)
    made.base, made.replay, made.origin = base, replay, origin
    made.epoch, made.version, made.tensor = base._rebased, base.memory.version, weakref.ref(tensor)
    return made


def views_of(base: Any) -> list[Any]:
    """The living views of a tensor."""
    found = [ref.tensor() for ref in weakref.getweakrefs(base) if isinstance(ref, View)]
    return [tensor for tensor in found if tensor is not None]


def as_view(view: Any, base: Any, replay: Callable[[Any], Any]) -> Any:
    """Records that ``view`` shares the memory of ``base`` and is ``replay(base)``; inference tensors need none of it."""
    if base._inference:
        view._inference, view._untracked = True, base._untracked
        return view
    origin = None if mode.enabled else INFERENCE if mode.inference else NO_GRAD
    root = base._view
    if root is None:
        view._view = view_of(view, base, replay, origin)
    else:
        first = root.replay
        view._view = view_of(view, root.base, lambda whole: replay(first(whole)), origin or root.origin)
    if base._untracked:
        view._untracked = True
    view._inference = False
    if origin is not None and base._requires_grad and view.spec.dtype.differentiable:
        view._requires_grad = True
    return view


def set_origin(views: tuple, origin: str) -> tuple:
    """Says of views, made where changes are recorded, why they may not be changed in place."""
    for view in views:
        if view._view is not None and view._view.origin is None:
            view._view.origin = origin
    return views


def refuse_change(view: View, node: Any, number: int, indirect: bool = False) -> None:
    """RuntimeError: this view (output ``number`` of ``node``) or, ``indirect``, its base is changed in place."""
    changed = ("its base or another view of its base has been" if indirect else "is being") + " modified inplace"
    label = "" if node is None else f"Output {number} of {node.name().rpartition('Backward')[0]} is a view"
    if node is None or view.origin in (NO_GRAD, INFERENCE):
        where = f"{label} of a view which was created in" if label else "A view was created in"
        text = (f"{where} inference mode and {changed} in normal mode." if view.origin == INFERENCE else
                f"{where} no_grad mode and {changed} with grad mode enabled.")
    else:
        text = f"{label} and {changed}."
    raise RuntimeError(f"{text} {_REASONS[view.origin or NO_GRAD]}")
