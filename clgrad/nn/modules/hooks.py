"""Hooks of modules: registration, and the nodes around a module's call through which backward hooks see gradients."""

from __future__ import annotations

import functools
import threading
import warnings
import weakref
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
        ctx.mark_non_differentiable(*[t for t in tensors if not t.requires_grad])
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
        self.grad_output: tuple | None = None  # while a backward pass is between the outputs and the inputs

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
        """What the module returned, passed through a node; a warning where it is no tensor or tuple of tensors."""
        several = isinstance(result, tuple)
        if not several and not isinstance(result, Tensor):
            warnings.warn("For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but "
                          f"received {type(result)}", stacklevel=4)
        listed = list(result) if several else [result]
        places = [n for n, a in enumerate(listed) if isinstance(a, Tensor)]
        if not any(listed[n].requires_grad for n in places):
            return result
        passed = _Pass.apply(*[listed[n] for n in places])
        node = next(t.grad_fn for t in passed if t.grad_fn is not None)
        node.register_prehook(lambda grads: self._entering(places, len(listed), grads))
        for n, t in zip(places, passed, strict=True):
            listed[n] = t
        if not several:
            return listed[0]
        return type(result)(*listed) if hasattr(result, "_fields") else type(result)(listed)

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
            if self.hooks:
                warnings.warn("Full backward hook is firing when gradients are computed with respect to module outputs since "
                              "no inputs require gradients.", stacklevel=5)
            for hook in self.hooks:
                found = hook(self.module, (None,) * self.count, grad_output)
                if found is not None and not (isinstance(found, tuple) and all(g is None for g in found)):
                    raise RuntimeError("Backward hook for Modules where no input requires gradient should always "
                                       "return "
                                       "None or None for all gradients.")
        return tuple(grad_output[n] for n in places) if changed else None

    def _leaving(self, places: list[int], grads: tuple) -> Any:
        if self.grad_output is None:  # a second derivative, which did not come by way of the outputs
            return None
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
        self.grad_output = None
        return tuple(grad_input[n] for n in places) if changed else None


def _added(holder: Any, kind: str, hook: Any, marks: dict[str, bool]) -> RemovableHandle:
    """Registers a hook, and notes how it is called, in dicts such as ``_forward_hooks_with_kwargs``."""
    handle = add_hook(getattr(holder, kind), hook, [getattr(holder, f"{kind}_{name}") for name in marks])
    for name, wanted in marks.items():
        if wanted:
            getattr(holder, f"{kind}_{name}")[handle.id] = True
    return handle


def hooks_with_marks(module: Any, kind: str, *marks: str) -> list[tuple]:
    """The hooks of one kind, those of all modules first, each with whether it has been marked."""
    return [(hook, *(key in getattr(holder, f"{kind}_{mark}") for mark in marks))
            for holder in (EVERYWHERE, module) for key, hook in getattr(holder, kind).items()]


def backward_hooks(module: Any, full: bool) -> list[Callable]:
    """The backward hooks, of all modules and of this one, that see all gradients, or that hang at the last node."""
    holders: tuple[Any, Any] = (EVERYWHERE, module)
    return [hook for holder in holders if holder._is_full_backward_hook is full
            for hook in holder._backward_hooks.values()]


def hook_last_node(module: Any, hooks: list[Callable], args: tuple, result: Any) -> None:
    """Registers what ``register_backward_hook`` took with the node that made a module's result."""
    found = result
    while not isinstance(found, Tensor):
        found = next(v for v in found.values() if isinstance(v, Tensor)) if isinstance(found, dict) else found[0]
    node = found.grad_fn
    if node is not None:
        for hook in hooks:
            node.register_hook(functools.partial(hook, module))
        _warn_of_missing(args, result, node)


def _warn_of_missing(args: tuple, result: Any, node: Any) -> None:
    """A FutureWarning where hooks at one node do not see the gradients of all that went in or came out."""
    results = (result,) if isinstance(result, Tensor) else result
    makers = {r.grad_fn for r in results if r.grad_fn is not None} if _all_tensors(results) else set()
    if not _all_tensors(results):
        why = "on a Module that does not return a single Tensor or a tuple of Tensors"
    elif not _all_tensors(args):
        why = "on a Module that does not take as input a single Tensor or a tuple of Tensors"
    elif len(makers) > 1:
        why = "when outputs are generated by different autograd Nodes"
    elif {a.grad_fn for a in args if a.grad_fn is not None} != {maker for maker, _ in node.next_functions}:
        why = "when the forward contains multiple autograd Nodes"
    else:
        return
    warnings.warn(f"Using a non-full backward hook {why} is deprecated: it misses some of the gradients. "
                  "register_full_backward_hook sees them all", FutureWarning, stacklevel=5)


def _all_tensors(values: Any) -> bool:
    return isinstance(values, tuple) and all(isinstance(v, Tensor) for v in values)


class _OfModule:
    """A hook whose first argument is a module that it does not keep alive."""

    def __init__(self, hook: Callable, module: Any):
        functools.update_wrapper(self, hook)
        self.hook, self.module = hook, weakref.ref(module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.hook(self.module(), *args, **kwargs)

    def __getstate__(self) -> tuple:
        return self.hook, self.module()

    def __setstate__(self, state: tuple) -> None:
        self.__init__(*state)  # type: ignore[misc]


class _GlobalHooks:
    """The hooks that every module calls."""

    def __init__(self) -> None:
        self.active = False  # whether there has ever been one
        self._is_full_backward_hook: bool | None = None
        for name in HOOKS:
            setattr(self, name, OrderedDict())

    def add(self, kind: str, hook: Any, **marks: bool) -> RemovableHandle:
        """Registers a hook."""
        self.active = True
        return _added(self, kind, hook, marks)


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
    _decide_backward_hooks(EVERYWHERE, full=True)
    return EVERYWHERE.add("_backward_hooks", hook)


def register_module_backward_hook(hook: Callable) -> RemovableHandle:
    """:meth:`Module.register_backward_hook` for every module there is or will be."""
    _decide_backward_hooks(EVERYWHERE, full=False)
    return EVERYWHERE.add("_backward_hooks", hook)


def _decide_backward_hooks(holder: Any, full: bool) -> None:
    """Notes of which kind the backward hooks are: there is one kind at a time."""
    if holder._is_full_backward_hook is not None and holder._is_full_backward_hook is not full:
        raise RuntimeError("Cannot use both regular backward hooks and full backward hooks on "
                           f"{'all modules' if holder is EVERYWHERE else 'a single Module'}. Please use only one of them.")
    holder._is_full_backward_hook = full


class Hookable:
    """The part of a Module that registers hooks."""

    _is_full_backward_hook: bool | None = None  # of which kind its backward hooks are

    def _add_hook(self, kind: str, hook: Any, prepend: bool = False, **marks: bool) -> RemovableHandle:
        handle = _added(self, kind, hook, marks)
        if prepend:
            getattr(self, kind).move_to_end(handle.id, last=False)
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
        _decide_backward_hooks(self, full=True)
        return self._add_hook("_backward_hooks", hook, prepend)

    def register_backward_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(module, grad_input, grad_output)`` with the gradients of the last node that the module made.

        They are the module's own only where it made one node: prefer :meth:`register_full_backward_hook`.
        """
        _decide_backward_hooks(self, full=False)
        return self._add_hook("_backward_hooks", hook)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(module, grad_output)`` before the module's backward; the result replaces ``grad_output``."""
        return self._add_hook("_backward_pre_hooks", hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(module, state_dict, prefix, local_metadata)`` when the module's state has been collected."""
        hook._from_public_api = True  # type: ignore[attr-defined]
        return self._add_hook("_state_dict_hooks", hook)

    def _register_state_dict_hook(self, hook: Callable) -> RemovableHandle:
        """:meth:`register_state_dict_post_hook` whose hook may return another dict."""
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError("_register_state_dict_hook: the hook was previously registered via "
                               "register_state_dict_post_hook, whose hooks return nothing: register another function")
        return self._add_hook("_state_dict_hooks", hook)

    def register_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(module, prefix, keep_vars)`` before the module's state is collected."""
        return self._add_hook("_state_dict_pre_hooks", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors)`` before loading."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def _register_load_state_dict_pre_hook(self, hook: Callable, with_module: bool = False) -> RemovableHandle:
        """:meth:`register_load_state_dict_pre_hook`; the module is an argument only ``with_module``."""
        return self._add_hook("_load_state_dict_pre_hooks", _OfModule(hook, self) if with_module else hook)

    def register_load_state_dict_post_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(module, incompatible_keys)`` after loading; it may empty the lists in ``incompatible_keys``."""
        return self._add_hook("_load_state_dict_post_hooks", hook)
