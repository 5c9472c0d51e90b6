"""Operators that make tensors: constants, ranges, random numbers, windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.creation import arange, eye, full, zeros
from clgrad.from_data import tensor
from clgrad.onnx.operators.table import implements, ints, number, ops
from clgrad.onnx.protobuf import dtype_of
from clgrad.ops.random import Generator
from clgrad.sampling import randn
from clgrad.windows import CREATORS


@implements("Constant")
def constant(*, value: Any = None, value_float: Any = None, value_floats: Any = None, value_int: Any = None,
             value_ints: Any = None) -> Any:
    """A tensor that the graph holds."""
    if value is not None:
        return value
    if value_float is not None or value_floats is not None:
        return tensor(value_float if value_float is not None else value_floats, dtype=dtypes.float32)
    return tensor(value_int if value_int is not None else value_ints, dtype=dtypes.int64)


@implements("ConstantOfShape")
def constant_of_shape(shape: Any, *, value: Any = None) -> Any:
    """A tensor filled with one value, by default 0.0."""
    if value is None:
        return zeros(ints(shape), dtype=dtypes.float32, device=shape.device)
    return full(ints(shape), value.item(), dtype=value.dtype, device=shape.device)


@implements("Range")
def range_(start: Any, limit: Any, delta: Any) -> Any:
    """Numbers from ``start`` to before ``limit``."""
    first, last, step = number(start), number(limit), number(delta)
    count = max(math.ceil((last - first) / step), 0)
    return (arange(count, dtype=dtypes.int64, device=start.device) * step + first).to(start.dtype)


@implements("EyeLike")
def eye_like(x: Any, *, dtype: int | None = None, k: int = 0) -> Any:
    """Ones on a diagonal, zeros elsewhere, in the shape of a matrix."""
    kind = x.dtype if dtype is None else dtype_of(dtype)
    rows, columns = x.shape
    places = np.eye(rows, columns, k, dtype=bool)
    return eye(rows, columns, dtype=kind, device=x.device) if not k else tensor(places, device=x.device).to(kind)


@implements("OneHot")
def one_hot(indices: Any, depth: Any, values: Any, *, axis: int = -1) -> Any:
    """``values[1]`` at the places that the indices name along a new axis, ``values[0]`` elsewhere."""
    count = int(number(depth))
    at = axis + indices.dim() + 1 if axis < 0 else axis
    wanted = indices.to(dtypes.int64)
    wanted = ops.where(wanted < 0, wanted + count, wanted).unsqueeze(at)
    classes = arange(count, device=indices.device).reshape([count] + [1] * (indices.dim() - at))
    return ops.where(wanted == classes, values[1], values[0])


# Random numbers.

def _kind(dtype: int | None, default: Any) -> Any:
    return default if dtype is None else dtype_of(dtype)


def _generator(seed: float | None) -> Generator | None:
    """A stream that begins with the node's seed in every run; None, the default one, where it has none."""
    return None if seed is None else Generator().manual_seed(int(np.float32(seed).view(np.int32)))


def _normal(shape: Any, mean: float, scale: float, kind: Any, device: Any, seed: float | None) -> Any:
    return randn(*shape, dtype=kind, device=device, generator=_generator(seed)) * scale + mean


def _uniform(shape: Any, low: float, high: float, kind: Any, device: Any, seed: float | None) -> Any:
    return zeros(*shape, dtype=kind, device=device).uniform_(low, high, generator=_generator(seed))


@implements("RandomNormal")
def random_normal(*, shape: Any, mean: float = 0.0, scale: float = 1.0, seed: float | None = None, dtype: int = 1) -> Any:
    """Normal random numbers."""
    return _normal(shape, mean, scale, dtype_of(dtype), None, seed)


@implements("RandomNormalLike")
def random_normal_like(x: Any, *, mean: float = 0.0, scale: float = 1.0, seed: float | None = None,
                       dtype: int | None = None) -> Any:
    """Normal random numbers in a tensor's shape."""
    return _normal(x.shape, mean, scale, _kind(dtype, x.dtype), x.device, seed)


@implements("RandomUniform")
def random_uniform(*, shape: Any, low: float = 0.0, high: float = 1.0, seed: float | None = None, dtype: int = 1) -> Any:
    """Uniform random numbers."""
    return _uniform(shape, low, high, dtype_of(dtype), None, seed)


@implements("RandomUniformLike")
def random_uniform_like(x: Any, *, low: float = 0.0, high: float = 1.0, seed: float | None = None,
                        dtype: int | None = None) -> Any:
    """Uniform random numbers in a tensor's shape."""
    return _uniform(x.shape, low, high, _kind(dtype, x.dtype), x.device, seed)


@implements("Bernoulli")
def bernoulli(x: Any, *, dtype: int | None = None, seed: float | None = None) -> Any:
    """1 with the probability that each element gives."""
    return ops.bernoulli(x, generator=_generator(seed)).to(_kind(dtype, x.dtype))


@implements("Multinomial")
def multinomial(x: Any, *, dtype: int = 6, sample_size: int = 1, seed: float | None = None) -> Any:
    """Classes drawn from unnormalised log-probabilities."""
    return ops.multinomial(ops.exp(x), sample_size, True, generator=_generator(seed)).to(dtype_of(dtype))


# Windows.

@implements("HannWindow")
def hann(size: Any, *, periodic: int = 1, output_datatype: int = 1) -> Any:
    """A Hann window."""
    return CREATORS["hann_window"](number(size), bool(periodic), dtype=dtype_of(output_datatype), device=size.device)


@implements("HammingWindow")
def hamming(size: Any, *, periodic: int = 1, output_datatype: int = 1) -> Any:
    """A Hamming window, with the coefficients 25/46 and 21/46."""
    return CREATORS["hamming_window"](number(size), bool(periodic), 25 / 46, 21 / 46, dtype=dtype_of(output_datatype),
                                      device=size.device)


@implements("BlackmanWindow")
def blackman(size: Any, *, periodic: int = 1, output_datatype: int = 1) -> Any:
    """A Blackman window."""
    return CREATORS["blackman_window"](number(size), bool(periodic), dtype=dtype_of(output_datatype), device=size.device)
