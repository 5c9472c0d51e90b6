"""``state_dict`` and ``load_state_dict``: a module's parameters and persistent buffers by name, and back."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from clgrad.autograd import no_grad
from clgrad.creation import tensor
from clgrad.nn.modules.members import Members
from clgrad.nn.parameter import Parameter, is_lazy
from clgrad.tensor import Tensor

_EXTRA_STATE_KEY_SUFFIX = "_extra_state"


class _IncompatibleKeys(NamedTuple):
    """What ``load_state_dict`` returns: names that the state lacks, and names that the module lacks."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Stateful(Members):
    """The part of a Module that gives and takes its state."""

    _version: int
    _state_dict_hooks: dict
    _state_dict_pre_hooks: dict
    _load_state_dict_pre_hooks: dict
    _load_state_dict_post_hooks: dict

    def get_extra_state(self) -> Any:
        """What a subclass wants to have in its state besides tensors."""
        raise RuntimeError("Reached a code path in Module.get_extra_state() that should never be called.")

    def set_extra_state(self, state: Any) -> None:
        """Takes back what :meth:`get_extra_state` gave."""
        raise RuntimeError("Reached a code path in Module.set_extra_state() that should never be called.")

    def _has_extra_state(self) -> bool:
        return type(self).get_extra_state is not Stateful.get_extra_state

    def _own_state(self) -> list[tuple[str, Any]]:
        """Names and tensors of the module's own parameters and persistent buffers, without its children's."""
        found = [(name, value) for name, value in self._parameters.items() if value is not None]
        return found + [(name, value) for name, value in self._buffers.items()
                        if value is not None and name not in self._non_persistent_buffers_set]

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        """Puts the module's own state into ``destination``, detached unless ``keep_vars``."""
        for name, value in self._own_state():
            destination[prefix + name] = value if keep_vars or is_lazy(value) else value.detach()
        if self._has_extra_state():
            destination[prefix + _EXTRA_STATE_KEY_SUFFIX] = self.get_extra_state()

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False) -> Any:
        """An ordered dict of dotted names and tensors: parameters and persistent buffers, sharing their memory."""
        for name, value in zip(("destination", "prefix", "keep_vars"), args, strict=False):
            destination = value if name == "destination" else destination
            prefix = value if name == "prefix" else prefix
            keep_vars = value if name == "keep_vars" else keep_vars
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        local = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local
        for hook in list(self._state_dict_pre_hooks.values()):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(destination=destination, prefix=f"{prefix}{name}.", keep_vars=keep_vars)
        for hook in list(self._state_dict_hooks.values()):
            found = hook(self, destination, prefix, local)
            if found is not None:
                if getattr(hook, "_from_public_api", False):
                    raise RuntimeError("state_dict post-hook must return None")
                destination = found
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
        loading = _Loading(OrderedDict(state_dict), getattr(state_dict, "_metadata", None) or {}, assign)
        loading.run(self, "", loading.state)
        loading.raise_errors(self, strict)
        return _IncompatibleKeys(loading.missing, loading.unexpected)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict, strict: bool,
                              missing_keys: list, unexpected_keys: list, error_msgs: list) -> None:
        """Takes the module's own tensors out of ``state_dict``, and adds to the lists what was wrong."""
        for hook in list(self._load_state_dict_pre_hooks.values()):
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        own = self._own_state()
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, target in own:
            key = prefix + name
            if key in state_dict:
                problem = _load_one(self, name, key, target, state_dict[key], assign)
                if problem:
                    error_msgs.append(problem)
            elif strict:
                missing_keys.append(key)
        extra = prefix + _EXTRA_STATE_KEY_SUFFIX
        has_extra = type(self).set_extra_state is not Stateful.set_extra_state
        if has_extra:
            if extra in state_dict:
                self.set_extra_state(state_dict[extra])
            elif strict:
                missing_keys.append(extra)
        if strict:
            unexpected_keys.extend(self._unexpected(state_dict, prefix, {name for name, _ in own}, has_extra))

    def _unexpected(self, state: Mapping, prefix: str, own: set[str], has_extra: bool) -> list[str]:
        found = []
        for key in state:
            if not key.startswith(prefix) or (key == prefix + _EXTRA_STATE_KEY_SUFFIX and has_extra):
                continue
            first, dot, _ = key[len(prefix):].partition(".")
            if dot and self._modules.get(first) is not None:
                continue
            if dot or first not in own:
                found.append(key)
        return found


class _Loading:
    """One call of ``load_state_dict``: what was found to be wrong, over all modules."""

    def __init__(self, state: dict, metadata: Mapping, assign: bool):
        self.state, self.metadata, self.assign = state, metadata, assign
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.errors: list[str] = []

    def run(self, module: Any, prefix: str, state: dict) -> None:
        """Loads a module, then its children."""
        local = dict(self.metadata.get(prefix[:-1], {}))
        if self.assign:
            local["assign_to_params_buffers"] = True
        module._load_from_state_dict(state, prefix, local, True, self.missing, self.unexpected, self.errors)
        for name, child in module._modules.items():
            if child is not None:
                below = f"{prefix}{name}."
                self.run(child, below, {key: value for key, value in state.items() if key.startswith(below)})
        incompatible = _IncompatibleKeys(self.missing, self.unexpected)
        for hook in list(module._load_state_dict_post_hooks.values()):
            if hook(module, incompatible) is not None:
                raise RuntimeError("Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return "
                                   "new values, if incompatible_keys need to be modified, it should be done inplace.")

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


def _load_one(module: Any, name: str, key: str, target: Any, value: Any, assign: bool) -> str | None:
    """Loads one tensor; the text of what is wrong, if something is."""
    given = _as_tensor(value)
    if given is None:
        return (f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object from checkpoint '
                f"but received {type(value)}")
    if is_lazy(target) or is_lazy(given):
        if not assign and is_lazy(target) and not is_lazy(given):
            target.materialize(given.shape)
        elif not is_lazy(target):
            return f'While copying the parameter named "{key}": there is no shape of an uninitialized tensor'
        else:
            return None
    if not target.ndim and tuple(given.shape) == (1,):
        given = given[0]  # files from before 0-d tensors
    if given.shape != target.shape:
        return (f"size mismatch for {key}: copying a param with shape {given.shape} from checkpoint, the shape in current "
                f"model is {target.shape}.")
    try:
        if assign:
            _assign(module, name, target, given)
        else:
            if target.is_meta and not given.is_meta:
                warnings.warn(f"for {key}: copying from a non-meta parameter in the checkpoint to a meta parameter in the "
                              "current model, which is a no-op. (Did you mean to pass `assign=True` to assign items in the "
                              "state dictionary to their corresponding key in the module instead of copying them in place?)",
                              UserWarning, stacklevel=2)
            with no_grad():
                target.copy_(given)
    except Exception as error:
        return (f'While copying the parameter named "{key}", whose dimensions in the model are {target.shape} and whose '
                f"dimensions in the checkpoint are {given.shape}, an exception occurred : {error.args}.")
    return None


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
