"""What happens to the tensors that nodes keep for the backward pass: hooks that pack and unpack them."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from clgrad.autograd.grad_mode import mode, no_grad


class saved_tensors_hooks:
    """Within the block, ``pack_hook(tensor)`` is kept instead of each saved tensor, and ``unpack_hook`` gives it back.

    >>> import clgrad
    >>> x = clgrad.tensor([2.], requires_grad=True)
    >>> with clgrad.autograd.graph.saved_tensors_hooks(lambda t: t.tolist(), clgrad.tensor):
    ...     y = x * x
    >>> y.backward()
    >>> x.grad
    tensor([4.])
    """

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]):
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        if mode.saved_hooks_refused is not None:
            raise RuntimeError(mode.saved_hooks_refused)
        mode.saved_hooks.append((self.pack_hook, self.unpack_hook))

    def __exit__(self, *exception: object) -> None:
        if mode.saved_hooks:  # an unpack hook may have left the block already
            mode.saved_hooks.pop()


class save_on_cpu(saved_tensors_hooks):
    """Within the block, saved tensors are kept in host memory, and go back to their device for the backward pass."""

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda"):
        super().__init__(lambda tensor: (tensor.device, tensor.cpu()), lambda packed: packed[1].to(packed[0]))


class disable_saved_tensors_hooks:
    """Within the block, entering :class:`saved_tensors_hooks` is a RuntimeError with this message."""

    def __init__(self, error_message: str):
        self.message = error_message

    def __enter__(self) -> None:
        if mode.saved_hooks:
            raise RuntimeError(self.message)
        self.previous, mode.saved_hooks_refused = mode.saved_hooks_refused, self.message

    def __exit__(self, *exception: object) -> None:
        mode.saved_hooks_refused = self.previous


class _Handle:
    """Stands for a saved tensor: a window on a storage at one of its versions."""

    __slots__ = ("window", "__weakref__")

    def __init__(self, window: tuple):
        self.window = window


class _Copies(saved_tensors_hooks):
    """Saved tensors, and what is copied of them before it is changed: ``cloned``, until then ``original``."""

    def __init__(self) -> None:
        super().__init__(self._pack, self._unpack)
        self.clear()

    def clear(self) -> None:
        """Forgets all tensors."""
        self.original: weakref.WeakKeyDictionary[_Handle, Any] = weakref.WeakKeyDictionary()
        self.cloned: weakref.WeakKeyDictionary[_Handle, Any] = weakref.WeakKeyDictionary()
        self._of_storage: weakref.WeakKeyDictionary[Any, weakref.WeakSet[_Handle]] = weakref.WeakKeyDictionary()

    def _pack(self, tensor: Any) -> _Handle:
        window = tensor.offset, tensor.spec, tensor.memory.version
        others = self._of_storage.setdefault(tensor.memory, weakref.WeakSet())
        handle = next((other for other in others if other.window == window and other in self.original), None)
        if handle is None:
            handle = _Handle(window)
            others.add(handle)
            self.original[handle] = tensor
        return handle

    def _found(self, handle: _Handle) -> Any:
        return self.cloned.get(handle, self.original.get(handle))

    def _unpack(self, handle: _Handle) -> Any:
        found = self._found(handle)
        if mode.copies is not self or found is None:
            raise AssertionError("Trying to backward outside of the 'allow_mutation_on_saved_tensors' context in which the "
                                 "graph was originally recorded.")
        return found

    def before_change_of(self, tensor: Any) -> None:
        """Copies what is saved of the memory of ``tensor``."""
        for handle in list(self._of_storage.get(tensor.memory, ())):
            if handle in self.original:
                with no_grad():
                    self.cloned[handle] = self.original.pop(handle).clone()


class LevelCopies(_Copies):
    """The copies of a level of forward mode, whose operations go through saved tensors more than once.

    What was recorded outlives the level; what was not copied by its end must stay as it is from then on.
    """

    def begin(self) -> None:
        """Takes copies from now on, unless somebody does."""
        if mode.copies is None:
            mode.copies = self
            mode.saved_hooks.insert(0, (self.pack_hook, self.unpack_hook))

    def end(self) -> None:
        """Takes no more copies."""
        if mode.copies is self:
            mode.copies = None
            mode.saved_hooks.remove((self.pack_hook, self.unpack_hook))
        self.versions = weakref.WeakKeyDictionary({handle: tensor.memory.version for handle, tensor in self.original.items()})

    def _unpack(self, handle: _Handle) -> Any:
        found = self._found(handle)
        if mode.copies is not self and handle in self.original and found.memory.version != self.versions[handle]:
            raise changed_since("", found.spec, found.memory.version, self.versions[handle])
        return found


def changed_since(operator: str, spec: Any, version: int, expected: int) -> RuntimeError:
    """The error for a tensor that was saved (by ``operator``, if that is known) and has changed since."""
    by = f", saved by {operator}," if operator else ""
    return RuntimeError("one of the variables needed for gradient computation has been modified by an inplace operation: "
                        f"[{spec.dtype} {list(spec.shape)}]{by} is at version {version}; expected version "
                        f"{expected} instead. Hint: enable anomaly detection to find the operation that failed to "
                        "compute its gradient, with autograd.set_detect_anomaly(True).")


FREED = ("Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify "
         "retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors "
         "after calling backward.")


def freed() -> RuntimeError:
    """The error for saved tensors that an earlier walk has given up."""
    return RuntimeError("Trying to backward through the graph a second time (or directly access saved tensors after they "
                        f"have already been freed). {FREED}")


class allow_mutation_on_saved_tensors:
    """Within the block, in which also the backward pass must run, tensors that are saved for it may be changed in place.

    What is saved is copied before it is changed. Entering gives an object that tells of the copies (``cloned``).

    Raises:
        RuntimeError: blocks are nested.

    >>> import clgrad
    >>> x = clgrad.tensor([3.], requires_grad=True)
    >>> with allow_mutation_on_saved_tensors():
    ...     y = x.clone()
    ...     z = y ** 2
    ...     _ = y.zero_()
    ...     z.backward()
    >>> x.grad
    tensor([6.])
    """

    def __enter__(self) -> _Copies:
        if mode.copies is not None:
            raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
        copies = _Copies()
        copies.__enter__()
        mode.copies = copies
        return copies

    def __exit__(self, *exception: object) -> None:
        copies, mode.copies = mode.copies, None
        copies.__exit__()
        copies.clear()
