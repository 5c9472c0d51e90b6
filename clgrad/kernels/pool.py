"""Max and average pooling, plain and adaptive, forward and backward: the launcher of ``pool.cl``."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from clgrad import dtypes
from clgrad.dtypes import dtype
from clgrad.kernels.launch import Plan
from clgrad.runtime import Bound, Device, Kernel
from clgrad.shapes import round_up

GROUP = 256   # work-items a group on GPUs, where they allow as many
GRAIN = 2048  # outputs (or inputs) that are worth a work-item of their own on a CPU


class Windows(NamedTuple):
    """Where the windows of a pooling lie; every field has one entry a spatial dimension, of one to three."""

    input: tuple[int, ...]
    output: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    adaptive: bool = False

    @property
    def is_plane(self) -> bool:
        """Whether there is one window, which is all of the plane."""
        return self.kernel == self.input and prod(self.output) == 1 and not any(self.padding)


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """PyTorch's number of windows; with ``ceil_mode`` the last one may hang over, but starts inside."""
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (span + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return count


def fixed(input: Sequence[int], kernel: Sequence[int], stride: Sequence[int], padding: Sequence[int],
          dilation: Sequence[int], ceil_mode: bool = False) -> Windows:
    """The windows of max_pool and avg_pool."""
    out = [output_size(*sizes, ceil_mode) for sizes in zip(input, kernel, stride, padding, dilation, strict=True)]
    return Windows(tuple(input), tuple(out), tuple(kernel), tuple(stride), tuple(padding), tuple(dilation))


def adaptive(input: Sequence[int], output: Sequence[int]) -> Windows:
    """The windows of adaptive pooling; where sizes divide evenly they are fixed windows."""
    rank = len(input)
    if all(o and i % o == 0 for i, o in zip(input, output, strict=True)):
        kernel = tuple(i // o for i, o in zip(input, output, strict=True))
        return Windows(tuple(input), tuple(output), kernel, kernel, (0,) * rank, (1,) * rank)
    ones = (1,) * rank
    return Windows(tuple(input), tuple(output), ones, ones, (0,) * rank, ones, True)


def plan(device: Device, kind: dtype, planes: int, windows: Windows, *, max_pool: bool,
         index_dtype: dtype = dtypes.int64, include_pad: bool = True, divisor: int = 0) -> Plan:
    """Pools ``planes`` contiguous planes of a floating-point dtype or of int64.

    ``include_pad`` and ``divisor`` (0: none) are avg_pool's ``count_include_pad`` and ``divisor_override``.
    """
    rows, width = planes * prod(windows.output[:-1]), windows.output[-1]
    per_item, work = _ndrange(device, rows, width)
    cost, kernel, sizes = _kernel(device, "pool", kind, planes, windows, max_pool, index_dtype)
    if rows * width == 0:
        return Plan(device, None, cost)
    return Plan(device, Bound(kernel, (work,), _local(device, device.is_cpu), 3, kernel.signature[3] * 3,
                              (planes, per_item, *sizes, int(include_pad), divisor), cost), cost)


def backward_plan(device: Device, kind: dtype, planes: int, windows: Windows, *, max_pool: bool,
                  index_dtype: dtype = dtypes.int64, include_pad: bool = True, divisor: int = 0,
                  gated: bool = False) -> Plan:
    """The gradient of :func:`plan`, for the same arguments. Writes every input's gradient, zeros too.

    ``gated``: the gate, which is what max pooling gave, says by its values above 0 what is handed back: the inputs are
    results of a ReLU, whose gradient this is then.
    """
    inputs = prod(windows.input)
    scatter = device.is_cpu and kind is kind.compute
    work = round_up(planes * inputs, device.limits.group(GROUP))
    per_item, work = _ndrange(device, planes, inputs) if scatter else (1, work)
    cost, kernel, sizes = _kernel(device, "pool_backward", kind, planes, windows, max_pool, index_dtype)
    if planes * inputs == 0:
        return Plan(device, None, cost)
    return Plan(device, Bound(kernel, (work,), _local(device, scatter), 4, kernel.signature[4] * 4,
                                      (planes, per_item, *sizes, int(include_pad), divisor, int(gated)), cost), cost)


def _kernel(device: Device, name: str, kind: dtype, planes: int, windows: Windows, max_pool: bool,
            index_dtype: dtype) -> tuple[tuple[int, int], Kernel, tuple[int, ...]]:
    """What a call costs, its kernel, and the sizes that the kernel takes."""
    inputs, outputs = planes * prod(windows.input), planes * prod(windows.output)
    taps = prod(windows.kernel)
    cost = (outputs * taps, (inputs + outputs) * kind.itemsize + outputs * index_dtype.itemsize * max_pool)
    wide = max(inputs, outputs) >= 1 << 30
    index, real = ("l" if wide else "i"), kind.compute.cl if kind.is_floating_point else "long"
    macros = {"IN": kind.code, "REAL": real, "LOWEST": "(-INFINITY)" if kind.is_floating_point else "LONG_MIN",
              "MASK": "int" if real == "float" else "long", "IDX": index_dtype.cl,
              "MAX_POOL": int(max_pool), "ADAPTIVE": int(windows.adaptive), "VW": 8,
              "SCATTER": int(device.is_cpu and kind is kind.compute), "INDEX": "long" if wide else "int"}
    signature = "PPP" + index * 5 + "i" * 20 if name == "pool" else "PPPP" + index * 6 + "i" * 21
    sizes = tuple(size for field, fill in zip(windows[:6], (1, 1, 1, 1, 0, 1), strict=True)
                  for size in (fill,) * (3 - len(field)) + field)
    return cost, device.kernel("pool.cl", name, macros, signature), sizes


def _local(device: Device, is_serial: bool) -> tuple[int]:
    return (1,) if is_serial else (device.limits.group(GROUP),)


def _ndrange(device: Device, rows: int, width: int) -> tuple[int, int]:
    """Rows a work-item and the global size; on GPUs one work-item an element."""
    if not device.is_cpu:
        return 1, round_up(rows * width, device.limits.group(GROUP))
    per_item = max(1, min(rows, GRAIN // max(width, 1)), -(-rows // (device.limits.compute_units * 8)))
    return per_item, -(-rows // per_item)
