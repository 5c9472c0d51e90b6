"""Operators as objects, by PyTorch's internal names: ``aten.add.Tensor``, ``aten.mm.default``.

>>> import clgrad
>>> aten.mm.default(clgrad.ones(1, 2), clgrad.ones(2, 1))
tensor([[2.]])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from clgrad.autograd.graph import TensorBase, needs_graph
from clgrad.formats import strided
from clgrad.ops.memory_formats import suggested_format
from clgrad.ops.pointwise import beside
from clgrad.ops.registry import FUNCTIONS, METHODS


def _to_copy(x: Any, *, layout: Any = None, pin_memory: bool | None = None, **options: Any) -> Any:
    made = x.to(copy=True, **options)
    return made if layout in (None, made.layout) else made.to_dense() if layout is strided else made.to_sparse(layout=layout)


def _slice(x: Any, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Any:
    return x[(slice(None),) * (dim % x.dim()) + (slice(start, end, step),)]


def _max_pool_backward(g: Any, x: Any, kernel_size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
                       indices: Any) -> Any:
    flat = x.new_zeros(x.shape).flatten(-2)
    made = flat.scatter_add(-1, indices.flatten(-2), g.flatten(-2)).view(x.shape)
    wanted = suggested_format(x)
    made = made if wanted is None else made.contiguous(memory_format=wanted)
    return beside(made, x) if needs_graph(x) else made


def _antialiased(mode: str) -> Callable:
    def resized(input: Any, output_size: Any, align_corners: bool, scale_factors: Any = None, scales_h: float | None = None,
                scales_w: float | None = None) -> Any:
        if scales_h is not None or scales_w is not None:
            raise NotImplementedError(f"_upsample_{mode}2d_aa: scales beside a size are not implemented")
        return FUNCTIONS["interpolate"](input, output_size, scale_factors, mode, align_corners, antialias=True)
    return resized


def _sparse_reduced(mat1: Any, mat2: Any, reduce: str) -> NoReturn:
    """NotImplementedError: ``clgrad.sparse.mm`` reduces, and does not say which terms were the largest."""
    raise NotImplementedError("torch.ops.aten._sparse_mm_reduce_impl: clgrad.sparse.mm reduces, and does not say which terms "
                              "were the largest")


# Operators that programs can call under these names only.
UNDER_THE_HOOD: dict[str, Callable] = {
    "_convolution": lambda *args: FUNCTIONS["convolution"](*args[:9]),  # behind which come settings of libraries
    "_to_copy": _to_copy,
    "alias": lambda x: x.view_as(x),
    "index": lambda x, indices: x[tuple(slice(None) if index is None else index for index in indices)],
    "max_pool2d_with_indices_backward": _max_pool_backward,
    "_pin_memory": lambda x, device=None: x.pin_memory(),
    "slice": _slice,
    "_local_scalar_dense": lambda x: x.item(),
    "_sparse_addmm": lambda x, a, b, beta=1, alpha=1: FUNCTIONS["addmm"](x, a, b, beta=beta, alpha=alpha),
    "_sparse_mm_reduce_impl": _sparse_reduced,
    "_unsafe_view": lambda x, size: x.reshape(size),
    "_upsample_bilinear2d_aa": _antialiased("bilinear"),
    "_upsample_bicubic2d_aa": _antialiased("bicubic"),
}
# One operator here is several there, by what computes it.
_SAME = {f"_scaled_dot_product_{kind}": "scaled_dot_product_attention"
         for kind in ("attention_math", "cudnn_attention", "efficient_attention", "flash_attention",
                      "flash_attention_for_cpu", "fused_attention_overrideable")}


# Overloads that are objects of their own, so that a program can tell which of them was called: of every operator ``out``, of
# these the ones named.
_APART = {"sort": ("stable",), "squeeze": ("dim", "dims")}


class Packet:
    """An operator. Most of its overloads are itself, as the arguments tell them apart."""

    def __init__(self, name: str, call: Callable, overload: str = ""):
        self._name, self._function, self._overload = name, call, overload

    @property
    def mutates(self) -> bool:
        """Whether the operator writes to its first operand."""
        return self._name.endswith("_") and not self._name.startswith("__")

    @property
    def overloadpacket(self) -> Packet:
        """The operator of an overload."""
        return Packet(self._name, self._function) if self._overload else self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the operator."""
        return self._function(*args, **kwargs)

    def __getattr__(self, overload: str) -> Packet:
        if overload.startswith("__"):
            raise AttributeError(overload)
        if overload != "out" and overload not in _APART.get(self._name, ()) or self._overload:
            return self
        made = self.__dict__[overload] = Packet(self._name, self._function, overload)
        return made

    def __repr__(self) -> str:
        if self._overload:
            return f"<OpOverload(op='aten.{self._name}', overload='{self._overload}')>"
        return f"<OpOverloadPacket(op='aten.{self._name}')>"


class Namespace:
    """The operators of PyTorch itself."""

    def __getattr__(self, name: str) -> Packet:
        if name in _SAME:
            return getattr(self, _SAME[name])  # type: ignore[no-any-return]
        found = FUNCTIONS.get(name) or UNDER_THE_HOOD.get(name) or METHODS.get(name)
        if found is None:
            raise AttributeError(f"'_OpNamespace' 'aten' object has no attribute '{name}'")
        packet = self.__dict__[name] = Packet(name, found)
        return packet


aten = Namespace()


def called(public: Callable, args: tuple, kwargs: dict) -> Packet:
    """The operator that PyTorch computes a public function by, where there is one: ``linear`` is ``addmm``, for example."""
    name = getattr(public, "operator_name", public.__name__)
    if name == "linear":
        name = "mm" if len(args) < 3 and kwargs.get("bias") is None else "addmm"
    elif name in ("matmul", "__matmul__"):
        name = "bmm" if all(t.ndim > 2 for t in args if isinstance(t, TensorBase)) else "mm"
    elif name.startswith("conv"):
        name = "convolution"
    return getattr(aten, name) if name in FUNCTIONS or name in METHODS else Packet(name, public)
