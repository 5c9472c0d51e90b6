"""``Parameter`` and ``Buffer``: tensors that a Module takes into its lists when they are assigned to an attribute."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from clgrad.autograd.graph import wrap
from clgrad.creation import empty
from clgrad.ops.interception import disabled_torch_function, overrides, stands
from clgrad.spec import Spec
from clgrad.tensor import Tensor


def tensor_over(cls: type, data: Any) -> Any:
    """A tensor of class ``cls`` on the memory of another, outside of any graph."""
    return wrap(data.memory, data.offset, data.spec, cls)


class _Marking(type):
    """The class of Parameter and Buffer: tensors of a program's own classes stay these, and are theirs by a mark."""

    mark = ""

    def __instancecheck__(cls, value: Any) -> bool:
        return type.__instancecheck__(cls, value) or (
            "mark" in vars(cls) and isinstance(value, Tensor) and getattr(value, cls.mark, False))


def _marked(cls: Any, data: Any, requires_grad: bool) -> Any:
    """A tensor of the class of ``data``, over its memory, that is an instance of ``cls`` too; None if it need not be one."""
    kind = type(data)
    if kind is Tensor or not (overrides(kind) or stands(kind)):
        return None
    made = data.detach().requires_grad_(requires_grad)
    if type(made) is not kind:
        raise RuntimeError(f"Creating a {cls.__name__} from an instance of type {kind.__name__} requires that detach() "
                           f"returns an instance of the same type, but return type {type(made).__name__} was found instead. "
                           f"To use the type as a {cls.__name__}, please correct the detach() semantics defined by its "
                           "__torch_dispatch__() implementation.")
    setattr(made, cls.mark, True)
    return made


class Parameter(Tensor, metaclass=_Marking):
    """A tensor that is trained: assigned to an attribute of a Module it appears in ``parameters()``.

    A tensor of a subclass that overrides operators keeps its class, and counts as a Parameter from then on.

    Args:
        data: the tensor whose memory it takes over; default an empty one.
        requires_grad: whether gradients are wanted. Default: True.

    Raises:
        TypeError: ``data`` is not a tensor.
        RuntimeError: a gradient is wanted of a dtype that is not floating point, or ``detach()`` of a subclass returns
            another class.

    >>> import clgrad
    >>> clgrad.nn.Parameter(clgrad.ones(2))
    Parameter containing:
    tensor([1., 1.], requires_grad=True)
    """

    mark = "_is_param"
    __torch_function__ = staticmethod(disabled_torch_function)  # type: ignore[assignment]

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"{cls.__name__}(): argument 'data' must be Tensor, not {type(data).__name__}")
        made = _marked(cls, data, requires_grad)
        if made is None:
            made = tensor_over(cls, data)
            made.requires_grad = requires_grad
        return made

    def __deepcopy__(self, memo: dict) -> Any:
        """A Parameter with a copy of the values, and without a gradient."""
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.data.clone(), self.requires_grad)
        return memo[id(self)]


class Buffer(Tensor, metaclass=_Marking):
    """A tensor that belongs to a Module's state without being trained, such as a running mean.

    Args:
        data: the tensor whose memory it takes over; default an empty one.
        persistent: whether ``state_dict()`` holds it. Default: True.
    """

    persistent, mark = True, "_is_buffer"
    __torch_function__ = staticmethod(disabled_torch_function)  # type: ignore[assignment]

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        if data is None:
            data = empty(0)
        made = _marked(cls, data, data.requires_grad)
        if made is None:
            made = tensor_over(cls, data)
            made.requires_grad = data.requires_grad
        made.persistent = persistent
        return made


class _UnknownSpec(Spec):
    """The spec of a tensor whose shape is not known: operators find a dtype and a device, and an error for all else."""

    __slots__ = ()

    def __init__(self, dtype: Any, device: Any):
        self.dtype, self.device = dtype, device

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ValueError("Attempted to use an uninitialized parameter in an operation that needs its shape. This error "
                         "happens when you are using a `LazyModule` or explicitly manipulating "
                         "`UninitializedParameter` or `UninitializedBuffer` objects. When using LazyModules call `forward` "
                         "with a dummy batch to initialize the parameters before calling operators.")


class UninitializedTensorMixin(Tensor):
    """A tensor whose shape is not known yet: it has a dtype and a device, and waits for :meth:`materialize`.

    Operators on it raise ValueError, but for those that convert it to another dtype or device.
    """

    cls_to_become: type
    __torch_function__ = staticmethod(disabled_torch_function)  # type: ignore[assignment]

    @classmethod
    def _waiting(cls, requires_grad: bool, device: Any, dtype: Any) -> Any:
        data = empty(0, device=device, dtype=dtype)
        made = tensor_over(cls, data)
        made.spec = _UnknownSpec(data.dtype, data.device)
        made.requires_grad = requires_grad
        return made

    @property
    def shape(self) -> Any:
        """RuntimeError: there is none yet."""
        raise RuntimeError("Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
                           "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call "
                           "`forward` to initialize the parameters before accessing their attributes.")

    def size(self, dim: int | None = None) -> Any:
        """The shape of its memory, which holds nothing: (0,)."""
        return self._memory_of_nothing().size(dim)

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Makes it an ordinary parameter or buffer of a shape; its values are not set."""
        self.data = empty(shape, device=self.device if device is None else device,
                          dtype=self.dtype if dtype is None else dtype)
        self.__class__ = self.cls_to_become

    def _memory_of_nothing(self) -> Any:
        return empty(0, device=self.device, dtype=self.dtype)

    def _like(self, other: Any) -> Any:
        """Such a tensor with the dtype and device of another, and this one's attributes."""
        made = type(self)._waiting(self.requires_grad, other.device, other.dtype)
        made.__dict__.update(self.__dict__)
        return made

    def share_memory_(self) -> Any:
        """RuntimeError: there is no memory yet."""
        raise RuntimeError("Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the "
                           "parameters before calling `module.share_memory()`.")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo: dict) -> Any:
        if id(self) not in memo:
            memo[id(self)] = self._like(self)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple:
        return type(self), (self.requires_grad, self.device, self.dtype)


def _conversion(name: str) -> Callable:
    method = getattr(Tensor, name)

    def convert(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._like(method(self._memory_of_nothing(), *args, **kwargs))
    return functools.wraps(method)(convert)


for _name in ("to", "cpu", "cuda", "half", "float", "double", "bfloat16", "char", "short", "int", "long"):
    setattr(UninitializedTensorMixin, _name, _conversion(_name))


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter of a lazy module before its first call."""

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        return cls._waiting(requires_grad, device, dtype)


class UninitializedBuffer(UninitializedTensorMixin, Buffer):
    """A buffer of a lazy module before its first call."""

    cls_to_become = Buffer

    def __new__(cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True) -> Any:
        made = cls._waiting(requires_grad, device, dtype)
        made.persistent = persistent
        return made


def is_lazy(param: Any) -> bool:
    """Whether a tensor is a parameter or buffer that waits for its shape."""
    return isinstance(param, UninitializedTensorMixin)
