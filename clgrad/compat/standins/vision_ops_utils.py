"""``torchvision.ops._utils``: what programs that train detectors take from it."""

from __future__ import annotations

from typing import Any

from clgrad import nn
from clgrad.vision.ops.regions import rows_of

__all__ = ["check_roi_boxes_shape", "convert_boxes_to_roi_format", "split_normalization_params"]


def convert_boxes_to_roi_format(boxes: Any) -> Any:
    """A list with a tensor (n, 4) for each picture as rows (picture, x1, y1, x2, y2)."""
    return rows_of("convert_boxes_to_roi_format", boxes)


def check_roi_boxes_shape(boxes: Any) -> None:
    """AssertionError where boxes are neither such rows nor such a list."""
    rows_of("check_roi_boxes_shape", boxes)


def split_normalization_params(model: nn.Module, norm_classes: list[type] | None = None) -> tuple[list, list]:
    """A model's trained parameters: those of layers that normalise, and the others, which programs let decay.

    Raises:
        ValueError: one of ``norm_classes`` is no module.
    """
    classes = tuple(norm_classes or (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.LayerNorm,
                                     nn.GroupNorm, nn.LocalResponseNorm))
    for one in classes:
        if not issubclass(one, nn.Module):
            raise ValueError(f"Class {one} is not a subclass of nn.Module.")
    parts: tuple[list, list] = ([], [])
    for module in model.modules():
        normalises = next(module.children(), None) is None and isinstance(module, classes)
        parts[0 if normalises else 1].extend(p for p in module.parameters(recurse=False) if p.requires_grad)
    return parts
