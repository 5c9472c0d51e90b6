"""``Module``: the base class of everything that has parameters."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from clgrad import dtypes
from clgrad.autograd import no_grad
from clgrad.dtypes import dtype as Dtype
from clgrad.nn.modules import state
from clgrad.nn.modules.hooks import HOOKS, BackwardHooks, Hookable
from clgrad.nn.modules.text import indented, type_text
from clgrad.nn.parameter import Buffer, Parameter
from clgrad.runtime import device as Device
from clgrad.tensor import Tensor

_LISTS = ("_parameters", "_buffers", "_modules")


class Module(Hookable):
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

    training: bool
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any):
        if args or kwargs:
            what = f"{len(args) + 1} positional arguments" if args else f"argument '{next(iter(kwargs))}'"
            raise TypeError(f"{type(self).__name__}.__init__() got {what} that Module does not take")
        fields = self.__dict__
        fields["training"] = True
        for name in _LISTS:
            fields[name] = {}
        fields["_non_persistent_buffers_set"] = set()
        for name in HOOKS:
            fields[name] = OrderedDict()
        fields["_hooked"] = False  # whether a call has to look for hooks at all

    # Calls.

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        try:
            hooked = self._hooked
        except AttributeError:
            raise AttributeError(f"{type(self).__name__}: cannot be called before Module.__init__() call") from None
        return self._call_with_hooks(args, kwargs) if hooked else self.forward(*args, **kwargs)

    def _call_with_hooks(self, args: tuple, kwargs: dict) -> Any:
        for hook, with_kwargs, _ in list(self._forward_pre_hooks.values()):
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
        around = None
        if self._backward_hooks or self._backward_pre_hooks:
            around = BackwardHooks(self, list(self._backward_hooks.values()), list(self._backward_pre_hooks.values()))
            args = around.inputs(args)
        done = False
        result = None
        try:
            result = self.forward(*args, **kwargs)
            done = True
        finally:
            for hook, with_kwargs, always in list(self._forward_hooks.values()):
                if done or always:
                    found = hook(self, args, kwargs, result) if with_kwargs else hook(self, args, result)
                    result = result if found is None else found
        return around.outputs(result) if around is not None else result

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
            fields["_modules"][name] = value
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
            self.register_buffer(name, value, value.persistent)
            return
        buffers = fields.get("_buffers")
        if buffers is not None and name in buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"cannot assign '{type_text(value)}' as buffer '{name}' (torch.nn.Buffer, torch.Tensor "
                                "or None expected)")
            buffers[name] = value
            return
        object.__setattr__(self, name, value)

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

    # Parameters, buffers, children.

    def _check_name(self, kind: str, name: str, own: dict) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type_text(name)}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."' + (f", got: {name}" if kind == "module" else ""))
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in own:
            raise KeyError(f"attribute '{name}' already exists")

    def register_parameter(self, name: str, param: Any) -> None:
        """Adds a parameter, or None as the place of one, under a name without dots.

        Raises:
            KeyError: the name is taken, empty or holds a dot.
            TypeError: ``param`` is not a Parameter.
            ValueError: it is the result of an operation.
        """
        if "_parameters" not in self.__dict__:
            raise AttributeError("cannot assign parameter before Module.__init__() call")
        self._check_name("parameter", name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"cannot assign '{type_text(param)}' object to parameter '{name}' (torch.nn.Parameter or "
                            "None required)")
        if param is not None and param.grad_fn is not None:
            raise ValueError(f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created "
                             f"explicitly. To express '{name}' as a function of another Tensor, compute the value in "
                             "the forward() method.")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Adds a tensor that is state but not trained, or None as the place of one."""
        if "_buffers" not in self.__dict__:
            raise AttributeError("cannot assign buffer before Module.__init__() call")
        self._check_name("buffer", name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"cannot assign '{type_text(tensor)}' object to buffer '{name}' (torch Tensor or None "
                            "required)")
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def add_module(self, name: str, module: Any) -> None:
        """Adds a child, or None as the place of one, under a name without dots."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type_text(module)} is not a Module subclass")
        self._check_name("module", name, self._modules)
        self._modules[name] = module

    register_module = add_module

    def named_modules(self, memo: set | None = None, prefix: str = "",
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Any]]:
        """(dotted name, module) of this module and all below it, each module once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Any]:
        """This module and all below it."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Any]]:
        """(name, module) of the children, each once."""
        seen = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Any]:
        """The modules directly below this one."""
        for _, child in self.named_children():
            yield child

    def _named(self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool) -> Iterator[tuple[str, Any]]:
        seen = set()
        modules = (self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse
                   else [(prefix, self)])
        for above, module in modules:
            for name, value in module.__dict__[kind].items():
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield f"{above}.{name}" if above else name, value

    def named_parameters(self, prefix: str = "", recurse: bool = True,
                         remove_duplicate: bool = True) -> Iterator[tuple[str, Any]]:
        """(dotted name, parameter) of this module and those below it, each parameter once."""
        yield from self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """The parameters of this module and those below it."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(self, prefix: str = "", recurse: bool = True,
                      remove_duplicate: bool = True) -> Iterator[tuple[str, Any]]:
        """(dotted name, buffer) of this module and those below it, each buffer once."""
        yield from self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """The buffers of this module and those below it."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def get_submodule(self, target: str) -> Any:
        """The module of a dotted name; AttributeError where there is none. An empty name is this module."""
        found = self
        for name in target.split(".") if target else ():
            if not hasattr(found, name):
                raise AttributeError(f"{type(found).__name__} has no attribute `{name}`")
            found = getattr(found, name)
            if not isinstance(found, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return found

    def _member(self, target: str, kind: str, what: str) -> Any:
        above, _, name = target.rpartition(".")
        module = self.get_submodule(above)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        if name not in module.__dict__[kind]:
            raise AttributeError(f"`{name}` is not {what}")
        return module.__dict__[kind][name]

    def get_parameter(self, target: str) -> Any:
        """The parameter of a dotted name; AttributeError where there is none."""
        return self._member(target, "_parameters", "an nn.Parameter")

    def get_buffer(self, target: str) -> Any:
        """The buffer of a dotted name; AttributeError where there is none."""
        return self._member(target, "_buffers", "a buffer")

    # State.

    def _has_extra_state(self) -> bool:
        return type(self).get_extra_state is not Module.get_extra_state

    def get_extra_state(self) -> Any:
        """What a subclass wants to have in its state besides tensors."""
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never be called.")

    def set_extra_state(self, state: Any) -> None:
        """Takes back what :meth:`get_extra_state` gave."""
        raise RuntimeError("Reached a code path in Module.set_extra_state() that should never be called.")

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """An ordered dict of dotted names and tensors: parameters and persistent buffers, sharing their memory."""
        for name, value in zip(("destination", "prefix", "keep_vars"), args, strict=False):
            destination = value if name == "destination" else destination
            prefix = value if name == "prefix" else prefix
            keep_vars = value if name == "keep_vars" else keep_vars
        destination = state.empty_state() if destination is None else destination
        for hook in list(self._state_dict_pre_hooks.values()):
            hook(self, prefix, keep_vars)
        state.save_own(self, destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in list(self._state_dict_hooks.values()):
            destination = hook(self, destination, prefix, {}) or destination
        return destination

    def load_state_dict(self, state_dict: Mapping, strict: bool = True, assign: bool = False) -> Any:
        """Copies tensors into the parameters and buffers of the same names.

        Args:
            state_dict: names and tensors; arrays are taken too.
            strict: whether names that are missing or too many are an error. Default: True.
            assign: take the given tensors themselves, with their dtype and device.

        Returns:
            The missing and the unexpected names.

        Raises:
            RuntimeError: names or shapes do not agree; the message lists all of them. What agreed is loaded.
            TypeError: ``state_dict`` is not a mapping.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        loading = state.Loading(OrderedDict(state_dict), assign)
        loading.run(self, "", strict)
        loading.raise_errors(self, strict)
        return state.IncompatibleKeys(loading.missing, loading.unexpected)

    # Everything below this module at once.

    def _apply(self, fn: Callable, recurse: bool = True) -> Any:
        """Replaces the memory of all parameters, their gradients and the buffers by ``fn`` of it."""
        if recurse:
            for child in self.children():
                child._apply(fn)
        for parameter in self._parameters.values():
            if parameter is None:
                continue
            with no_grad():
                parameter.data = fn(parameter.data)
                if parameter.grad is not None:
                    parameter.grad = fn(parameter.grad)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                with no_grad():
                    self._buffers[name] = fn(buffer)
        return self

    def apply(self, fn: Callable) -> Any:
        """Calls ``fn`` with every module, children first; returns this module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Moves parameters and buffers to a device, and converts those of floating point to a dtype, in place.

        ``to(device)``, ``to(dtype)``, ``to(device, dtype)``, ``to(tensor)``, or the same as keywords.
        """
        place, kind = kwargs.pop("device", None), kwargs.pop("dtype", None)
        for name in ("non_blocking", "memory_format", "copy"):
            kwargs.pop(name, None)
        if kwargs:
            raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
        for argument in args:
            if isinstance(argument, Dtype):
                kind = argument
            elif isinstance(argument, Tensor):
                place, kind = argument.device, argument.dtype
            elif isinstance(argument, (str, int, Device)) and not isinstance(argument, bool):
                place = argument
            elif argument is not None and not isinstance(argument, bool):
                raise TypeError(f"to() received an invalid argument of type {type(argument).__name__}")
        if kind is not None and not kind.is_floating_point:
            raise TypeError(f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={kind}")
        place = None if place is None else Device(place)

        def convert(t: Any) -> Any:
            return t.to(device=place, dtype=kind if kind is not None and t.is_floating_point() else None)
        return self._apply(convert)

    def cpu(self) -> Any:
        """Moves parameters and buffers to host memory."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device: Any = None) -> Any:
        """Moves parameters and buffers to an OpenCL GPU."""
        return self._apply(lambda t: t.cuda(device))

    def type(self, dst_type: Any) -> Any:
        """Converts all parameters and buffers to a dtype."""
        return self._apply(lambda t: t.type(dst_type))

    def _to_float(self, kind: Dtype) -> Any:
        return self._apply(lambda t: t.to(kind) if t.is_floating_point() else t)

    def float(self) -> Any:
        """Converts floating-point parameters and buffers to float32."""
        return self._to_float(dtypes.float32)

    def double(self) -> Any:
        """Converts floating-point parameters and buffers to float64."""
        return self._to_float(dtypes.float64)

    def half(self) -> Any:
        """Converts floating-point parameters and buffers to float16."""
        return self._to_float(dtypes.float16)

    def bfloat16(self) -> Any:
        """Converts floating-point parameters and buffers to bfloat16."""
        return self._to_float(dtypes.bfloat16)

    def train(self, mode: bool = True) -> Any:
        """Switches training behaviour (dropout, running statistics) on or off, here and below."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Any:
        """The same as ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Sets ``requires_grad`` of all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters, or sets them to zero."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                if set_to_none:
                    parameter.grad = None
                else:
                    parameter.grad = parameter.grad.detach()
                    parameter.grad.zero_()

    def share_memory(self) -> Any:
        """Does nothing: tensors reach other processes by being copied."""
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: kernels are compiled as they are needed."""

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
