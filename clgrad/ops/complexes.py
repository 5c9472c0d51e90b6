"""Complex numbers: as pairs of real ones and back, their parts, conjugates.

A complex tensor's memory is that of a real one with a last dimension of 2, its real and its imaginary parts. What is
holomorphic is a row of the table (see ``COMPLEX`` there); what acts on the parts acts on :func:`view_as_real`. Gradients
are those of the parts: that of z = x + iy is dL/dx + i dL/dy, as in PyTorch.
"""

from __future__ import annotations

from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import attach, ends_in, needs_graph, wrap
from clgrad.ops import pointwise
from clgrad.ops.output import add_in_place, store
from clgrad.ops.registry import FUNCTIONS, REGISTRY, operator
from clgrad.ops.views import view_of_spec
from clgrad.spec import Spec, spec

_JOINED = REGISTRY.pointwise["_complex"]
_CONJUGATE = REGISTRY.pointwise["_conj"]
_QUOTIENT = REGISTRY.pointwise["_quotient_or_zero"]


@operator("view_as_real", method=False)
def view_as_real(input: Any) -> Any:
    """The real (..., 2) tensor of the real and imaginary parts (...) of a complex one, in the same memory.

    >>> import clgrad
    >>> clgrad.view_as_real(clgrad.tensor([1 + 2j]))
    tensor([[1., 2.]])
    """
    own = input.spec
    if not own.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    made = spec((*own.shape, 2), (*[2 * step for step in own.strides], 1), own.dtype.to_real(), own.device)
    return view_of_spec(input, 2 * input.offset, made, view_as_real, "ViewAsReal", of_pairs)


@operator("view_as_complex", method=False)
def view_as_complex(input: Any) -> Any:
    """The complex tensor (...) whose real and imaginary parts are those of a real (..., 2) one, in the same memory.

    Raises:
        RuntimeError: the last dimension has not the size 2 and the stride 1, or the other strides are odd.
    """
    made = _spec_of_pairs(input)
    return view_of_spec(input, input.offset // 2, made, view_as_complex, "ViewAsComplex", view_as_real)


def _spec_of_pairs(x: Any) -> Spec:
    own = x.spec
    if own.dtype not in (dtypes.float32, dtypes.float64):
        raise RuntimeError("view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar "
                           f"type: {dtypes.type_name(own.dtype)}")
    if not own.ndim:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if own.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if own.strides[-1] != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(step % 2 for step in own.strides[:-1]):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    if x.offset % 2:
        raise RuntimeError("Tensor must have a storage_offset divisible by 2")
    return spec(own.shape[:-1], tuple([step // 2 for step in own.strides[:-1]]), own.dtype.to_complex(), own.device)


def of_pairs(pairs: Any) -> Any:
    """The complex numbers of a fresh tensor of pairs, or of a copy where they do not lie as those do."""
    own = pairs.spec
    if own.strides[-1] != 1 or pairs.offset % 2 or any(step % 2 for step in own.strides[:-1]):
        pairs = pairs.contiguous()
    made = wrap(pairs.memory, pairs.offset // 2, _spec_of_pairs(pairs))
    if needs_graph(pairs):
        attach(made, "ViewAsComplex", (pairs,), view_as_real)
    return made


def joined(real: Any, imag: Any) -> Any:
    """The complex numbers of real and imaginary parts of one dtype, broadcast."""
    return pointwise.call(_JOINED, (real, imag))


def _check_parts(one: Any, other: Any, out: Any) -> None:
    """RuntimeError unless two tensors have the dtype of a complex number's parts, and ``out`` that of the number."""
    kinds = one.spec.dtype, other.spec.dtype
    first, second = (dtypes.type_name(kind) for kind in kinds)
    if any(kind not in (dtypes.float16, dtypes.float32, dtypes.float64) for kind in kinds):
        raise RuntimeError(f"Expected both inputs to be Half, Float or Double tensors but got {first} and {second}")
    if kinds[0] is not kinds[1]:
        raise RuntimeError(f"Expected object of scalar type {first} but got scalar type {second} for second argument")
    if out is not None and out.spec.dtype is not kinds[0].to_complex():
        raise RuntimeError(f"Expected object of scalar type {dtypes.type_name(kinds[0].to_complex())} but got scalar type "
                           f"{dtypes.type_name(out.spec.dtype)} for argument 'out'")


@operator("complex", method=False)
def complex_(real: Any, imag: Any, *, out: Any = None) -> Any:
    """``real + i imag``, of two floating-point tensors of one dtype, broadcast."""
    _check_parts(real, imag, out)
    return store("complex", joined(real, imag), out)


@operator("polar", method=False)
def polar(abs: Any, angle: Any, *, out: Any = None) -> Any:
    """``abs * (cos(angle) + i sin(angle))``, of two floating-point tensors of one dtype, broadcast."""
    _check_parts(abs, angle, out)
    return store("polar", joined(abs * FUNCTIONS["cos"](angle), abs * FUNCTIONS["sin"](angle)), out)


@operator("real", method=False)
def real(input: Any) -> Any:
    """The real parts, in the same memory; a real tensor itself."""
    return view_as_real(input).select(-1, 0) if input.spec.dtype.is_complex else input


@operator("imag", method=False)
def imag(input: Any) -> Any:
    """The imaginary parts, in the same memory; RuntimeError for a real tensor."""
    if not input.spec.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return view_as_real(input).select(-1, 1)


@operator("conj")
def conj(input: Any) -> Any:
    """The complex conjugate, a tensor of its own; a real tensor itself."""
    return pointwise.call(_CONJUGATE, (input,)) if input.spec.dtype.is_complex else input


@operator("conj_physical")
def conj_physical(input: Any, *, out: Any = None) -> Any:
    """The complex conjugate; a real tensor itself."""
    return store("conj_physical", conj(input), out, exact=True)


@operator("conj_physical_")
def conj_physical_(input: Any) -> Any:
    """Conjugates in place; a real tensor stays as it is."""
    return pointwise.call_in_place(_CONJUGATE, (input,)) if input.spec.dtype.is_complex else input


@operator("resolve_conj", "resolve_neg")
def resolve_conj(input: Any) -> Any:
    """The tensor itself: its values stand in memory as they are."""
    return input


@operator("isreal")
def isreal(input: Any) -> Any:
    """Whether each element's imaginary part is 0."""
    if input.spec.dtype.is_complex:
        return imag(input) == 0
    return FUNCTIONS["ones_like"](input, dtype=dtypes.bool)


@operator("sgn")
def sgn(input: Any, *, out: Any = None) -> Any:
    """Complex numbers over their absolute values, 0 where they are 0; of a real tensor its signs.

    >>> import clgrad
    >>> clgrad.sgn(clgrad.tensor([3 + 4j, 0]))
    tensor([0.6000+0.8000j, 0.0000+0.0000j])
    """
    if input.spec.dtype.is_complex:
        result = pointwise.call(_QUOTIENT, (input, FUNCTIONS["abs"](input)))
    else:
        result = FUNCTIONS["sign"](input)
    return store("sgn", ends_in(result, "Sgn"), out, exact=True)


add_in_place("sgn")
