"""Discrete Fourier transforms: those of ``torch.fft``.

There is one operator, :func:`transform`, a linear map along one dimension: numbers, real or complex, zeros after them up to
the transform's length, the transform, and of its results the first ones, or their real parts. Its gradient is such a map too,
of the other direction, with input and output exchanged. The others are made of it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod, sqrt
from operator import index
from typing import Any

from clgrad import dtypes
from clgrad.autograd.graph import attach, needs_graph
from clgrad.dtypes import dtype, type_name
from clgrad.kernels import fft as kernels
from clgrad.kernels.fft import Ends
from clgrad.ops.copying import empty, table
from clgrad.ops.execute import check_specs, execute
from clgrad.ops.output import store
from clgrad.ops.registry import operator
from clgrad.runtime import device
from clgrad.shapes import normalize_dim
from clgrad.spec import Spec

# The operator.

@operator("_fourier", method=False)
def transform(x: Any, axis: int, n: int, ends: Ends, inverse: bool, scale: float) -> Any:
    """``scale`` times the transform of length n along a dimension, which is counted from the end.

    With ``ends.real_in`` the tensor is real, otherwise complex; with ``ends.real_out`` so is the result.
    """
    x = x.contiguous()
    own = x.spec
    result = x
    for plan, tables, shape, kind in _planned(own, axis, n, ends, inverse, scale):
        result, operands = empty(shape, kind, own.device), (result, *tables)
        execute(plan, operands, (result,))
    if needs_graph(x):
        back = Ends(own.shape[axis], ends.real_out, ends.real_in, ends.halves_out, ends.halves_in)
        name = "FftR2C" if ends.real_in else "FftC2R" if ends.real_out else "FftC2C"
        attach(result, name, (x,), lambda g: transform(g, axis, n, back, not inverse, scale))
    return result


@lru_cache(maxsize=4096)
def _planned(own: Spec, axis: int, n: int, ends: Ends, inverse: bool, scale: float) -> list[tuple]:
    """The launches of a transform: their plan, their tables on the device, and the shape and dtype of what they make."""
    place, real = own.device, own.dtype.to_real()
    outer, inner = own.shape[:axis], own.shape[axis:][1:]
    shape = (prod(outer), own.shape[axis], prod(inner))
    found = []
    for step in kernels.steps(check_specs("fft", own), real, shape, n, ends, inverse=inverse, scale=scale):
        made = (*outer, step.shape[1], *inner) if step.shape[2] == shape[2] else step.shape
        tables = tuple([_table(one, real, place) for one in step.tables])
        found.append((step.plan, tables, made, real if step.real else real.to_complex()))
    return found


@lru_cache(maxsize=512)
def _table(numbers: kernels.Table, kind: dtype, place: device) -> Any:
    return table(numbers.array(), kind, place)


# What all functions do with their arguments.

def _numbers(x: Any) -> Any:
    """The operand as a tensor that can be transformed: integers become floating point."""
    own = x.spec.dtype
    if not own.differentiable:
        return x.to(dtypes.get_default_dtype())
    if own.itemsize == 2:
        raise RuntimeError(f"Unsupported dtype {type_name(own)}")
    return x


def _scale(norm: str | None, count: int, inverse: bool) -> float:
    """What the sums over ``count`` numbers are multiplied by."""
    if norm not in (None, "backward", "forward", "ortho"):
        if not isinstance(norm, str):
            raise TypeError(f"argument 'norm' must be str, not {type(norm).__name__}")
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    if norm == "ortho":
        return 1 / sqrt(count)
    return 1 / count if inverse == (norm != "forward") else 1.0


def _check_length(n: int) -> None:
    if index(n) < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")


def _axis(x: Any, dim: int) -> int:
    """A dimension, counted from the end."""
    if not x.spec.ndim:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return normalize_dim(dim, x.spec.ndim) - x.spec.ndim


def _shortened(x: Any, axis: int, n: int) -> Any:
    """The first n numbers of those along a dimension; the tensor itself where there are no more."""
    return x.narrow(axis, 0, n) if x.spec.shape[axis] > n else x


def _check_out(name: str, out: Any, real: bool) -> None:
    """RuntimeError where a tensor that is to hold a result cannot."""
    if out is not None and (not out.spec.dtype.is_floating_point if real else not out.spec.dtype.is_complex):
        raise RuntimeError(f"{name} expects a {'floating point' if real else 'complex'} output tensor, but got "
                           f"{type_name(out.spec.dtype)}")


def _refuse_complex(name: str, x: Any, kind: str = "real") -> None:
    if x.spec.dtype.is_complex:
        raise RuntimeError(f"{name} expects a {kind} input tensor, but got {type_name(x.spec.dtype)}")


def _to_complex(x: Any, axis: int, n: int, inverse: bool, scale: float) -> Any:
    return transform(_shortened(x, axis, n), axis, n, Ends(n, real_in=not x.spec.dtype.is_complex), inverse, scale)


def _to_half(x: Any, axis: int, n: int, inverse: bool, scale: float) -> Any:
    """Of real numbers: the other half of the results are the conjugates of these."""
    return transform(_shortened(x, axis, n), axis, n, Ends(n // 2 + 1, real_in=True), inverse, scale)


def _from_half(x: Any, axis: int, n: int, inverse: bool, scale: float) -> Any:
    """The real numbers of which a tensor is the half of their transform."""
    if not x.spec.dtype.is_complex:
        x = x.to(x.spec.dtype.to_complex())
    return transform(_shortened(x, axis, n // 2 + 1), axis, n, Ends(n, real_out=True, halves_in=True), inverse, scale)


# Along one dimension.

def _along_one(name: str, x: Any, n: int | None, dim: int, norm: str | None, out: Any, inverse: bool, *,
               along: Callable[..., Any] = _to_complex) -> Any:
    _check_out(name, out, along is _from_half)
    if along is _to_half:
        _refuse_complex(name, x)
    x = _numbers(x)
    axis = _axis(x, dim)
    if n is None:
        n = 2 * (x.spec.shape[axis] - 1) if along is _from_half else x.spec.shape[axis]
    _check_length(n)
    return store(name, along(x, axis, n, inverse, _scale(norm, n, inverse)), out)


@operator("fft_fft", method=False, function=False)
def fft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Any:
    """The Fourier transform along a dimension: ``sum over j of input[j] exp(-2 pi i j k / n)`` for each k.

    Args:
        input: Any shape; real or complex, integers are taken as floating-point numbers.
        n: The length; longer inputs are cut, after shorter ones come zeros. Default: the input's.
        dim: The dimension.
        norm: "forward" divides the result by n, "ortho" by its square root, "backward" (default) not at all. Inverse
            transforms are divided by n with "backward".
        out: Takes the result.

    Raises:
        RuntimeError: ``n`` is less than 1, an unknown ``norm``, a 16-bit dtype.
        IndexError: There is no such dimension.

    >>> import clgrad
    >>> clgrad.fft.fft(clgrad.tensor([1., 0., 0., 0.])).real
    tensor([1., 1., 1., 1.])
    """
    return _along_one("fft", input, n, dim, norm, out, False)


@operator("fft_ifft", method=False, function=False)
def ifft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Any:
    """The inverse of :func:`fft`."""
    return _along_one("ifft", input, n, dim, norm, out, True)


@operator("fft_rfft", method=False, function=False)
def rfft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Any:
    """:func:`fft` of real numbers: its first n // 2 + 1 results, of which the others are the conjugates.

    >>> import clgrad
    >>> clgrad.fft.rfft(clgrad.tensor([1., 2., 3., 4.])).shape
    torch.Size([3])
    """
    return _along_one("rfft", input, n, dim, norm, out, False, along=_to_half)


@operator("fft_irfft", method=False, function=False)
def irfft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Any:
    """The inverse of :func:`rfft`: n real numbers (default: the even number 2 * (size - 1))."""
    return _along_one("irfft", input, n, dim, norm, out, True, along=_from_half)


@operator("fft_hfft", method=False, function=False)
def hfft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Any:
    """:func:`fft`, n real numbers, of numbers whose other half are the conjugates of these (default n: 2 * (size - 1))."""
    return _along_one("hfft", input, n, dim, norm, out, False, along=_from_half)


@operator("fft_ihfft", method=False, function=False)
def ihfft(input: Any, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Any:
    """The inverse of :func:`hfft`, of real numbers: n // 2 + 1 numbers."""
    return _along_one("ihfft", input, n, dim, norm, out, True, along=_to_half)


# Along several dimensions.

def _axes(x: Any, s: Any, dim: Any) -> tuple[list[int], list[int | None]]:
    """The dimensions, counted from the end, and the length along each, None where it was not given."""
    s, dim = ([value] if isinstance(value, int) else value for value in (s, dim))
    rank = x.spec.ndim
    if dim is None:
        if s is not None and len(s) > rank:
            raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {rank} dimensions.")
        axes = list(range(-(rank if s is None else len(s)), 0))
    else:
        axes = [_axis(x, d) for d in dim]
        if len(set(axes)) != len(axes):
            raise RuntimeError("FFT dims must be unique")
        if s is not None and len(s) != len(axes):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
    return axes, [None] * len(axes) if s is None else [None if n == -1 else n for n in s]


def _along_several(name: str, x: Any, s: Any, dim: Any, norm: str | None, out: Any, inverse: bool, *,
                   last: Callable[..., Any] = _to_complex) -> Any:
    """Transforms of complex numbers along all dimensions but the last one, where that is ``last``."""
    _check_out(name, out, last is _from_half)
    x = _numbers(x)
    axes, given = _axes(x, s, dim)
    if not axes:
        if last is not _to_complex:
            raise RuntimeError(f"{name} must transform at least one axis")
        return store(name, x.to(x.spec.dtype.to_complex()), out)
    lengths = [x.spec.shape[axis] if n is None else n for axis, n in zip(axes, given, strict=True)]
    if last is _from_half and given[-1] is None:
        lengths[-1] = 2 * (lengths[-1] - 1)
    for n in lengths:
        _check_length(n)
    scale = _scale(norm, prod(lengths), inverse)
    others = list(zip(axes, lengths, strict=True))[-2::-1]
    if last is _from_half:  # real numbers come last
        for axis, n in others:
            x = _to_complex(x, axis, n, inverse, 1.0)
        return store(name, last(x, axes[-1], lengths[-1], inverse, scale), out)
    x = last(x, axes[-1], lengths[-1], inverse, scale)
    for axis, n in others:
        x = _to_complex(x, axis, n, inverse, 1.0)
    return store(name, x, out)


@operator("fft_fftn", method=False, function=False)
def fftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Any:
    """The Fourier transforms along several dimensions, one after the other.

    Args:
        input: Any shape; see :func:`fft`.
        s: A length for each dimension, -1 for the input's (default: all are the input's).
        dim: The dimensions (default: the last ones, as many as ``s`` has; without it all).
        norm: As in :func:`fft`, with the product of the lengths as n.
        out: Takes the result.
    """
    return _along_several("fftn", input, s, dim, norm, out, False)


@operator("fft_ifftn", method=False, function=False)
def ifftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Any:
    """The inverse of :func:`fftn`."""
    return _along_several("fftn", input, s, dim, norm, out, True)


@operator("fft_rfftn", method=False, function=False)
def rfftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Any:
    """:func:`fftn` of real numbers: along the last of the dimensions the first n // 2 + 1 results, see :func:`rfft`."""
    _refuse_complex("rfftn", input, "real-valued")
    return _along_several("rfftn", input, s, dim, norm, out, False, last=_to_half)


@operator("fft_irfftn", method=False, function=False)
def irfftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Any:
    """The inverse of :func:`rfftn`, real numbers (default length of the last dimension: 2 * (size - 1))."""
    return _along_several("irfftn", input, s, dim, norm, out, True, last=_from_half)


@operator("fft_hfftn", method=False, function=False)
def hfftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Any:
    """:func:`fftn`, real numbers, of numbers of which along the last dimension half are given; see :func:`hfft`."""
    return _along_several("hfftn", input, s, dim, norm, out, False, last=_from_half)


@operator("fft_ihfftn", method=False, function=False)
def ihfftn(input: Any, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Any:
    """The inverse of :func:`hfftn`, of real numbers."""
    if input.spec.dtype.is_complex:
        raise RuntimeError(f"Only supports floating-point dtypes, but found: {type_name(input.spec.dtype)}")
    return _along_several("ihfftn", input, s, dim, norm, out, True, last=_to_half)


def _of_two(several: Callable[..., Any]) -> Callable[..., Any]:
    """A transform along several dimensions whose default are the last two."""
    name = several.__name__.removesuffix("n") + "2"

    def made(input: Any, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Any = None) -> Any:
        return several(input, s, dim, norm, out=out)
    made.__name__ = made.__qualname__ = name.removeprefix("fft_")
    made.__doc__ = f":func:`{several.__name__.removeprefix('fft_')}` along the last two dimensions, or those of ``dim``."
    return operator(name, method=False, function=False)(made)


fft2, ifft2, rfft2, irfft2, hfft2, ihfft2 = (_of_two(several) for several in (fftn, ifftn, rfftn, irfftn, hfftn, ihfftn))
