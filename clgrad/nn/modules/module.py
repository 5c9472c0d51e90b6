"""``Module``: the base class of everything that has parameters."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from inspect import signature
from typing import Any

from clgrad.nn.modules.conversion import Convertible
from clgrad.nn.modules.hooks import (
    EVERYWHERE,
    HOOKS,
    BackwardHooks,
    Hookable,
    backward_hooks,
    hook_last_node,
    hooks_with_marks,
    innermost_caller,
    register_module_backward_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
)
from clgrad.nn.modules.registration import (
    register_module_buffer_registration_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
    registered,
)
from clgrad.nn.modules.state import Stateful
from clgrad.nn.modules.text import indented, type_text
from clgrad.nn.parameter import Buffer, Parameter
from clgrad.tensor import Tensor

__all__ = ["Module", "register_module_backward_hook", "register_module_forward_hook", "register_module_forward_pre_hook",
           "register_module_full_backward_hook", "register_module_full_backward_pre_hook",
           "register_module_buffer_registration_hook", "register_module_module_registration_hook",
           "register_module_parameter_registration_hook"]

_LISTS = ("_parameters", "_buffers", "_modules")


class Module(Hookable, Stateful, Convertible):
    """A part of a network: parameters, buffers and other modules by name, and ``forward``.

    Tensors of class :class:`Parameter` and modules that are assigned to attributes are taken into the lists that
    ``parameters()``, ``to()``, ``state_dict()`` and the others walk through.

    >>> import clgrad
    >>> class Scale(clgrad.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.factor = clgrad.nn.Parameter(clgrad.tensor(2.))
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> scale = Scale()
    >>> scale(clgrad.ones(2)), list(scale.state_dict())
    (tensor([2., 2.], grad_fn=<MulBackward0>), ['factor'])
    """

    call_super_init = False  # whether __init__ calls the next class's, for modules with several bases
    dump_patches = False
    _version: int = 1  # of a module's state; what was saved stands in the state's metadata

    def __init__(self, *args: Any, **kwargs: Any):
        if not self.call_super_init:
            if kwargs:
                raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword argument "
                                f"'{next(iter(kwargs))}'")
            if args:
                raise TypeError(f"{type(self).__name__}.__init__() takes 1 positional argument but {len(args) + 1} were "
                                "given")
        fields = self.__dict__
        fields["training"] = True
        for name in _LISTS:
            fields[name] = {}
        fields["_non_persistent_buffers_set"] = set()
        for name in HOOKS:
            fields[name] = OrderedDict()
        fields["_hooked"] = False  # whether a call has to look for hooks at all
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    # Calls.

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            hooked = self._hooked or EVERYWHERE.active
        except AttributeError:
            raise AttributeError(f"{type(self).__name__}: cannot be called before Module.__init__() call") from None
        return self._call_with_hooks(args, kwargs) if hooked else self.forward(*args, **kwargs)

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        """A call, for subclasses that define ``__call__`` themselves."""
        return Module.__call__(self, *args, **kwargs)

    def _call_with_hooks(self, args: tuple, kwargs: dict) -> Any:
        caller = innermost_caller()
        return self._call_hooks(args, kwargs) if caller is None else caller(self, args, kwargs)

    def _call_hooks(self, args: tuple, kwargs: dict) -> Any:
        result = None
        waiting: list | None = None  # forward hooks whose turn has not come
        try:
            args, kwargs = self._call_pre_hooks(args, kwargs)
            around, args = self._backward_hooks_around(args)
            result = self.forward(*args, **kwargs)
            waiting = self._hooks_after_forward()
            while waiting:
                hook, with_kwargs, _ = waiting.pop(0)
                found = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
                result = result if found is None else found
        except Exception:
            self._call_always(self._hooks_after_forward() if waiting is None else waiting, args, kwargs, result)
            raise
        result = around.outputs(result) if around is not None else result
        at_last_node = backward_hooks(self, full=False)
        if at_last_node:
            hook_last_node(self, at_last_node, args, result)
        return result

    def _hooks_after_forward(self) -> list[tuple]:
        return hooks_with_marks(self, "_forward_hooks", "with_kwargs", "always_called")

    def _call_pre_hooks(self, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        for hook, with_kwargs in hooks_with_marks(self, "_forward_pre_hooks", "with_kwargs"):
            found = hook(self, args, kwargs) if with_kwargs else hook(self, args)
            if found is None:
                continue
            if with_kwargs:
                if not (isinstance(found, tuple) and len(found) == 2):
                    raise RuntimeError(f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but "
                                       f"got {found}.")
                args, kwargs = found
            else:
                args = found if isinstance(found, tuple) else (found,)
        return args, kwargs

    def _backward_hooks_around(self, args: tuple) -> tuple[BackwardHooks | None, tuple]:
        after = backward_hooks(self, full=True)
        before = [hook for hook, in hooks_with_marks(self, "_backward_pre_hooks")]
        if not after and not before:
            return None, args
        around = BackwardHooks(self, after, before)
        return around, around.inputs(args)

    def _call_always(self, hooks: list[tuple], args: tuple, kwargs: dict, result: Any) -> None:
        """After an error: the forward hooks that are called in any case; their own errors are only warnings."""
        for hook, with_kwargs, always in hooks:
            if not always:
                continue
            try:
                found = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
                result = result if found is None else found
            except Exception as error:
                warnings.warn("module forward hook with ``always_call=True`` raised an exception that was silenced as "
                              f"another error was raised in forward: {error}", stacklevel=2)

    # Attributes.

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__
        for kind in _LISTS:
            found = fields.get(kind)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        fields = self.__dict__
        if isinstance(value, Parameter):
            self._take_out(name, fields, "_parameters", "parameters")
            self.register_parameter(name, value)
            return
        parameters = fields.get("_parameters")
        if parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(f"cannot assign '{type_text(value)}' as parameter '{name}' (torch.nn.Parameter or None "
                                "expected)")
            parameters[name] = None
            return
        if isinstance(value, Module):
            self._take_out(name, fields, "_modules", "modules")
            fields["_modules"][name] = registered("module", self, name, value)
            return
        modules = fields.get("_modules")
        if modules is not None and name in modules:
            if value is not None:
                raise TypeError(f"cannot assign '{type_text(value)}' as child module '{name}' (torch.nn.Module or None "
                                "expected)")
            modules[name] = None
            return
        if isinstance(value, Buffer):
            self._take_out(name, fields, "_buffers", "buffers")
            self._register_own(name, value)
            return
        buffers = fields.get("_buffers")
        if buffers is not None and name in buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"cannot assign '{type_text(value)}' as buffer '{name}' (torch.nn.Buffer, torch.Tensor "
                                "or None expected)")
            buffers[name] = registered("buffer", self, name, value)
            return
        object.__setattr__(self, name, value)

    def _register_own(self, name: str, value: Buffer) -> None:
        """Registers a buffer that says whether it is saved; a class's own register_buffer may not ask for that."""
        if type(self).register_buffer is Module.register_buffer or "persistent" in signature(self.register_buffer).parameters:
            self.register_buffer(name, value, value.persistent)
        elif value.persistent:
            self.register_buffer(name, value)
        else:
            raise RuntimeError(f"cannot register the buffer '{name}' with persistent=False: {type(self).__name__}."
                               "register_buffer has no argument 'persistent'")

    def _take_out(self, name: str, fields: dict, kept: str, what: str) -> None:
        """Removes a name from wherever it is, except from the list ``kept``."""
        if kept not in fields:
            raise AttributeError(f"cannot assign {what[:-1]} before Module.__init__() call")
        fields.pop(name, None)
        for kind in _LISTS:
            if kind != kept:
                fields[kind].pop(name, None)
        fields["_non_persistent_buffers_set"].discard(name)

    def __delattr__(self, name: str) -> None:
        for kind in _LISTS:
            if name in self.__dict__.get(kind, ()):
                del self.__dict__[kind][name]
                self._non_persistent_buffers_set.discard(name)
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        names = [*dir(type(self)), *self.__dict__, *self._parameters, *self._modules, *self._buffers]
        return sorted({name for name in names if not name[:1].isdigit()})

    def __setstate__(self, fields: dict) -> None:
        self.__dict__.update(fields)
        for name in HOOKS:  # a pickle of PyTorch's, or an older one, may lack some
            self.__dict__.setdefault(name, OrderedDict())
        self.__dict__.setdefault("_hooked", any(self.__dict__[name] for name in HOOKS))

    def _replicate_for_data_parallel(self) -> Any:
        """A module with this one's attributes, buffers and modules, whose parameters are still to be given."""
        replica = self.__new__(type(self))
        fields = self.__dict__
        replica.__dict__ = {**fields, "_parameters": {}, "_buffers": fields["_buffers"].copy(),
                            "_modules": fields["_modules"].copy(), "_is_replica": True}
        return replica

    # Text.

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What a subclass wants to have between the parentheses of its text."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        before = extra.split("\n") if extra else []
        below = [f"({name}): " + indented(repr(child), 2) for name, child in self._modules.items()]
        lines = before + below
        if not lines:
            return f"{self._get_name()}()"
        if len(before) == 1 and not below:
            return f"{self._get_name()}({before[0]})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"
