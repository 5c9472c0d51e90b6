"""Boxes that overlap better ones: which pairs of a class do, as bits."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.kernels import overlaps as kernels
from clgrad.ops.copying import empty
from clgrad.ops.execute import check_device, execute
from clgrad.ops.registry import operator
from clgrad.shapes import divide_up


@lru_cache(64)
def _plan(device: Any, kind: dtypes.dtype, count: int, threshold: float) -> kernels.Plan:
    return kernels.plan(device, kind, count, threshold)


@operator("overlapping_boxes", method=False, function=False)
def overlapping_boxes(boxes: Any, classes: Any, threshold: float) -> Any:
    """For each of n boxes those after it, of its class, that overlap it by more than ``threshold``: bits (n, n / 32 rounded
    up) in words of int32.

    A kernel, as the overlaps of all pairs in floating point would need a hundred times the memory, 3 GB for 9,000 boxes.

    Args:
        boxes: (n, 4) of float32 or float64, corners; n is not 0.
        classes: (n), in order.
        threshold: in 0..1.
    """
    boxes, classes = boxes.detach().contiguous(), classes.contiguous()
    own, device = boxes.spec, check_device("nms", boxes, classes)
    # The largest number of the dtype that is not above the threshold: what is more than the one is more than the other.
    number = own.dtype.numpy.type(threshold)
    if float(number) > threshold:
        number = np.nextafter(number, own.dtype.numpy.type(-np.inf))
    out = empty((own.shape[0], divide_up(own.shape[0], kernels.BITS)), dtypes.int32, own.device)
    execute(_plan(device, own.dtype, own.shape[0], float(number)), (boxes, classes), (out,))
    return out
