"""Hooks of modules: registration, and the nodes around a module's call through which backward hooks see gradients."""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from clgrad.autograd import Function
from clgrad.autograd.handles import RemovableHandle, add_hook
from clgrad.tensor import Tensor

HOOKS = ("_forward_hooks", "_forward_hooks_with_kwargs", "_forward_hooks_always_called", "_forward_pre_hooks",
         "_forward_pre_hooks_with_kwargs", "_backward_hooks", "_backward_pre_hooks",
         "_state_dict_hooks", "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks")


class _Pass(Function):
    """The identity of several tensors, as one node."""

    @staticmethod
    def forward(ctx: Any, *tensors: Any) -> Any:
        return tensors

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads


_Pass.__name__ = "BackwardHookFunction"


class BackwardHooks:
    """The hooks of one call of a module. ``inputs()`` goes before its forward, ``outputs()`` after it.

    When the gradients of all outputs are known the pre-hooks run and may replace them; when those of the inputs are,
    the hooks run. Where no input needs a gradient the hooks run right after the pre-hooks.
    """

    def __init__(self, module: Any, hooks: list[Callable], pre_hooks: list[Callable]):
        self.module, self.hooks, self.pre_hooks = module, hooks, pre_hooks
        self.inputs_seen = False
        self.count = 0
        self.grad_output: tuple = ()

    def inputs(self, args: tuple) -> tuple:
        """The arguments, passed through a node."""
        places = [n for n, a in enumerate(args) if isinstance(a, Tensor)]
        self.count = len(args)
        if not any(args[n].requires_grad for n in places):
            return args
        passed = _Pass.apply(*[args[n] for n in places])
        node = next(t.grad_fn for t in passed if t.grad_fn is not None)
        node.register_hook(lambda grads, _: self._leaving(places, grads))
        self.inputs_seen = True
        replaced = dict(zip(places, passed, strict=True))
        return tuple(replaced.get(n, a) for n, a in enumerate(args))

    def outputs(self, result: Any) -> Any:
        """What the module returned, passed through a node."""
        several = isinstance(result, (tuple, list))
        listed = list(result) if several else [result]
        places = [n for n, a in enumerate(listed) if isinstance(a, Tensor)]
        if not any(listed[n].requires_grad for n in places):
            return result
        passed = _Pass.apply(*[listed[n] for n in places])
        node = next(t.grad_fn for t in passed if t.grad_fn is not None)
        node.register_prehook(lambda grads: self._entering(places, len(listed), grads))
        for n, t in zip(places, passed, strict=True):
            listed[n] = t
        return type(result)(listed) if several else listed[0]

    def _entering(self, places: list[int], count: int, grads: tuple) -> Any:
        full: list = [None] * count
        for n, g in zip(places, grads, strict=True):
            full[n] = g
        grad_output = tuple(full)
        changed = False
        for hook in self.pre_hooks:
            found = hook(self.module, grad_output)
            if found is not None:
                grad_output = found if isinstance(found, tuple) else (found,)
                changed = True
                if len(grad_output) != count:
                    raise RuntimeError(f"Backward pre hook returned an invalid number of grad_output, got "
                                       f"{len(grad_output)}, but expected {count}")
        self.grad_output = grad_output
        if not self.inputs_seen:
            for hook in self.hooks:
                if hook(self.module, (None,) * self.count, grad_output) is not None:
                    raise RuntimeError("Backward hook for Modules where no input requires gradient should always "
                                       "return "
                                       "None or None for all gradients.")
        return tuple(grad_output[n] for n in places) if changed else None

    def _leaving(self, places: list[int], grads: tuple) -> Any:
        full: list = [None] * self.count
        for n, g in zip(places, grads, strict=True):
            full[n] = g
        grad_input = tuple(full)
        changed = False
        for hook in self.hooks:
            found = hook(self.module, grad_input, self.grad_output)
            if found is not None:
                grad_input = found if isinstance(found, tuple) else (found,)
                changed = True
                if len(grad_input) != self.count:
                    raise RuntimeError(f"Backward hook returned an invalid number of grad_input, got "
                                       f"{len(grad_input)}, but expected {self.count}")
        return tuple(grad_input[n] for n in places) if changed else None


def _mark(holder: Any, kind: str, handle: RemovableHandle, marks: dict[str, bool]) -> None:
    """Notes how a hook is called, in dicts such as ``_forward_hooks_with_kwargs``."""
    for name, wanted in marks.items():
        if wanted:
            getattr(holder, f"{kind}_{name}")[handle.id] = True


def hooks_with_marks(module: Any, kind: str, *marks: str) -> list[tuple]:
    """The hooks of one kind, those of all modules first, each with whether it has been marked."""
    return [(hook, *(key in getattr(holder, f"{kind}_{mark}") for mark in marks))
            for holder in (EVERYWHERE, module) for key, hook in getattr(holder, kind).items()]


class _GlobalHooks:
    """The hooks that every module calls."""

    def __init__(self) -> None:
        self.active = False  # whether there has ever been one
        for name in HOOKS:
            setattr(self, name, OrderedDict())

    def add(self, kind: str, hook: Any, **marks: bool) -> RemovableHandle:
        """Registers a hook."""
        handle = add_hook(getattr(self, kind), hook)
        _mark(self, kind, handle, marks)
        self.active = True
        return handle


EVERYWHERE = _GlobalHooks()


class _Callers(threading.local):
    def __init__(self) -> None:
        self.innermost: Callable | None = None


_callers = _Callers()


def innermost_caller() -> Callable | None:
    """Who answers calls of modules in this thread; see :func:`calling_modules`."""
    return _callers.innermost


@contextmanager
def calling_modules(caller: Callable) -> Iterator[None]:
    """A block in which a call of a module is ``caller(module, args, kwargs)``; ``module._call_hooks`` makes the real one."""
    before, _callers.innermost = _callers.innermost, caller
    active, EVERYWHERE.active = EVERYWHERE.active, True
    try:
        yield
    finally:
        _callers.innermost = before
        EVERYWHERE.active = active or any(getattr(EVERYWHERE, name) for name in HOOKS)


def register_module_forward_pre_hook(hook: Callable) -> RemovableHandle:
    """:meth:`Module.register_forward_pre_hook` for every module there is or will be."""
    return EVERYWHERE.add("_forward_pre_hooks", hook)


def register_module_forward_hook(hook: Callable, *, with_kwargs: bool = False,
                                 always_call: bool = False) -> RemovableHandle:
    """:meth:`Module.register_forward_hook` for every module there is or will be."""
    return EVERYWHERE.add("_forward_hooks", hook, with_kwargs=with_kwargs, always_called=always_call)


def register_module_full_backward_pre_hook(hook: Callable) -> RemovableHandle:
    """:meth:`Module.register_full_backward_pre_hook` for every module there is or will be."""
    return EVERYWHERE.add("_backward_pre_hooks", hook)


def register_module_full_backward_hook(hook: Callable) -> RemovableHandle:
    """:meth:`Module.register_full_backward_hook` for every module there is or will be."""
    return EVERYWHERE.add("_backward_hooks", hook)


register_module_backward_hook = register_module_full_backward_hook


class Hookable:
    """The part of a Module that registers hooks."""

    def _add_hook(self, kind: str, hook: Any, prepend: bool = False, **marks: bool) -> RemovableHandle:
        hooks = getattr(self, kind)
        handle = add_hook(hooks, hook)
        _mark(self, kind, handle, marks)
        if prepend:
            hooks.move_to_end(handle.id, last=False)
        if not kind.startswith(("_state", "_load")):
            self.__dict__["_hooked"] = True
        return handle

    def register_forward_pre_hook(self, hook: Callable, *, prepend: bool = False,
                                  with_kwargs: bool = False) -> RemovableHandle:
        """Calls ``hook(module, args)`` before ``forward``; what it returns replaces the arguments."""
        return self._add_hook("_forward_pre_hooks", hook, prepend, with_kwargs=with_kwargs)

    def register_forward_hook(self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False,
                              always_call: bool = False) -> RemovableHandle:
        """Calls ``hook(module, args, output)`` after ``forward``; what it returns replaces the output."""
        return self._add_hook("_forward_hooks", hook, prepend, with_kwargs=with_kwargs, always_called=always_call)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(module, grad_input, grad_output)`` in the backward pass; the result replaces ``grad_input``."""
        return self._add_hook("_backward_hooks", hook, prepend)

    register_backward_hook = register_full_backward_hook

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(module, grad_output)`` before the module's backward; the result replaces ``grad_output``."""
        return self._add_hook("_backward_pre_hooks", hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(module, state_dict, prefix, local_metadata)`` when the module's state has been collected."""
        return self._add_hook("_state_dict_hooks", (hook, False))

    def _register_state_dict_hook(self, hook: Callable) -> RemovableHandle:
        """:meth:`register_state_dict_post_hook` whose hook may return another dict."""
        return self._add_hook("_state_dict_hooks", (hook, True))

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(module, prefix, keep_vars)`` before the module's state is collected."""
        return self._add_hook("_state_dict_pre_hooks", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors)`` before loading."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(self, hook: Callable, with_module: bool = False) -> RemovableHandle:
        """:meth:`register_load_state_dict_pre_hook`; the module is an argument only ``with_module``."""
        return self._add_hook("_load_state_dict_pre_hooks", functools.partial(hook, self) if with_module else hook)

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(module, incompatible_keys)`` after loading; it may empty the lists in ``incompatible_keys``."""
        return self._add_hook("_load_state_dict_post_hooks", hook)
