"""``Optimizer``: parameter groups, state, and what all optimizers do alike."""

from __future__ import annotations

import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from copy import deepcopy
from functools import wraps
from typing import Any

from clgrad.autograd import enable_grad, set_grad_enabled
from clgrad.autograd.handles import RemovableHandle, add_hook
from clgrad.autograd.listening import observed, switch
from clgrad.tensor import Tensor


class _Required:
    """Marks a setting that every parameter group has to give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()
_HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks", "_optimizer_state_dict_pre_hooks",
          "_optimizer_state_dict_post_hooks", "_optimizer_load_state_dict_pre_hooks",
          "_optimizer_load_state_dict_post_hooks")
_global_pre_hooks: OrderedDict = OrderedDict()
_global_post_hooks: OrderedDict = OrderedDict()


class Optimizer:
    """Base class of optimizers.

    Args:
        params: tensors, (name, tensor) pairs, or dicts with the key "params" and settings of their own.
        defaults: settings for groups that do not give them.

    Attributes:
        param_groups: a list of dicts: "params" and settings, which may be changed at any time.
        state: for each parameter a dict of what the optimizer remembers of it.

    A subclass defines ``_update(group)``, or ``step`` as a whole.
    """

    COUNTERS: tuple[str, ...] = ("step",)  # entries of a parameter's state that are numbers
    _optimizer_step_pre_hooks: OrderedDict
    _optimizer_step_post_hooks: OrderedDict
    _optimizer_state_dict_pre_hooks: OrderedDict
    _optimizer_state_dict_post_hooks: OrderedDict
    _optimizer_load_state_dict_pre_hooks: OrderedDict
    _optimizer_load_state_dict_post_hooks: OrderedDict

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]):
        self.defaults = defaults
        self.state: dict[Any, dict] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._without_hooks()
        if isinstance(params, Tensor):
            raise TypeError("params argument given to the optimizer should be an iterable of Tensors or dicts, but got "
                            f"{params.type()}")
        groups = list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    # Groups.

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group: "params" (a tensor or several), and settings that differ from the defaults.

        Raises:
            TypeError: not a dict, or something in it is not a tensor.
            ValueError: a tensor that is not a leaf, or is in a group already; a required setting is missing.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError("optimizer parameters need to be organized in ordered collections, but the ordering of "
                            "tensors in sets will change between runs. Please use a list instead.")
        params = list(params)
        names = [p[0] for p in params if isinstance(p, tuple)]
        if names and len(names) != len(params):
            raise ValueError("all optimizer params should be with/without names. Some param names are missing")
        tensors = [p[1] for p in params] if names else params
        param_group["params"] = tensors
        if names:
            param_group["param_names"] = names
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError("optimizer can only optimize Tensors, but one of the params is "
                                f"{type(tensor).__name__}")
            if not self.defaults.get("differentiable") and not (tensor.is_leaf or tensor.retains_grad):
                raise ValueError("can't optimize a non-leaf Tensor")
        for name, default in self.defaults.items():
            if default is required and name not in param_group:
                raise ValueError(f"parameter group didn't specify a value of required optimization parameter {name}")
            param_group.setdefault(name, default)
        ids = [id(t) for t in tensors]
        if len(set(ids)) != len(ids):
            warnings.warn("optimizer contains a parameter group with duplicate parameters; in future, this will cause "
                          "an error", stacklevel=3)
        if any(("param_names" in group) != bool(names) for group in self.param_groups):
            raise ValueError("all optimizer param groups should be with/without names. cannot add param group "
                             f"{'with' if names else 'without'} names to the optimizer")
        taken = {id(t) for group in self.param_groups for t in group["params"]}
        if not taken.isdisjoint(ids):
            raise ValueError("some parameters appear in more than one parameter group")
        self.param_groups.append(param_group)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters, or sets them to zero."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if set_to_none:
                    parameter._grad = None
                elif parameter.grad is not None:
                    parameter.grad = parameter.grad.detach()
                    parameter.grad.zero_()

    # Steps.

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def _update(self, group: dict[str, Any]) -> None:
        raise NotImplementedError

    def step(self, closure: Callable | None = None) -> Any:
        """Changes the parameters once, by their gradients.

        Args:
            closure: computes the loss anew, with its gradients, and returns it.

        Returns:
            What ``closure`` returned, or None.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with set_grad_enabled(bool(self.defaults.get("differentiable"))):
            for group in self.param_groups:
                self._update(group)
        return loss

    # Hooks.

    def _without_hooks(self) -> None:
        for name in _HOOKS:
            setattr(self, name, OrderedDict())

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(optimizer, args, kwargs)`` before each step; it may return new (args, kwargs)."""
        return _registered(self._optimizer_step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(optimizer, args, kwargs)`` after each step."""
        return _registered(self._optimizer_step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(optimizer)`` before :meth:`state_dict`; with ``prepend`` before other hooks."""
        return _registered(self._optimizer_state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(optimizer, state_dict)`` after :meth:`state_dict`; what it returns, if anything, replaces it."""
        return _registered(self._optimizer_state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(optimizer, state_dict)`` before loading; what it returns, if anything, is loaded instead."""
        return _registered(self._optimizer_load_state_dict_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable, prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(optimizer)`` after loading."""
        return _registered(self._optimizer_load_state_dict_post_hooks, hook, prepend)

    # State.

    def state_dict(self) -> dict[str, Any]:
        """State and groups with numbers in place of the parameters, in PyTorch's form."""
        for hook in list(self._optimizer_state_dict_pre_hooks.values()):
            hook(self)
        numbers: dict[int, int] = {}
        groups = []
        for group in self.param_groups:
            for parameter in group["params"]:
                numbers.setdefault(id(parameter), len(numbers))
            packed = {name: value for name, value in group.items() if name != "params"}
            packed["params"] = [numbers[id(parameter)] for parameter in group["params"]]
            groups.append(packed)
        state = {numbers[id(key)] if isinstance(key, Tensor) else key: self._saved(value)
                 for key, value in self.state.items()}
        packed_state = {"state": state, "param_groups": groups}
        for hook in list(self._optimizer_state_dict_post_hooks.values()):
            replaced = hook(self, packed_state)
            packed_state = packed_state if replaced is None else replaced
        return packed_state

    @staticmethod
    def _saved(value: Any) -> Any:
        """A parameter's state; the tensor that counts steps, which parameters share, as one of its own."""
        if isinstance(value, dict) and isinstance(value.get("step"), Tensor):
            return {**value, "step": value["step"].detach().clone()}
        return dict(value) if isinstance(value, dict) else value

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes over what :meth:`state_dict` gave, also PyTorch's; tensors get their parameter's dtype and device.

        Raises:
            ValueError: groups or their sizes do not agree.
        """
        state_dict = dict(state_dict)
        for hook in list(self._optimizer_load_state_dict_pre_hooks.values()):
            replaced = hook(self, state_dict)
            state_dict = state_dict if replaced is None else replaced
        own, saved = self.param_groups, deepcopy(list(state_dict["param_groups"]))
        if len(own) != len(saved):
            raise ValueError("loaded state dict has a different number of parameter groups")
        if any(len(a["params"]) != len(b["params"]) for a, b in zip(own, saved, strict=True)):
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's "
                             "group")
        by_number = {number: parameter for a, b in zip(own, saved, strict=True)
                     for number, parameter in zip(b["params"], a["params"], strict=True)}
        state: dict[Any, dict] = defaultdict(dict)
        for number, value in state_dict["state"].items():
            parameter = by_number.get(number)
            if parameter is None:
                state[number] = value
            else:
                state[parameter] = _fitted(parameter, value, self.COUNTERS)
        groups = []
        for a, b in zip(own, saved, strict=True):
            b["params"] = a["params"]
            if "param_names" in a:
                b.setdefault("param_names", a["param_names"])
            groups.append({**{name: value for name, value in self.defaults.items() if value is not required}, **b})
        self.__setstate__({"state": state, "param_groups": groups})
        for hook in list(self._optimizer_load_state_dict_post_hooks.values()):
            hook(self)

    def __setstate__(self, fields: dict[str, Any]) -> None:
        if _HOOKS[0] not in self.__dict__:
            self._without_hooks()
        self.__dict__.update(fields)

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name != "params"]
            lines.append("")
        return "\n".join(lines)[:-1] + "\n)"


def _with_hooks(step: Callable) -> Callable:
    """A step that calls the hooks of all optimizers and its own around itself, and tells schedules that it happened."""
    if getattr(step, "hooked", False):
        return step

    @wraps(step)
    def hooked(*args: Any, **kwargs: Any) -> Any:
        self = args[0]
        # One around another optimizer, which has not called Optimizer.__init__: the inner one's step has the hooks.
        if "_optimizer_step_pre_hooks" not in self.__dict__:
            return step(*args, **kwargs)
        for hook in (*_global_pre_hooks.values(), *self._optimizer_step_pre_hooks.values()):
            changed = hook(self, args, kwargs)
            if changed is not None:
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(f"{step} must return None or a tuple of (new_args, new_kwargs), but got "
                                       f"{changed}.")
                args, kwargs = changed
        with observed(f"Optimizer.step#{type(self).__name__}.step") if switch.observers else nullcontext():
            result = step(*args, **kwargs)
        if "_opt_called" in self.__dict__:
            self._opt_called = True
        for hook in (*self._optimizer_step_post_hooks.values(), *_global_post_hooks.values()):
            hook(self, args, kwargs)
        return result
    hooked.hooked = True  # type: ignore[attr-defined]
    return hooked


Optimizer.step = _with_hooks(Optimizer.step)  # type: ignore[method-assign]


def _registered(hooks: OrderedDict, hook: Callable, prepend: bool = False) -> RemovableHandle:
    handle = add_hook(hooks, hook)
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def register_optimizer_step_pre_hook(hook: Callable) -> RemovableHandle:
    """Calls ``hook(optimizer, args, kwargs)`` before each step of every optimizer."""
    return _registered(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable) -> RemovableHandle:
    """Calls ``hook(optimizer, args, kwargs)`` after each step of every optimizer."""
    return _registered(_global_post_hooks, hook)


def _fitted(parameter: Any, value: Any, counters: tuple[str, ...], name: Any = None) -> Any:
    """A loaded state with the dtype and device of its parameter, in memory of its own; counters stay on the host."""
    if isinstance(value, Mapping):
        return {key: _fitted(parameter, entry, counters, key) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)([_fitted(parameter, entry, counters) for entry in value])
    if not isinstance(value, Tensor):
        return deepcopy(value)
    if name in counters:
        return value.detach().cpu().float().clone()
    kind = parameter.dtype if parameter.is_floating_point() else value.dtype
    return value.detach().to(device=parameter.device, dtype=kind, copy=True)
