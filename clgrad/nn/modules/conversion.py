"""The part of a Module that changes all tensors below it: device, dtype, gradients, mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad import dtypes
from clgrad.autograd import no_grad
from clgrad.creation import empty_like
from clgrad.dtypes import dtype as Dtype
from clgrad.exchange import swap_tensors
from clgrad.formats import memory_format
from clgrad.nn.modules.members import Members
from clgrad.nn.parameter import Parameter
from clgrad.ops.no_memory import stands_for_others
from clgrad.runtime import device as Device
from clgrad.tensor import Tensor


def _target(args: tuple, kwargs: dict) -> tuple[Any, Any, Any]:
    """Device, dtype and memory format that the arguments of ``to`` ask for.

    Raises:
        TypeError: PyTorch has no such combination of arguments.
        RuntimeError: ``copy`` is asked for.
    """
    args = tuple(dtypes.as_dtype(value) if isinstance(value, type) else value for value in args)
    kwargs = {name: dtypes.as_dtype(value) if isinstance(value, type) else value for name, value in kwargs.items()}
    first = args[0] if args else None
    names = ("tensor",) if isinstance(first, Tensor) or "tensor" in kwargs else (
        ("dtype",) if isinstance(first, Dtype) else ("device", "dtype"))
    names = (*names, "non_blocking", "copy")
    given = dict(zip(names, args, strict=False))
    kinds: dict[str, Any] = {"tensor": Tensor, "dtype": Dtype, "device": (str, int, Device), "non_blocking": bool,
                             "copy": bool, "memory_format": memory_format}
    if len(args) > len(names) or given.keys() & kwargs.keys() or not kwargs.keys() <= {*names, "dtype", "memory_format"}:
        raise TypeError(f"to() received an invalid combination of arguments: {len(args)} positional, and {sorted(kwargs)}")
    given.update(kwargs)
    for name, value in given.items():
        if value is not None and (not isinstance(value, kinds[name]) or isinstance(value, bool) and name == "device"):
            raise TypeError(f"to() received an invalid combination of arguments: {name} is of type {type(value).__name__}")
    if given.get("copy"):
        raise RuntimeError(".to() does not accept copy argument")
    tensor, place = given.get("tensor"), given.get("device")
    if tensor is not None:
        return tensor.device, tensor.dtype, given.get("memory_format")
    return None if place is None else Device(place), given.get("dtype"), given.get("memory_format")


class _Conversions:
    """What happens to a parameter that ``Module.to`` and the like convert; by default its data is replaced."""

    overwrite = False  # the module gets a new parameter
    swap = False  # the parameter's object exchanges all that it is with a new parameter


conversions = _Conversions()


class Convertible(Members):
    """What acts on a module and everything below it at once."""

    training: bool

    def _apply(self, fn: Callable, recurse: bool = True) -> Any:
        """Replaces the memory of all parameters, their gradients and the buffers by ``fn`` of it."""
        if recurse:
            for child in self.children():
                child._apply(fn)
        for name, parameter in list(self._parameters.items()):
            if parameter is None:
                continue
            with no_grad():
                self._convert(name, parameter, fn)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                with no_grad():
                    self._buffers[name] = fn(buffer)
        return self

    def _convert(self, name: str, parameter: Any, fn: Callable) -> None:
        """Converts a parameter and its gradient: in place, or as :mod:`clgrad.__future__` says."""
        grad = None if parameter.grad is None else fn(parameter.grad)
        swap = conversions.swap or stands_for_others(parameter)  # what stands for others has no memory to be replaced
        if not conversions.overwrite and not swap:
            made = fn(parameter)
            if made is not parameter:  # else changed in place, which the version counts
                parameter.data = made
        else:
            kind = type(parameter) if issubclass(type(parameter), Parameter) else Parameter
            made = kind(fn(parameter.data), parameter.requires_grad)
            if swap:
                swap_tensors(parameter, made)
            else:
                self._parameters[name] = parameter = made
        parameter.grad = grad

    def apply(self, fn: Callable) -> Any:
        """Calls ``fn`` with every module, children first; returns this module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Moves parameters and buffers to a device, and converts those of floating point to a dtype, in place.

        ``to(device)``, ``to(dtype)``, ``to(device, dtype)``, ``to(tensor)``, or the same as keywords; ``memory_format=`` is
        for tensors of four and five dimensions.
        """
        place, kind, wanted = _target(args, kwargs)
        if kind is not None and not kind.differentiable:
            raise TypeError(f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={kind}")

        def convert(t: Any) -> Any:
            dtype = kind if kind is not None and t.dtype.differentiable else None
            if wanted is not None and t.ndim in (4, 5):
                return t.to(device=place, dtype=dtype, memory_format=wanted)
            return t.to(device=place, dtype=dtype)
        return self._apply(convert)

    def cpu(self) -> Any:
        """Moves parameters and buffers to host memory."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device: Any = None) -> Any:
        """Moves parameters and buffers to an OpenCL GPU."""
        return self._apply(lambda t: t.cuda(device))

    def to_empty(self, *, device: Any, recurse: bool = True) -> Any:
        """Moves parameters and buffers to a device without their values."""
        return self._apply(lambda t: empty_like(t, device=device), recurse)

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
        """Moves parameters and buffers to memory that processes see which are started with the module.

        RuntimeError for parameters without a shape.
        """
        for t in (*self.parameters(), *self.buffers()):
            t.share_memory_()
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: kernels are compiled as they are needed."""
