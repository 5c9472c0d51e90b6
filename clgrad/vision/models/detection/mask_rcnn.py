"""Mask R-CNN (He et al. 2017): Faster R-CNN that finds a mask of each box as well."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from clgrad import nn
from clgrad.vision.models.detection.common import builder
from clgrad.vision.models.detection.faster_rcnn import (
    FasterRCNN,
    check_backbone,
    check_kind,
    initialise_heads,
    regions,
    resnet_pyramid,
    second_version,
)
from clgrad.vision.models.weights import enumerations
from clgrad.vision.ops.misc import Conv2dNormActivation, renamed
from clgrad.vision.ops.poolers import MultiScaleRoIAlign


class MaskRCNN(FasterRCNN):
    """Mask R-CNN on a backbone: detections have ``masks`` (n, 1, height, width) of probabilities, targets ``masks`` (n,
    height, width) of 0 and 1.

    Args:
        backbone, num_classes: as those of :class:`FasterRCNN`, as are all other arguments.
        mask_roi_pool: a :class:`MultiScaleRoIAlign`. Default: regions of 14 x 14 pixels.
        mask_head, mask_predictor: by default :class:`MaskRCNNHeads` and :class:`MaskRCNNPredictor`.

    Raises:
        ValueError: both of ``num_classes`` and ``mask_predictor`` are given.
        TypeError: an argument of another class.
    """

    def __init__(self, backbone: nn.Module, num_classes: int | None = None, *args: Any, mask_roi_pool: Any = None,
                 mask_head: Any = None, mask_predictor: Any = None, **kwargs: Any):
        check_kind("mask_roi_pool", mask_roi_pool, MultiScaleRoIAlign)
        if num_classes is not None and mask_predictor is not None:
            raise ValueError("num_classes should be None when mask_predictor is specified")
        check_backbone(backbone)
        if mask_head is None:
            mask_head = MaskRCNNHeads(backbone.out_channels, (256,) * 4, 1)  # type: ignore[arg-type]
        if mask_predictor is None:
            mask_predictor = MaskRCNNPredictor(256, 256, num_classes)  # type: ignore[arg-type]
        super().__init__(backbone, num_classes, *args, **kwargs)
        self.roi_heads.mask_roi_pool = mask_roi_pool or regions(14)
        self.roi_heads.mask_head, self.roi_heads.mask_predictor = mask_head, mask_predictor


class MaskRCNNHeads(nn.Sequential):
    """3x3 convolutions over a region, of the widths ``layers``."""

    _version = 2  # convolutions stand in blocks

    def __init__(self, in_channels: int, layers: Sequence[int], dilation: int, norm_layer: Callable | None = None):
        widths = [in_channels, *layers]
        super().__init__(*(Conv2dNormActivation(before, after, 3, 1, dilation, dilation=dilation, norm_layer=norm_layer)
                           for before, after in zip(widths, widths[1:], strict=False)))
        initialise_heads(self)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: dict, *args: Any) -> None:
        if (local_metadata.get("version") or 1) < 2:
            for number in range(len(self)):
                renamed(state_dict, f"{prefix}mask_fcn{number + 1}", f"{prefix}{number}.0")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)


class MaskRCNNPredictor(nn.Sequential):
    """Scores (n, ``num_classes``, 2h, 2w) of regions (n, ``in_channels``, h, w).

    >>> import clgrad
    >>> MaskRCNNPredictor(8, 4, 3)(clgrad.zeros(5, 8, 14, 14)).shape
    torch.Size([5, 3, 28, 28])
    """

    def __init__(self, in_channels: int, dim_reduced: int, num_classes: int):
        super().__init__(OrderedDict(conv5_mask=nn.ConvTranspose2d(in_channels, dim_reduced, 2, 2),
                                     relu=nn.ReLU(inplace=True), mask_fcn_logits=nn.Conv2d(dim_reduced, num_classes, 1)))
        for layer in (self.conv5_mask, self.mask_fcn_logits):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


def _on_resnet(weights: Any, trained: bool, num_classes: int, learning: int, **kwargs: Any) -> MaskRCNN:
    return MaskRCNN(resnet_pyramid(weights, trained, learning), num_classes, **kwargs)


def _on_resnet_v2(weights: Any, trained: bool, num_classes: int, learning: int, **kwargs: Any) -> MaskRCNN:
    parts = second_version(weights, learning)
    parts["mask_head"] = MaskRCNNHeads(parts["backbone"].out_channels, [256] * 4, 1, norm_layer=nn.BatchNorm2d)
    return MaskRCNN(num_classes=num_classes, **{**parts, **kwargs})


maskrcnn_resnet50_fpn = builder(_on_resnet, "maskrcnn_resnet50_fpn", "MaskRCNN_ResNet50_FPN_Weights", "ResNet50_Weights",
                                eps=0.0)
maskrcnn_resnet50_fpn_v2 = builder(_on_resnet_v2, "maskrcnn_resnet50_fpn_v2", "MaskRCNN_ResNet50_FPN_V2_Weights",
                                   "ResNet50_Weights", default=None)
globals().update(enumerations("MaskRCNN"))
