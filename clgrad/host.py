"""What a tensor is to Python and NumPy: numbers, lists, arrays, DLPack capsules, iteration, formatting."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from clgrad import dlpack, dtypes
from clgrad.autograd.grad_mode import mode
from clgrad.autograd.graph import TensorBase
from clgrad.errors import warn_once
from clgrad.ops import copying
from clgrad.ops.registry import FUNCTIONS


def _warn_of_lost_history() -> None:
    warn_once("Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior.\n"
              "Consider using tensor.detach() first.", 4)


def _real_number(value: Any, kind: str) -> Any:
    """A number without imaginary part; RuntimeError where it has one."""
    if not isinstance(value, complex):
        return value
    if value.imag:
        raise RuntimeError(f"value cannot be converted to type {kind} without overflow")
    return value.real


class HostAccess(TensorBase):
    """The methods of Tensor that give its values to the host."""

    __array_priority__ = 1000

    def item(self) -> Any:
        """The value of a tensor of one element, as a Python number."""
        if self.spec.numel != 1:
            raise RuntimeError(f"a Tensor with {self.spec.numel} elements cannot be converted to Scalar")
        kind = self.spec.dtype
        data = self.memory.read_element(self.offset * kind.itemsize, kind.itemsize).view(kind.numpy)
        return (dtypes.bfloat16_to_float32(data) if kind is dtypes.bfloat16 else data).item()

    def tolist(self) -> Any:
        """The values as nested lists, or a number."""
        values = copying.to_array(self)
        return (dtypes.bfloat16_to_float32(values) if self.dtype is dtypes.bfloat16 else values).tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The values as an array; on ``cpu`` it shares the tensor's memory, both ways.

        Raises:
            RuntimeError: the tensor requires a gradient, and operations are recorded; use ``detach().numpy()``.
            TypeError: it lives on a GPU, or is bfloat16; use ``cpu()`` or ``force=True``.
        """
        if force:
            plain = self.detach().cpu()
            return (plain.float() if plain.dtype is dtypes.bfloat16 else plain).numpy()
        if self._requires_grad and mode.enabled:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.device.type != "cpu":
            raise TypeError(f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the "
                            "tensor to host memory first.")
        if self.dtype is dtypes.bfloat16:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return copying.shared_array(self)

    def apply_(self, callable: Any) -> Any:
        """Replaces each element by ``callable(element)``, called on the host; slow, for tensors on ``cpu``."""
        return self._mapped("apply_", callable)

    def map_(self, other: Any, callable: Any) -> Any:
        """Replaces each element by ``callable(element, element of other)``, called on the host."""
        return self._mapped("map_", callable, other)

    def map2_(self, x: Any, y: Any, callable: Any) -> Any:
        """Replaces each element by ``callable(element, element of x, element of y)``, called on the host."""
        return self._mapped("map2_", callable, x, y)

    def _mapped(self, name: str, function: Any, *others: Any) -> Any:
        if self.device.type != "cpu":
            raise TypeError(f"{name} is only implemented on CPU tensors")
        if any(t._requires_grad for t in (self, *others)):
            raise RuntimeError(f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() instead.")
        columns = [t.expand(self.shape).reshape(-1).tolist() for t in (self, *others)]
        values = [function(*row) for row in zip(*columns, strict=True)]
        for value in values:
            if not isinstance(value, (bool, int, float, complex, np.generic)):
                raise TypeError(f"{name}(): the function must return a number, not {type(value).__name__}")
        return self.copy_(FUNCTIONS["tensor"](values, dtype=self.dtype).view(self.shape))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"an array of {dtype} over a tensor of {self.dtype} needs a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_wrap__(self, array: np.ndarray, context: Any = None, return_scalar: bool = False) -> Any:
        return FUNCTIONS["tensor"](array.astype(np.uint8) if array.dtype == np.bool_ else array)

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None,
                   copy: bool | None = None) -> Any:
        """A DLPack capsule over the memory of a tensor in host memory."""
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        plain = self.clone() if copy else self
        if plain.device.type != "cpu":
            raise BufferError(f"DLPack: memory of {plain.device} cannot be shared; use cpu() first")
        return dlpack.export(copying.shared_array(plain), plain.dtype, dl_device, max_version)

    def __dlpack_device__(self) -> tuple[int, int]:
        """(1, 0) for host memory; (4, N) for the N-th OpenCL device."""
        return (1, 0) if self.device.type == "cpu" else (4, self.device.index or 0)

    def __bool__(self) -> bool:
        if self.spec.numel != 1:
            count = "more than one value" if self.spec.numel else "no values"
            raise RuntimeError(f"Boolean value of Tensor with {count} is ambiguous")
        return bool(self.item())

    def _number(self) -> Any:
        if self.spec.numel != 1:
            raise ValueError("only one element tensors can be converted to Python scalars")
        return self.item()

    def __float__(self) -> float:
        if self._requires_grad:
            _warn_of_lost_history()
        return float(_real_number(self._number(), "double"))

    def __int__(self) -> int:
        if self._requires_grad:
            _warn_of_lost_history()
        return int(_real_number(self._number(), "int64_t"))

    def __complex__(self) -> complex:
        return complex(self._number())

    def __index__(self) -> int:
        if self.spec.dtype.is_floating_point or self.spec.numel != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __len__(self) -> int:
        if not self.spec.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.spec.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.spec.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __reversed__(self) -> Any:
        return self.flip(0) if self.spec.ndim else self

    def __contains__(self, value: Any) -> bool:
        if not isinstance(value, (TensorBase, bool, int, float, complex, np.generic)):
            raise RuntimeError("Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
                               f"{type(value)}.")
        return bool(FUNCTIONS["eq"](self, value).any())

    def __format__(self, spec: str) -> str:
        return object.__format__(self, spec) if self.spec.ndim or self.is_meta else format(self.item(), spec)

    def __hash__(self) -> int:
        return id(self)
