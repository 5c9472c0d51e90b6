"""``Optimizer``: parameter groups, state, and what all optimizers do alike."""

from __future__ import annotations

import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from typing import Any

from clgrad.autograd import enable_grad, no_grad
from clgrad.autograd.graph import RemovableHandle
from clgrad.ops import optimizer_step
from clgrad.tensor import Tensor


class _Required:
    """Marks a setting that every parameter group has to give."""

    def __repr__(self) -> str:
        return "<required parameter>"


required = _Required()


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

    def __init__(self, params: Iterable[Any], defaults: dict[str, Any]):
        self.defaults = defaults
        self.state: dict[Any, dict] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._pre_hooks: OrderedDict = OrderedDict()
        self._post_hooks: OrderedDict = OrderedDict()
        self._counters: dict[int, tuple] = {}
        self._step_count = 0
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
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is "
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
                          "an "
                          "error", stacklevel=3)
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

    def step(self, closure: Callable | None = None) -> Any:
        """Changes the parameters once, by their gradients.

        Args:
            closure: computes the loss anew, with its gradients, and returns it.

        Returns:
            What ``closure`` returned, or None.
        """
        for hook in list(self._pre_hooks.values()):
            hook(self, (closure,), {})
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with no_grad():
            for group in self.param_groups:
                self._update(group)
        self._step_count += 1
        for hook in list(self._post_hooks.values()):
            hook(self, (closure,), {})
        return loss

    def _update(self, group: dict[str, Any]) -> None:
        raise NotImplementedError

    def _counted(self, group: dict[str, Any], states: list[dict]) -> list[tuple[int, list[int]]]:
        """Adds 1 to the steps of all states; (steps, which states have made so many) for each number that occurs.

        Parameters that began together share one tensor, which is replaced each time.
        """
        first = states[0]["step"]
        known = self._counters.get(id(group))
        if all(state["step"] is first for state in states):
            if known is not None and known[0] is first and not first.memory.version:
                count = known[1]
            else:
                count = _number(first)
            fresh = optimizer_step.counter(count + 1)
            self._counters[id(group)] = (fresh, count + 1)
            for state in states:
                state["step"] = fresh
            return [(count + 1, list(range(len(states))))]
        cohorts: dict[int, list[int]] = {}
        for place, state in enumerate(states):
            cohorts.setdefault(_number(state["step"]) + 1, []).append(place)
        for count, places in cohorts.items():
            fresh = optimizer_step.counter(count)
            for place in places:
                states[place]["step"] = fresh
        return list(cohorts.items())

    def register_step_pre_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(optimizer, args, kwargs)`` before each step."""
        return RemovableHandle(self._pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(optimizer, args, kwargs)`` after each step."""
        return RemovableHandle(self._post_hooks, hook)

    # State.

    def state_dict(self) -> dict[str, Any]:
        """State and groups with numbers in place of the parameters, in PyTorch's form."""
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
        return {"state": state, "param_groups": groups}

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
                state[parameter] = _fitted(parameter, value)
        groups = []
        for a, b in zip(own, saved, strict=True):
            b["params"] = a["params"]
            if "param_names" in a:
                b["param_names"] = a["param_names"]
            groups.append({**{name: value for name, value in self.defaults.items() if value is not required}, **b})
        self.__setstate__({"state": state, "param_groups": groups})

    def __setstate__(self, fields: dict[str, Any]) -> None:
        self.__dict__.update(fields)
        self.__dict__.setdefault("_pre_hooks", OrderedDict())
        self.__dict__.setdefault("_post_hooks", OrderedDict())
        self.__dict__.setdefault("_step_count", 0)
        self._counters = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for number, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {number}")
            lines += [f"    {name}: {group[name]}" for name in sorted(group) if name not in ("params", "param_names")]
            lines.append("")
        return "\n".join(lines)[:-1] + "\n)"


def _number(step: Any) -> int:
    return int(step.item() if isinstance(step, Tensor) else step)


def _fitted(parameter: Any, value: Any) -> Any:
    """A loaded state with the dtype and device of its parameter, in memory of its own."""
    if not isinstance(value, Mapping):
        return value
    fitted = {}
    for name, entry in value.items():
        if not isinstance(entry, Tensor):
            fitted[name] = deepcopy(entry)
        elif name == "step":
            fitted[name] = entry.detach().cpu().float().clone()
        else:
            kind = parameter.dtype if parameter.is_floating_point() else entry.dtype
            fitted[name] = entry.detach().to(device=parameter.device, dtype=kind, copy=True)
    return fitted


def check(name: str, value: float, fits: bool) -> None:
    """ValueError for a setting that is out of its range."""
    if not fits:
        raise ValueError(f"Invalid {name}: {value}")
