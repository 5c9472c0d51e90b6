"""Parameters and buffers as functions of other tensors, which are what is trained and saved.

A parametrized module belongs to a subclass of its class, made for it alone, in which the tensor's name is a property:
reading it computes the tensor, assigning to it goes through the ``right_inverse`` of the parametrizations.
"""

from __future__ import annotations

import copy
import copyreg
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from clgrad.autograd import no_grad
from clgrad.nn.modules.container import ModuleDict, ModuleList
from clgrad.nn.modules.module import Module
from clgrad.nn.parameter import Parameter
from clgrad.tensor import Tensor

__all__ = ["ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
           "transfer_parametrizations_and_params", "type_before_parametrizations"]


class _Cache:
    """What has been computed inside :func:`cached`, by module and name."""

    depth = 0
    tensors: dict[tuple[int, str], Any] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Inside of this context a parametrized tensor is computed when it is first read, and kept until the end."""
    _Cache.depth += 1
    try:
        yield
    finally:
        _Cache.depth -= 1
        if not _Cache.depth:
            _Cache.tensors = {}


def _register(module: Module, name: str, value: Any) -> None:
    if isinstance(value, Parameter):
        module.register_parameter(name, value)
    else:
        module.register_buffer(name, value)


def _replace(tensor: Any, source: Any) -> None:
    """Makes ``tensor`` stand on the memory of ``source``."""
    if source is not tensor:
        with no_grad():
            tensor.set_(source)


def _check_kept(result: Any, dtype: Any, shape: Any) -> None:
    """A parametrization that is not unsafe keeps dtype and shape."""
    if not isinstance(result, Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(result).__name__}.")
    for what, old, new in (("dtype", dtype, result.dtype), ("shape", shape, result.shape)):
        if old != new:
            raise ValueError(f"Registering a parametrization may not change the {what} of the tensor, unless `unsafe` "
                             f"flag is enabled.\nunparametrized {what}: {old}\nparametrized {what}: {new}")


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in the order in which they are applied, and what they are applied to.

    That is the parameter or buffer ``original``; or ``original0``, ``original1``, ... where the ``right_inverse`` of the
    first parametrization returns a sequence. :func:`register_parametrization` makes these lists.

    Args:
        modules: the parametrizations.
        original: the tensor.
        unsafe: whether dtype and shape of the tensor may change. Default: False.

    Raises:
        ValueError: no parametrization; a ``right_inverse`` that returns something else than tensors, or one of another
            dtype or device; a changed dtype or shape.
    """

    def __init__(self, modules: Sequence[Module], original: Any, unsafe: bool = False):
        if not len(modules):
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        dtype, shape = original.dtype, original.shape
        value = original
        with no_grad():
            for module in reversed(list(self)):
                if hasattr(module, "right_inverse"):
                    with suppress(NotImplementedError):  # without one, the identity is assumed
                        value = module.right_inverse(value)
        if not isinstance(value, (Tensor, Sequence)):
            raise ValueError("'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                             f"Got {type(value).__name__}")
        self.is_tensor = isinstance(value, Tensor)
        self.ntensors = 1 if self.is_tensor else len(value)
        if self.is_tensor:
            self._hold_one(original, value)
        else:
            self._hold_several(original, value)
        if not unsafe:
            _check_kept(self(), dtype, shape)

    def _hold_one(self, original: Any, value: Any) -> None:
        for what in ("dtype", "device"):
            if getattr(original, what) != getattr(value, what):
                raise ValueError(f"When `right_inverse` outputs one tensor, it may not change the {what}.\n"
                                 f"original.{what}: {getattr(original, what)}\n"
                                 f"right_inverse(original).{what}: {getattr(value, what)}")
        _replace(original, value)
        _register(self, "original", original)

    def _hold_several(self, original: Any, values: Any) -> None:
        for number, value in enumerate(values):
            if not isinstance(value, Tensor):
                raise ValueError("'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                                 f"Got element {number} of the sequence with type {type(value).__name__}.")
            if isinstance(original, Parameter):
                value = Parameter(value, original.requires_grad)
            value.requires_grad_(original.requires_grad)
            _register(self, f"original{number}", value)

    def _originals(self) -> list:
        return [self.original] if self.is_tensor else [getattr(self, f"original{n}") for n in range(self.ntensors)]

    def right_inverse(self, value: Any) -> None:
        """Sets the originals so that the parametrized tensor becomes ``value``.

        Raises:
            RuntimeError: a parametrization has no ``right_inverse``.
            ValueError: it returns another number of tensors than before, or other dtypes.
        """
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(f"parametrization {type(module).__name__} does not implement right_inverse.")
                value = module.right_inverse(value)
        if self.is_tensor:
            if not isinstance(value, Tensor):
                raise ValueError(f"`right_inverse` should return a tensor. Got {type(value).__name__}")
            if value.dtype != self.original.dtype:
                raise ValueError(f"The tensor returned by `right_inverse` has dtype {value.dtype} while `original` has "
                                 f"dtype {self.original.dtype}")
            values: Sequence = [value]
        else:
            self._check_several(value)
            values = value
        for original, one in zip(self._originals(), values, strict=True):
            _replace(original, one)

    def _check_several(self, values: Any) -> None:
        if not isinstance(values, Sequence):
            raise ValueError(f"'right_inverse' must return a sequence of tensors. Got {type(values).__name__}.")
        if len(values) != self.ntensors:
            raise ValueError(f"'right_inverse' must return a sequence of tensors of length {self.ntensors}. Got a "
                             f"sequence of length {len(values)}.")
        for number, (value, original) in enumerate(zip(values, self._originals(), strict=True)):
            if not isinstance(value, Tensor):
                raise ValueError(f"'right_inverse' must return a sequence of tensors. Got element {number} of type "
                                 f"{type(value).__name__}.")
            if value.dtype != original.dtype:
                raise ValueError(f"Tensor {number} returned by `right_inverse` has dtype {value.dtype} while "
                                 f"`original{number}` has dtype {original.dtype}")

    def forward(self) -> Any:
        """The parametrized tensor."""
        first, *others = self
        value = first(*self._originals())
        for module in others:
            value = module(value)
        return value


# The class of a parametrized module.

def _deepcopy(self: Any, memo: dict) -> Any:
    made = memo.get(id(self))
    if made is None:
        made = memo[id(self)] = object.__new__(type(self))
        made.__dict__ = copy.deepcopy(self.__dict__, memo)
        for slot in copyreg._slotnames(type(self)):  # type: ignore[attr-defined]
            if hasattr(self, slot):
                setattr(made, slot, copy.deepcopy(getattr(self, slot), memo))
    return made


def _refuse_pickling(self: Any) -> Any:
    raise RuntimeError("Serialization of parametrized modules is only supported through state_dict(): the class "
                       f"{type(self).__name__} exists in this process only")


def _subclass(module: Module) -> None:
    """Moves a module to a class of its own, to which properties can be added."""
    cls = type(module)
    members: dict[str, Any] = {"__getstate__": _refuse_pickling}
    if not hasattr(cls, "__deepcopy__"):
        members["__deepcopy__"] = _deepcopy
    module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), members)


def _add_property(module: Module, name: str) -> None:
    def read(self: Any) -> Any:
        listed = self.parametrizations[name]
        if not _Cache.depth:
            return listed()
        key = (id(self), name)
        if key not in _Cache.tensors:
            _Cache.tensors[key] = listed()
        return _Cache.tensors[key]

    def assign(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(read, assign))


# Registration and removal.

def register_parametrization(module: Module, tensor_name: str, parametrization: Module, *,
                             unsafe: bool = False) -> Module:
    """Makes ``module.tensor_name`` the result of ``parametrization`` applied to the tensor that stood there.

    That tensor is now ``module.parametrizations.tensor_name.original``. A parametrization may have a method
    ``right_inverse``, which the first value, and values that are assigned, go through; where it returns a sequence, the
    tensors ``original0``, ``original1``, ... are the arguments of ``forward``. Several parametrizations of one tensor
    are applied in the order of their registration.

    Args:
        module: is changed, and returned.
        tensor_name: a parameter or buffer.
        parametrization: the function.
        unsafe: whether dtype and shape of the tensor may change; nothing is checked then. Default: False.

    Raises:
        ValueError: there is no such tensor; or dtype or shape change.

    >>> import clgrad
    >>> from clgrad.nn.utils import parametrize
    >>> class Symmetric(clgrad.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = parametrize.register_parametrization(clgrad.nn.Linear(2, 2), "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all()), list(layer.state_dict())
    (True, ['bias', 'parametrizations.weight.original'])
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        if not unsafe:
            _check_addition(module, tensor_name, parametrization)
        listed = module.parametrizations[tensor_name]
        listed.append(parametrization)
        listed.unsafe |= unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        listed = ParametrizationList([parametrization], getattr(module, tensor_name), unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            _subclass(module)
            module.parametrizations = ModuleDict()
        _add_property(module, tensor_name)
        module.parametrizations[tensor_name] = listed
    else:
        raise ValueError(f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name "
                         f"'{tensor_name}'")
    return module


def _check_addition(module: Module, name: str, parametrization: Any) -> None:
    """One more parametrization of a tensor, and its right inverse, keep dtype and shape."""
    before = getattr(module, name)
    after = parametrization(before)
    _check_kept(after, before.dtype, before.shape)
    if not hasattr(parametrization, "right_inverse"):
        return
    try:
        value = parametrization.right_inverse(after)
    except NotImplementedError:
        return
    if not isinstance(value, Tensor):
        raise ValueError(f"parametrization.right_inverse must return a tensor. Got: {type(value).__name__}")
    for what in ("dtype", "shape"):
        old, new = getattr(before, what), getattr(value, what)
        if old != new:
            raise ValueError(f"The tensor returned by parametrization.right_inverse must have the same {what} as "
                             f"module.{name}, unless the `unsafe` flag is enabled.\nmodule.{name}.{what}: {old}\n"
                             f"returned {what}: {new}")


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a tensor of the module is parametrized; any tensor, without a name."""
    listed = getattr(module, "parametrizations", None)
    if not isinstance(listed, ModuleDict):
        return False
    return len(listed) > 0 if tensor_name is None else tensor_name in listed


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Makes a parametrized tensor an ordinary parameter or buffer again.

    Args:
        module: is changed, and returned.
        tensor_name: the tensor.
        leave_parametrized: its value is the parametrized one; else the original one. Default: True.

    Raises:
        ValueError: the tensor is not parametrized; or the original of one that is made of several tensors is wanted.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    listed = module.parametrizations[tensor_name]
    if not listed.is_tensor and not leave_parametrized:
        raise ValueError("Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in "
                         "terms of a sequence of tensors.")
    if not listed.is_tensor:
        value = getattr(module, tensor_name)
        tensor = Parameter(value) if value.requires_grad else value
    else:
        tensor = listed.original
        if leave_parametrized:
            with no_grad():
                value = getattr(module, tensor_name)
            _replace(tensor, value)
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, tensor)
    if not is_parametrized(module):
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class that the module had before a tensor of it was parametrized."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(from_module: Module, to_module: Module,
                                         tensor_name: str | None = None) -> Module:
    """Gives a module the parametrizations and originals of another; of all tensors, without a name.

    Returns:
        ``to_module``. Parameters that it lacks are added to it.
    """
    if not is_parametrized(from_module):
        return to_module
    for name in list(from_module.parametrizations) if tensor_name is None else [tensor_name]:
        if not hasattr(to_module, name):
            setattr(to_module, name, Parameter(getattr(from_module, name)))
        source = from_module.parametrizations[name]
        for parametrization in source:
            register_parametrization(to_module, name, parametrization)
        target = to_module.parametrizations[name]
        for key in (*source._parameters, *source._buffers):
            setattr(target, key, getattr(source, key))
    return to_module
