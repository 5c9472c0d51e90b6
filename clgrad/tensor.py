"""The public Tensor: a strided window on a storage, with the operators as methods."""

from __future__ import annotations

import copy
from collections.abc import Callable
from multiprocessing import context, reduction
from typing import TYPE_CHECKING, Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.graph import TensorBase, take_place, wrap
from clgrad.autograd.listening import switch, without_classes
from clgrad.conversion import TYPE_NAMES as TYPE_NAMES
from clgrad.conversion import Conversion
from clgrad.creation import place_of
from clgrad.dtypes import dtype
from clgrad.errors import warn_once
from clgrad.formats import contiguous_format, has_format, layout, preserve_format, sparse_coo, sparse_csr, strided
from clgrad.history import History
from clgrad.host import HostAccess
from clgrad.ops import copying, indexing
from clgrad.ops.interception import (
    disabled_torch_dispatch,
    disabled_torch_function,
    dispatch,
    intercepted,
    overrides,
    stands,
    watch_class,
)
from clgrad.ops.no_memory import stands_for_others
from clgrad.ops.registry import FUNCTIONS, METHODS
from clgrad.ops.sparse import Pattern, sparse
from clgrad.printing import tensor_text
from clgrad.runtime import SharedFile, device, host_storage
from clgrad.shapes import Size, as_shape, is_dense, normalize_dim
from clgrad.spec import spec
from clgrad.storage import CLASSES as STORAGE_CLASSES
from clgrad.storage import TypedStorage, UntypedStorage

_OPERATORS = {"add": "add", "sub": "sub", "mul": "mul", "truediv": "div", "floordiv": "floor_divide",
              "mod": "remainder", "pow": "pow", "matmul": "matmul", "and": "bitwise_and", "or": "bitwise_or",
              "xor": "bitwise_xor", "lshift": "bitwise_left_shift", "rshift": "bitwise_right_shift"}
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")


def _operator_method(name: str) -> Callable:
    function = METHODS[name]

    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, (TensorBase, int, float, complex, np.generic)):
            if isinstance(other, np.ndarray):
                other = FUNCTIONS["tensor"](other, device=self.device)
            elif not overrides(type(other)):
                return NotImplemented
        return function(self, other)
    return method


def _reflected_method(name: str) -> Callable:
    function = FUNCTIONS[name]

    def method(self: Any, other: Any) -> Any:
        if not isinstance(other, (TensorBase, int, float, complex, np.generic, np.ndarray)):
            return NotImplemented
        return function(FUNCTIONS["tensor"](other, device=self.device) if isinstance(other, np.ndarray) else other,
                        self)
    return method


# Methods and properties that no operator of the registry is behind, and whose calls can be listened to all the same.
_LISTENED = ("__getitem__", "__setitem__", "__len__", "__bool__", "__float__", "__int__", "__contains__", "__repr__",
             "__deepcopy__", "item", "tolist", "numpy", "size", "stride", "dim", "ndimension", "numel", "nelement",
             "element_size", "is_contiguous", "is_floating_point", "cpu", "cuda", "type", "type_as", "set_", "new",
             "backward", "requires_grad_", "retain_grad", "register_hook", "detach_", "share_memory_",
             "apply_", "map_", "float", "double", "half", "bfloat16", "int", "long", "short", "char", "byte", "bool",
             "cfloat", "cdouble")
_LISTENED_PROPERTIES = ("T", "mT", "H", "mH", "data")


def _listened_property(cls: type, name: str) -> property:
    plain = getattr(cls, name)

    def read(self: Any) -> Any:
        return dispatch(made.__get__, name, plain.fget, (self,), {}) if switch.on else plain.fget(self)
    read.operator_name, read.__wrapped__ = name, plain.fget  # type: ignore[attr-defined]
    made = property(read, plain.fset, plain.fdel, plain.__doc__)
    return made


def with_operators(cls: type) -> type:
    """Gives the class a method for each operator of the registry, and Python's operators."""
    for name, function in METHODS.items():
        if not hasattr(cls, name):
            setattr(cls, name, function)
    for name in _LISTENED:
        setattr(cls, name, intercepted(getattr(cls, name), name))
    for name in _LISTENED_PROPERTIES:
        setattr(cls, name, _listened_property(cls, name))
    for dunder, name in _OPERATORS.items():
        if name in FUNCTIONS:
            setattr(cls, f"__{dunder}__", _operator_method(name))
            setattr(cls, f"__r{dunder}__", _reflected_method(name))
        if f"{name}_" in FUNCTIONS:
            setattr(cls, f"__i{dunder}__", _operator_method(f"{name}_"))
    for prefix in ("", "r", "i"):
        setattr(cls, f"__{prefix}div__", getattr(cls, f"__{prefix}truediv__"))  # Python 2's name, which PyTorch keeps
    for name in _COMPARISONS:
        setattr(cls, f"__{name}__", _operator_method(name))
    return cls


@with_operators
class Tensor(HostAccess, History, Conversion, concrete=True):
    """An n-dimensional array of one dtype on one device, on which operations are recorded for gradients.

    Make one with :func:`clgrad.tensor` and its relatives. ``Tensor(2, 3)`` is uninitialised, ``Tensor([1, 2])`` holds
    data; both are of the default dtype.
    """

    def __new__(cls, *args: Any, size: Any = None, device: Any = None, dtype: Any = None) -> Any:
        made = cls._from_arguments(args if size is None else (Size(size), *args), dtype or dtypes.get_default_dtype(), device)
        if cls is not Tensor:
            plain, made = made, object.__new__(cls)
            take_place(made, plain)
        return made

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        usual = Tensor.__torch_function__.__func__  # type: ignore[attr-defined]
        if stands(cls) and getattr(cls.__torch_function__, "__func__", None) is usual:
            cls.__torch_function__ = staticmethod(disabled_torch_function)  # type: ignore[method-assign]
        watch_class(cls)

    __torch_dispatch__ = staticmethod(disabled_torch_dispatch)

    @classmethod
    def __torch_function__(cls, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Calls ``func`` and gives its tensors this subclass; NotImplemented where an argument has a class beside it."""
        if not all(issubclass(cls, kind) for kind in types):
            return NotImplemented
        with without_classes():
            result = func(*args, **(kwargs or {}))
            return _as_class(result, cls)

    @staticmethod
    def _from_arguments(args: tuple, kind: dtype, place: Any) -> Any:
        where = place_of(place)
        if not args:
            return copying.empty((0,), kind, where)
        first = args[0]
        if isinstance(first, Size) or all(isinstance(a, int) and not isinstance(a, bool) for a in args):
            return copying.empty(as_shape(first if isinstance(first, Size) else args), kind, where)
        if len(args) > 1:
            raise TypeError(f"new() received an invalid combination of arguments - got "
                            f"({', '.join(type(a).__name__ for a in args)})")
        if isinstance(first, (UntypedStorage, TypedStorage)):
            return copying.empty((0,), kind, first.device).set_(first)
        if isinstance(first, TensorBase):
            return FUNCTIONS["alias"](first)
        if isinstance(first, (float, bool)):
            raise TypeError(f"new(): data must be a sequence (got {type(first).__name__})")
        return FUNCTIONS["tensor"](first, dtype=kind, device=where)

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...

    # What it is.

    @property
    def shape(self) -> Size:
        """The sizes of the dimensions."""
        return self.spec.size

    @property
    def dtype(self) -> dtype:
        """The type of the elements."""
        return self.spec.dtype

    @property
    def layout(self) -> layout:
        """How the elements are kept: ``clgrad.strided``, or one of the sparse layouts."""
        return self.spec.layout

    @property
    def is_sparse(self) -> bool:
        """Whether the layout is ``clgrad.sparse_coo``."""
        return self.spec.layout is sparse_coo

    @property
    def is_sparse_csr(self) -> bool:
        """Whether the layout is ``clgrad.sparse_csr``."""
        return self.spec.layout is sparse_csr

    @property
    def device(self) -> device:
        """Where the tensor lives."""
        return self.spec.device  # type: ignore[return-value]

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self.spec.ndim

    @property
    def itemsize(self) -> int:
        """Bytes an element."""
        return self.spec.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements; RuntimeError for a tensor of coordinates, which has those of its parts."""
        if self.spec.layout is sparse_coo:
            raise RuntimeError("nbytes is not defined for sparse tensors. The parts have theirs: add those of indices and "
                               "of values")
        return self.spec.nbytes

    @property
    def is_cpu(self) -> bool:
        """Whether it lives in host memory."""
        return self.spec.device.type == "cpu"  # type: ignore[attr-defined]

    @property
    def is_cuda(self) -> bool:
        """Whether it lives on an OpenCL GPU."""
        return self.spec.device.type == "cuda"  # type: ignore[attr-defined]

    @property
    def is_meta(self) -> bool:
        """Whether it has a shape only, and no memory."""
        return self.spec.device.type == "meta"  # type: ignore[attr-defined]

    @property
    def T(self) -> Any:
        """All dimensions in reverse order; other than of two dimensions that is deprecated, which is said once."""
        if self.ndim != 2:
            warn_once("The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated. Consider "
                      "`x.mT` to transpose batches of matrices, or `x.permute(...)`.")
        return self.permute(*range(self.ndim - 1, -1, -1)) if self.ndim else self.t()

    @property
    def mT(self) -> Any:
        """The last two dimensions exchanged."""
        if not self.ndim:
            warn_once("Tensor.mT is deprecated on 0-D tensors. This function is the identity in these cases.")
            return self.t()
        if self.ndim < 2:
            raise RuntimeError(f"tensor.mT is only supported on matrices or batches of matrices. Got {self.ndim}-D "
                               "tensor.")
        return self.transpose(-2, -1)

    @property
    def mH(self) -> Any:
        """The last two dimensions exchanged, and complex numbers conjugated."""
        return self.mT.conj()

    @property
    def H(self) -> Any:
        """The transpose of a matrix, complex numbers conjugated."""
        if self.ndim not in (0, 2):
            raise RuntimeError(f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor.")
        return self.t().conj()

    @property
    def real(self) -> Any:
        """The real parts, in the same memory; a real tensor itself."""
        return FUNCTIONS["real"](self)

    @real.setter
    def real(self, value: Any) -> None:
        FUNCTIONS["real"](self).copy_(value)

    @property
    def imag(self) -> Any:
        """A complex tensor's imaginary parts, in the same memory; RuntimeError for a real tensor."""
        return FUNCTIONS["imag"](self)

    @imag.setter
    def imag(self, value: Any) -> None:
        FUNCTIONS["imag"](self).copy_(value)

    @property
    def name(self) -> None:
        """None, as in PyTorch."""
        return None

    @property
    def volatile(self) -> bool:
        """False: use ``clgrad.no_grad``."""
        return False

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        return self.spec.size if dim is None else self.spec.shape[normalize_dim(dim, self.ndim)]

    def stride(self, dim: int | None = None) -> Any:
        """The strides in elements, or that of one dimension."""
        return self.spec.strides if dim is None else self.spec.strides[normalize_dim(dim, self.ndim)]

    def dim(self) -> int:
        """The number of dimensions."""
        return self.spec.ndim

    ndimension = dim

    def numel(self) -> int:
        """The number of elements."""
        return self.spec.numel

    nelement = numel

    def element_size(self) -> int:
        """Bytes an element."""
        return self.spec.dtype.itemsize

    def storage_offset(self) -> int:
        """Where the first element stands in the storage, in elements."""
        return self.offset

    def is_contiguous(self, memory_format: Any = contiguous_format) -> bool:
        """Whether the elements lie in row-major order, or in that of ``memory_format``; a sparse tensor's do not."""
        if memory_format is contiguous_format or memory_format is preserve_format or self.spec.layout is not strided:
            return self.spec.contiguous
        return has_format(self.spec.shape, self.spec.strides, memory_format)

    def is_floating_point(self) -> bool:
        """Whether the dtype is one."""
        return self.spec.dtype.is_floating_point

    def is_complex(self) -> bool:
        """Whether the dtype is one of complex numbers."""
        return self.spec.dtype.is_complex

    def is_signed(self) -> bool:
        """Whether the dtype has a sign."""
        return self.spec.dtype.is_signed

    def storage(self) -> TypedStorage:
        """The elements that this tensor is a window on."""
        return TypedStorage(wrap_storage=self.untyped_storage(), dtype=self.spec.dtype)

    _typed_storage = storage

    def storage_type(self) -> type:
        """The class of :meth:`storage`'s elements, such as ``clgrad.FloatStorage``."""
        return STORAGE_CLASSES[TYPE_NAMES[self.spec.dtype].replace("Tensor", "Storage")]

    def get_device(self) -> int:
        """The number of the GPU, -1 for others."""
        return self.device.index if self.is_cuda and self.device.index is not None else -1

    def __repr__(self) -> str:
        return tensor_text(self)

    def __neg__(self) -> Any:
        if self.dtype is dtypes.bool:
            raise RuntimeError("Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a "
                               "mask, use the `~` or `logical_not()` operator instead.")
        return FUNCTIONS["neg"](self)

    def __pos__(self) -> Any:
        return FUNCTIONS["positive"](self)

    def __abs__(self) -> Any:
        return FUNCTIONS["abs"](self)

    def __invert__(self) -> Any:
        if self.dtype.is_floating_point:
            raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
        return FUNCTIONS["logical_not" if self.dtype is dtypes.bool else "bitwise_not"](self)

    def __getitem__(self, index: Any) -> Any:
        return indexing.get_item(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        indexing.set_item(self, index, value)

    def __delitem__(self, index: Any) -> None:
        raise TypeError("Tensor does not support deleting items")

    # Copies and pickles.

    def __copy__(self) -> Any:
        """The same memory, as a tensor of its own."""
        made = _rebuilt(type(self), self.detach(), self._requires_grad)
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo: dict) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        if not self.is_leaf:
            raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol "
                               "at the moment.")
        if stands_for_others(self):
            plain = self.clone()
        elif self.spec.layout is strided:  # what shares memory shares its copy too
            plain = wrap(copy.deepcopy(self.untyped_storage(), memo).held, self.offset, self.spec)
        else:
            plain = self.detach().clone()
        made = memo[id(self)] = _rebuilt(type(self), plain, self._requires_grad)
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        if self._grad is not None:
            made._grad = copy.deepcopy(self._grad, memo)
        return made

    def __reduce_ex__(self, protocol: Any) -> tuple:
        own = self.spec
        if stands_for_others(self):
            return _wrapper_unpickled, (type(self), tuple(own.shape), own.strides, self.offset, own.dtype.name,
                                        str(self.device), self._requires_grad, self.__dict__)
        if own.layout is not strided:
            held: Any = self.memory
            return _sparse_unpickled, (type(self), held.pattern, held.values, self._requires_grad, self.__dict__)
        file = self.share_memory_().memory.file if context.get_spawning_popen() is not None and own.numel else None
        if file is not None:
            # A process is being started: it maps the memory. Elsewhere, in files and queues, goes a copy.
            return _mapped, (type(self), reduction.DupFd(file.handle), self.memory.nbytes, self.offset,
                             own.dtype.name, self._requires_grad, self.__dict__, tuple(own.shape), own.strides)
        plain = wrap(self.memory, self.offset, own)
        dense = plain if is_dense(own.shape, own.strides) else plain.contiguous()
        first, strides = dense.offset * own.dtype.itemsize, dense.spec.strides
        data = dense.memory.read()[first:first + own.nbytes].tobytes()
        return _unpickled, (type(self), data, own.dtype.name, str(self.device), self._requires_grad, self.__dict__,
                            tuple(own.shape), strides)


def _as_class(result: Any, cls: type) -> Any:
    """The tensors of a result, also in tuples and lists, as instances of a subclass."""
    if cls is Tensor:
        return result
    if isinstance(result, Tensor):
        return result if isinstance(result, cls) else result.as_subclass(cls)
    if isinstance(result, (tuple, list)):
        parts = [_as_class(part, cls) for part in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result


def _rebuilt(cls: type, plain: Any, requires_grad: bool) -> Any:
    made = plain if cls is Tensor else wrap(plain.memory, plain.offset, plain.spec, cls)
    made._requires_grad = requires_grad
    return made


def _unpickled(cls: type, data: bytes, kind: str, place: str, requires_grad: bool, extra: dict, shape: tuple,
               strides: tuple) -> Any:
    values = np.frombuffer(data, dtypes.BY_NAME[kind].numpy).copy()
    plain = copying.from_array(values, dtypes.BY_NAME[kind], device(place)).as_strided(shape, strides).detach()
    made = _rebuilt(cls, plain, requires_grad)
    made.__dict__.update(extra)
    return made


def _sparse_unpickled(cls: type, pattern: Pattern, values: Any, requires_grad: bool, extra: dict) -> Any:
    made = _rebuilt(cls, sparse(pattern, values), requires_grad)
    made.__dict__.update(extra)
    return made


def _wrapper_unpickled(cls: type, shape: tuple, strides: tuple, offset: int, kind: str, place: str, requires_grad: bool,
                       extra: dict) -> Any:
    made = Tensor._make_wrapper_subclass(cls, shape, strides, offset, None, dtypes.BY_NAME[kind], device=place,
                                         requires_grad=requires_grad)
    made.__dict__.update(extra)
    return made


def _mapped(cls: type, sent: Any, nbytes: int, offset: int, kind: str, requires_grad: bool, extra: dict, shape: tuple,
            strides: tuple) -> Any:
    place, file = device("cpu"), SharedFile(nbytes, sent.detach())
    memory = host_storage(place.compute, file.bytes, foreign=True)
    memory.file = file
    made = _rebuilt(cls, wrap(memory, offset, spec(shape, strides, dtypes.BY_NAME[kind], place)), requires_grad)
    made.__dict__.update(extra)
    return made


# What tensors of this library never are; PyTorch asks by these names.
for _name in ("is_quantized", "is_mkldnn", "is_nested", "is_mps", "is_xla",
              "is_xpu", "is_ipu", "is_maia", "is_mtia", "is_vulkan"):
    setattr(Tensor, _name, False)
