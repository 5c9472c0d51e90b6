"""The public Tensor: a strided window on a storage, with the operators as methods."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd import engine
from clgrad.autograd.graph import Node, RemovableHandle, TensorBase, current_node, edge_of, wrap
from clgrad.creation import place_of
from clgrad.dtypes import dtype
from clgrad.ops import copying, indexing
from clgrad.ops.registry import FUNCTIONS, METHODS
from clgrad.printing import tensor_text
from clgrad.runtime import device
from clgrad.shapes import Size, normalize_dim

_OPERATORS = {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide",
              "mod": "remainder", "pow": "pow", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
              "xor": "bitwise_xor", "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift"}
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def _operator_method(name: str) -> Callable:
    function = FUNCTIONS[name]

    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, (TensorBase, int, float, np.generic)):
            if not isinstance(other, np.ndarray):
                return NotImplemented
            other = FUNCTIONS["tensor"](other, device=self.device)
        return function(self, other)
    return method


def _reflected_method(name: str) -> Callable:
    function = FUNCTIONS[name]

    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, (int, float, np.generic, np.ndarray)):
            return NotImplemented
        return function(FUNCTIONS["tensor"](other, device=self.device) if isinstance(other, np.ndarray) else other,
                        self)
    return method


def _in_place_method(name: str) -> Callable:
    function = FUNCTIONS.get(f"{name}_")

    def method(self: Any, other: Any) -> Any:
        return function(self, other)  # type: ignore[misc]
    return method


def with_operators(cls: type) -> type:
    """Gives the class a method for each operator of the registry, and Python's operators."""
    for name, function in METHODS.items():
        if name not in cls.__dict__:
            setattr(cls, name, function)
    for dunder, name in _OPERATORS.items():
        if name in FUNCTIONS:
            setattr(cls, f"__{dunder}__", _operator_method(name))
            setattr(cls, f"__r{dunder}__", _reflected_method(name))
        if f"{name}_" in FUNCTIONS:
            setattr(cls, f"__i{dunder}__", _in_place_method(name))
    for name in _COMPARISONS:
        setattr(cls, f"__{name}__", _operator_method(name))
    return cls


@with_operators
class Tensor(TensorBase, concrete=True):
    """An n-dimensional array of one dtype on one device, on which operations are recorded for gradients.

    Make one with :func:`clgrad.tensor` and its relatives. ``Tensor(2, 3)`` is uninitialised, ``Tensor([1, 2])`` holds
    data; both are of the default dtype.
    """

    def __new__(cls, *args: Any, device: Any = None, dtype: Any = None) -> Any:
        made = cls._from_arguments(args, dtype or dtypes.get_default_dtype(), device)
        if cls is not Tensor:
            plain, made = made, object.__new__(cls)
            made.storage, made.offset, made.layout = plain.storage, plain.offset, plain.layout
        return made

    @staticmethod
    def _from_arguments(args: tuple, kind: dtype, place: Any) -> Any:
        where = place_of(place)
        if not args:
            return copying.empty((0,), kind, where)
        first = args[0]
        if isinstance(first, Size) or all(isinstance(a, int) and not isinstance(a, bool) for a in args):
            return copying.empty(tuple(first) if isinstance(first, Size) else args, kind, where)
        if isinstance(first, TensorBase) and first.layout.dtype is kind:
            return first.detach()  # type: ignore[attr-defined]
        return FUNCTIONS["tensor"](first, dtype=kind, device=where)

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...

    # What it is.

    @property
    def shape(self) -> Size:
        """The sizes of the dimensions."""
        return self.layout.shape

    @property
    def dtype(self) -> dtype:
        """The type of the elements."""
        return self.layout.dtype

    @property
    def device(self) -> device:
        """Where the tensor lives."""
        return self.layout.device  # type: ignore[return-value]

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.layout.ndim

    @property
    def itemsize(self) -> int:
        """Bytes an element."""
        return self.layout.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.layout.nbytes

    @property
    def is_cuda(self) -> bool:
        """Whether it lives on an OpenCL GPU."""
        return self.layout.device.type == "cuda"  # type: ignore[attr-defined]

    @property
    def T(self) -> Any:
        """All dimensions in reverse order."""
        return self.permute(*range(self.ndim - 1, -1, -1)) if self.ndim else self.t()

    @property
    def mT(self) -> Any:
        """The last two dimensions exchanged."""
        if self.ndim < 2:
            raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {self.ndim}-D "
                               "tensor.")
        return self.transpose(-2, -1)

    H = T

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        return self.layout.shape if dim is None else self.layout.shape[normalize_dim(dim, self.ndim)]

    def stride(self, dim: int | None = None) -> Any:
        """The strides in elements, or that of one dimension."""
        return self.layout.strides if dim is None else self.layout.strides[normalize_dim(dim, self.ndim)]

    def dim(self) -> int:
        """The number of dimensions."""
        return self.layout.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return self.layout.numel

    nelement = numel

    def element_size(self) -> int:
        """Bytes an element."""
        return self.layout.dtype.itemsize

    def storage_offset(self) -> int:
        """Where the first element stands in the storage, in elements."""
        return self.offset

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in row-major order."""
        return self.layout.contiguous

    def is_floating_point(self) -> bool:
        """Whether the dtype is one."""
        return self.layout.dtype.is_floating_point

    def is_complex(self) -> bool:
        """False: there are no complex tensors."""
        return False

    def is_signed(self) -> bool:
        """Whether the dtype has a sign."""
        return self.layout.dtype.is_signed

    @property
    def is_sparse(self) -> bool:
        """False: there are no sparse tensors."""
        return False

    def data_ptr(self) -> int:
        """The address of the first element in host memory (on a device with memory of its own, a unique number)."""
        self.storage.acquire()
        return self.storage.address() + self.offset * self.itemsize

    def get_device(self) -> int:
        """The number of the GPU, -1 for others."""
        return self.device.index if self.is_cuda and self.device.index is not None else -1

    # Values on the host.

    def item(self) -> Any:
        """The value of a tensor of one element, as a Python number."""
        if self.layout.numel != 1:
            raise RuntimeError(f"a Tensor with {self.layout.numel} elements cannot be converted to Scalar")
        kind = self.layout.dtype
        data = self.storage.read_element(self.offset * kind.itemsize, kind.itemsize).view(kind.numpy)
        return (dtypes.bfloat16_to_float32(data) if kind is dtypes.bfloat16 else data)[0].item()

    def tolist(self) -> Any:
        """The values as nested lists, or a number."""
        values = copying.to_array(self)
        return (dtypes.bfloat16_to_float32(values) if self.dtype is dtypes.bfloat16 else values).tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The values as an array; on ``cpu`` it shares the tensor's memory, both ways.

        Raises:
            RuntimeError: the tensor requires a gradient; use ``detach().numpy()``.
            TypeError: it lives on a GPU, or is bfloat16; use ``cpu()`` or ``force=True``.
        """
        if force:
            plain = self.detach().cpu()
            return (plain.float() if plain.dtype is dtypes.bfloat16 else plain).numpy()
        if self._requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.device.type != "cpu":
            raise TypeError(f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() to copy the "
                            "tensor to host memory first.")
        if self.dtype is dtypes.bfloat16:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return copying.shared_array(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        return array.astype(dtype) if dtype is not None else array.copy() if copy else array

    __array_priority__ = 1000

    def __array_wrap__(self, array: np.ndarray, context: Any = None, return_scalar: bool = False) -> Any:
        return FUNCTIONS["tensor"](array)

    def __bool__(self) -> bool:
        if self.layout.numel != 1:
            count = "more than one value" if self.layout.numel else "no values"
            raise RuntimeError(f"Boolean value of Tensor with {count} is ambiguous")
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.layout.dtype.is_floating_point or self.layout.numel != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __len__(self) -> int:
        if not self.layout.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.layout.shape[0]

    def __iter__(self) -> Iterator[Any]:
        if not self.layout.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, value: Any) -> bool:
        return bool((self == value).any())

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if not self.layout.ndim else object.__format__(self, spec)

    def __repr__(self) -> str:
        return tensor_text(self)

    def __hash__(self) -> int:
        return id(self)

    def __neg__(self) -> Any:
        return FUNCTIONS["neg"](self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return FUNCTIONS["abs"](self)

    def __invert__(self) -> Any:
        return FUNCTIONS["logical_not" if self.dtype is dtypes.bool else "bitwise_not"](self)

    def __getitem__(self, index: Any) -> Any:
        return indexing.get_item(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        indexing.set_item(self, index, value)

    # Other dtypes and devices.

    def cpu(self, memory_format: Any = None) -> Any:
        """The tensor in host memory; itself where it is there."""
        return copying.to(self, device="cpu")

    def cuda(self, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Any:
        """The tensor on an OpenCL GPU, the current one unless ``device`` names another."""
        return copying.to(self, device="cuda" if device is None else device)

    def type(self, dtype: Any = None, non_blocking: bool = False) -> Any:
        """The name of the tensor's type, such as ``torch.FloatTensor``; with ``dtype``, the tensor converted."""
        if dtype is None:
            prefix = "torch.cuda." if self.is_cuda else "torch."
            return prefix + TYPE_NAMES[self.dtype]
        if isinstance(dtype, str):
            known = {f"torch.{name}": kind for kind, name in TYPE_NAMES.items()}
            if dtype.replace("cuda.", "") not in known:
                raise ValueError(f"invalid type: '{dtype}'")
            moved = self.cuda() if "cuda." in dtype else self
            return copying.cast(moved, known[dtype.replace("cuda.", "")])
        return copying.cast(self, getattr(dtype, "dtype", dtype))

    def type_as(self, other: Any) -> Any:
        """The tensor with the dtype and device of another."""
        return copying.to(self, other)

    # Autograd.

    @property
    def requires_grad(self) -> bool:
        """Whether gradients with respect to this tensor are wanted or flow through it."""
        current_node(self)
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not value and self._grad_fn is not None:
            raise RuntimeError("you can only change requires_grad flags of leaf variables. If you want to use a computed "
                               "variable in a subgraph that doesn't require differentiation use var_no_grad = "
                               "var.detach().")
        if value and not self.layout.dtype.is_floating_point:
            raise RuntimeError("only Tensors of floating point and complex dtype can require gradients")
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Sets :attr:`requires_grad` and returns the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def grad_fn(self) -> Node | None:
        """The node that made this tensor; None for a leaf."""
        return current_node(self)

    @property
    def is_leaf(self) -> bool:
        """Whether the tensor is not the result of a recorded operation."""
        return current_node(self) is None

    @property
    def output_nr(self) -> int:
        """Which of its node's results this is."""
        return self._output_nr

    @property
    def grad(self) -> Any:
        """The accumulated gradient, or None."""
        return self._grad

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None:
            if not isinstance(value, TensorBase):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got grad of type {type(value)}")
            if value.layout.shape != self.layout.shape:
                raise RuntimeError(f"assigned grad has data of a different size: expected {list(self.shape)}, got "
                                   f"{list(value.layout.shape)}")
        self._grad = value

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    @property
    def data(self) -> Any:
        """The same memory outside of the graph; changes through it are not noticed by autograd."""
        plain = wrap(self.storage, self.offset, self.layout)
        plain._untracked = True
        return plain

    @data.setter
    def data(self, value: Any) -> None:
        self.storage, self.offset, self.layout = value.storage, value.offset, value.layout

    @property
    def _version(self) -> int:
        return self.storage.version

    @property
    def _base(self) -> Any:
        return None if self._view is None else self._view.base

    def _is_view(self) -> bool:
        return self._view is not None

    def backward(self, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
                 inputs: Any = None) -> None:
        """Computes the gradients of this tensor with respect to the leaves; see :func:`clgrad.autograd.backward`."""
        engine.backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def detach_(self) -> Any:
        """Takes the tensor out of its graph."""
        if self._view is not None:
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        self._grad_fn, self._requires_grad, self._output_nr = None, False, 0
        return self

    def register_hook(self, hook: Callable) -> RemovableHandle:
        """Calls ``hook(grad)`` whenever a gradient for this tensor is known; what it returns replaces it."""
        edge = edge_of(self)
        if edge is None:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        node, number = edge
        if current_node(self) is None:
            if self._hooks is None:
                self._hooks = {}
            return RemovableHandle(self._hooks, hook)
        if node.pre_hooks is None:
            node.pre_hooks = {}
        return RemovableHandle(node.pre_hooks, (number, hook))

    def retain_grad(self) -> None:
        """Keeps the gradient of a tensor that is not a leaf in its ``grad``."""
        node = current_node(self)
        if not self._requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if node is not None:
            if node.capture is None:
                node.capture = {}
            node.capture[self._output_nr] = weakref.ref(self)
            self._retains_grad = True

    @property
    def retains_grad(self) -> bool:
        """Whether :meth:`retain_grad` was called."""
        return self._retains_grad

    # Copies and pickles.

    def __deepcopy__(self, memo: dict) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        if not self.is_leaf:
            raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol "
                               "at the moment.")
        plain = self.detach().clone()
        made = memo[id(self)] = _rebuilt(type(self), plain, self._requires_grad)
        made.__dict__.update({n: copy.deepcopy(v, memo) for n, v in self.__dict__.items() if n not in _OWN})
        if self._grad is not None:
            made._grad = copy.deepcopy(self._grad, memo)
        return made

    def __reduce_ex__(self, protocol: Any) -> tuple:
        values = np.array(copying.to_array(self.detach()), order="C")  # ascontiguousarray makes a scalar a vector
        extra = {n: v for n, v in self.__dict__.items() if n not in _OWN}
        return _unpickled, (type(self), values, self.dtype.name, str(self.device), self._requires_grad, extra)


_OWN = frozenset({"storage", "offset", "layout", "_requires_grad", "_grad_fn", "_output_nr", "_grad", "_hooks", "_view",
                  "_rebased", "_untracked", "_retains_grad", "_accumulator"})


def _rebuilt(cls: type, plain: Any, requires_grad: bool) -> Any:
    if cls is not Tensor:
        made: Any = object.__new__(cls)
        made.storage, made.offset, made.layout = plain.storage, plain.offset, plain.layout
        plain = made
    plain._requires_grad = requires_grad
    return plain


def _unpickled(cls: type, values: np.ndarray, kind: str, place: str, requires_grad: bool, extra: dict) -> Any:
    plain = copying.from_array(np.array(values), dtypes.BY_NAME[kind], device(place))
    made = _rebuilt(cls, plain, requires_grad)
    made.__dict__.update(extra)
    return made


TYPE_NAMES = {dtypes.float32: "FloatTensor", dtypes.float64: "DoubleTensor", dtypes.float16: "HalfTensor",
              dtypes.bfloat16: "BFloat16Tensor", dtypes.uint8: "ByteTensor", dtypes.int8: "CharTensor",
              dtypes.int16: "ShortTensor", dtypes.int32: "IntTensor", dtypes.int64: "LongTensor",
              dtypes.bool: "BoolTensor"}


def _converter(kind: dtype) -> Callable:
    def convert(self: Any, memory_format: Any = None) -> Any:
        return copying.cast(self, kind)
    convert.__doc__ = f"The tensor as {kind.name}; itself where it is."
    return convert


for _method, _dtype in {"float": dtypes.float32, "double": dtypes.float64, "half": dtypes.float16,
                        "bfloat16": dtypes.bfloat16, "int": dtypes.int32, "long": dtypes.int64,
                        "short": dtypes.int16, "char": dtypes.int8, "byte": dtypes.uint8, "bool": dtypes.bool}.items():
    setattr(Tensor, _method, _converter(_dtype))
