"""``state_dict`` and ``load_state_dict``: a module's parameters and persistent buffers by name, and back."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from clgrad.autograd import no_grad
from clgrad.creation import tensor
from clgrad.nn.parameter import Parameter
from clgrad.tensor import Tensor

EXTRA_STATE = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """What ``load_state_dict`` returns: names that the state lacks, and names that the module lacks."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def own_state(module: Any) -> list[tuple[str, Any]]:
    """Names and tensors of a module's own parameters and persistent buffers, without its children's."""
    found = [(name, value) for name, value in module._parameters.items() if value is not None]
    return found + [(name, value) for name, value in module._buffers.items()
                    if value is not None and name not in module._non_persistent_buffers_set]


def save_own(module: Any, destination: dict, prefix: str, keep_vars: bool) -> None:
    """Puts a module's own state into ``destination``, detached unless ``keep_vars``."""
    for name, value in own_state(module):
        destination[prefix + name] = value if keep_vars else value.detach()
    if module._has_extra_state():
        destination[prefix + EXTRA_STATE] = module.get_extra_state()


class Loading:
    """One call of ``load_state_dict``: what was found to be wrong, over all modules."""

    def __init__(self, state: Mapping, assign: bool):
        self.state, self.assign = state, assign
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.errors: list[str] = []

    def run(self, module: Any, prefix: str, strict: bool) -> None:
        """Loads a module, then its children."""
        arguments: tuple = (self.state, prefix, {}, strict, self.missing, self.unexpected, self.errors)
        for hook in list(module._load_state_dict_pre_hooks.values()):
            hook(module, *arguments)
        self._own(module, prefix, strict)
        for name, child in module._modules.items():
            if child is not None:
                self.run(child, f"{prefix}{name}.", strict)
        incompatible = IncompatibleKeys(self.missing, self.unexpected)
        for hook in list(module._load_state_dict_post_hooks.values()):
            hook(module, incompatible)

    def _own(self, module: Any, prefix: str, strict: bool) -> None:
        own = own_state(module)
        for name, target in own:
            key = prefix + name
            if key in self.state:
                self._one(module, name, key, target, self.state[key])
            elif strict:
                self.missing.append(key)
        extra = prefix + EXTRA_STATE
        has_extra = module._has_extra_state()
        if has_extra:
            if extra in self.state:
                module.set_extra_state(self.state[extra])
            elif strict:
                self.missing.append(extra)
        if strict:
            self._unexpected(module, prefix, {name for name, _ in own}, has_extra)

    def _unexpected(self, module: Any, prefix: str, own: set[str], has_extra: bool) -> None:
        for key in self.state:
            if not key.startswith(prefix) or (key == prefix + EXTRA_STATE and has_extra):
                continue
            first, dot, _ = key[len(prefix):].partition(".")
            if dot and module._modules.get(first) is not None:
                continue
            if dot or first not in own:
                self.unexpected.append(key)

    def _one(self, module: Any, name: str, key: str, target: Any, value: Any) -> None:
        given = _as_tensor(value)
        if given is None:
            self.errors.append(f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like '
                               'object '
                               f"from checkpoint but received {type(value)}")
            return
        if not target.ndim and tuple(given.shape) == (1,):
            given = given[0]  # files from before 0-d tensors
        if given.shape != target.shape:
            self.errors.append(f"size mismatch for {key}: copying a param with shape {given.shape} from checkpoint, "
                               f"the shape in current model is {target.shape}.")
            return
        try:
            if self.assign:
                _assign(module, name, target, given)
            else:
                with no_grad():
                    target.copy_(given)
        except Exception as error:
            self.errors.append(f'While copying the parameter named "{key}", whose dimensions in the model are '
                               f"{target.shape} and whose dimensions in the checkpoint are {given.shape}, an exception "
                               f"occurred : {error.args}.")

    def raise_errors(self, module: Any, strict: bool) -> None:
        """RuntimeError that lists everything that was wrong."""
        errors = list(self.errors)
        if strict:
            for title, keys in (("Unexpected", self.unexpected), ("Missing", self.missing)):
                if keys:
                    listed = ", ".join(f'"{key}"' for key in keys)
                    errors.insert(0, f"{title} key(s) in state_dict: {listed}. ")
        if errors:
            raise RuntimeError("Error(s) in loading state_dict for {}:\n\t{}".format(
                type(module).__name__, "\n\t".join(errors)))


def _as_tensor(value: Any) -> Any:
    """A value of a state as a tensor: arrays, also those of other libraries, are copied. None for anything else."""
    if isinstance(value, Tensor):
        return value
    return tensor(np.array(value)) if hasattr(value, "__array__") else None


def _assign(module: Any, name: str, target: Any, given: Any) -> None:
    """Makes the given tensor itself the module's, with the old one's ``requires_grad``."""
    if isinstance(target, Parameter):
        if not isinstance(given, Parameter):
            given = Parameter(given, requires_grad=target.requires_grad)
        else:
            given.requires_grad_(target.requires_grad)
    setattr(module, name, given)


def empty_state() -> dict:
    """What ``state_dict`` fills."""
    return OrderedDict()
