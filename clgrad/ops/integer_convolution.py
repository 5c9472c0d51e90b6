"""Convolutions of integers, in any number of dimensions: products of matrices of windows. They have no gradients."""

from __future__ import annotations

from math import prod
from typing import Any

from clgrad.ops.linalg import matmul
from clgrad.ops.padding import constant_pad_nd
from clgrad.ops.registry import FUNCTIONS
from clgrad.shapes import Shape


def convolve_integers(x: Any, w: Any, bias: Any, stride: Shape, padding: Shape, dilation: Shape, groups: int) -> Any:
    """The convolution of ([N,] Ci, *sizes) with (Co, Ci / groups, *kernel)."""
    rank, (filters, each, *kernel) = len(stride), w.spec.shape
    batched = x.spec.ndim == rank + 2
    windows = constant_pad_nd(x if batched else x.unsqueeze(0), [pad for pad in reversed(padding) for _ in range(2)])
    for axis, (size, step, spread) in enumerate(zip(kernel, stride, dilation, strict=True), 2):
        windows = windows.unfold(axis, spread * (size - 1) + 1, step)[..., ::spread]
    count, _, *places = windows.spec.shape[:rank + 2]
    taps = each * prod(kernel)
    # (N, groups, places, taps) by (groups, taps, filters of the group)
    rows = (windows.reshape(count, groups, each, prod(places), prod(kernel)).transpose(2, 3)
            .reshape(count, groups, prod(places), taps))
    y = matmul(rows, w.reshape(groups, filters // groups, taps).transpose(1, 2))
    y = y.transpose(2, 3).contiguous().view(count, filters, *places)
    y = y if bias is None else y + bias.view(-1, *[1] * rank)
    return y if batched else y.squeeze(0)


def transpose_integers(x: Any, w: Any, bias: Any, stride: Shape, padding: Shape, dilation: Shape, groups: int,
                       sizes: Shape) -> Any:
    """The transposed convolution of ([N,] Ci, *sizes) with (Ci, Co / groups, *kernel), whose results have ``sizes``.

    Zeros between the elements of ``x``, and around them, are convolved with the reversed weight.
    """
    rank, (channels, each, *kernel) = len(stride), w.spec.shape
    lead, own = x.spec.shape[:-rank], x.spec.shape[-rank:]
    spans = [spread * (size - 1) for spread, size in zip(dilation, kernel, strict=True)]
    wide = x.new_zeros([*lead, *[size + span for size, span in zip(sizes, spans, strict=True)]])
    # What lies outside is what the padding cuts off: a result's first window ends at its element number ``padding``.
    around = [span - pad for span, pad in zip(spans, padding, strict=True)]
    source: list[Any] = [...]
    target: list[Any] = [...]
    for axis, (size, step, first) in enumerate(zip(own, stride, around, strict=True)):
        skipped = max(0, -(first // step)) if first < 0 else 0
        start = first + skipped * step
        fit = min(size - skipped, -(-(wide.spec.shape[len(lead) + axis] - start) // step))
        source.append(slice(skipped, skipped + fit))
        target.append(slice(start, start + (fit - 1) * step + 1, step))
    wide[tuple(target)] = x[tuple(source)]
    w = w.view(groups, channels // groups, each, *kernel).transpose(1, 2).reshape(
        groups * each, channels // groups, *kernel)
    ones = (1,) * rank
    return convolve_integers(wide, FUNCTIONS["flip"](w, tuple(range(2, rank + 2))), bias,
                             ones, (0,) * rank, dilation, groups)
