"""``torch.ops.torchvision``: operators that torchvision has in C++, with the arguments that they have there."""

from __future__ import annotations

from typing import Any

from clgrad.ops.overloads import Packet
from clgrad.vision.ops.boxes import nms as _nms
from clgrad.vision.ops.deform_conv import deform_conv2d as _deform_conv2d
from clgrad.vision.ops.regions import roi_align as _roi_align


def _suppressed(dets: Any, scores: Any, iou_threshold: float) -> Any:
    return _nms(dets, scores, iou_threshold)


def _aligned(input: Any, rois: Any, spatial_scale: float, pooled_height: int, pooled_width: int, sampling_ratio: int,
             aligned: bool) -> Any:
    return _roi_align(input, rois, (pooled_height, pooled_width), spatial_scale, sampling_ratio, aligned)


def _deformed(input: Any, weight: Any, offset: Any, mask: Any, bias: Any, stride_h: int, stride_w: int, pad_h: int,
              pad_w: int, dilation_h: int, dilation_w: int, groups: int, offset_groups: int, use_mask: bool) -> Any:
    return _deform_conv2d(input, offset, weight, bias, (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w),
                          mask if use_mask else None)


nms, roi_align = Packet("nms", _suppressed), Packet("roi_align", _aligned)
deform_conv2d = Packet("deform_conv2d", _deformed)
