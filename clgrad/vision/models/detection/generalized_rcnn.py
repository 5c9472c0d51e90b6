"""What all detectors do with their input, and the detectors with two stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.nn import Module
from clgrad.ops.registry import FUNCTIONS
from clgrad.tensor import Tensor

_cat, _where = FUNCTIONS["cat"], FUNCTIONS["where"]


def check_targets(targets: Sequence[dict] | None) -> None:
    """Looks whether targets have boxes (n, 4).

    Raises:
        AssertionError: there are no targets, or their boxes are something else.
    """
    if targets is None:
        raise AssertionError("targets should not be none when in training mode")
    for target in targets:
        boxes = target["boxes"]
        if not isinstance(boxes, Tensor):
            raise AssertionError(f"Expected target boxes to be of type Tensor, got {type(boxes)}.")
        if boxes.ndim != 2 or boxes.shape[-1] != 4:
            raise AssertionError(f"Expected target boxes to be a tensor of shape [N, 4], got {boxes.shape}.")


def check_boxes(targets: Sequence[dict] | None) -> None:
    """Looks on the host, once for all, whether all boxes of targets have a width and a height.

    Raises:
        AssertionError: one has none.
    """
    flat = [(target["boxes"][:, 2:] <= target["boxes"][:, :2]).any(1) for target in targets or ()]
    if not flat or not bool(_cat(flat).any()):
        return
    for number, (target, wrong) in enumerate(zip(targets or (), flat, strict=True)):
        boxes, places = target["boxes"], _where(wrong)[0]
        if len(places):
            raise AssertionError("All bounding boxes should have positive height and width. Found invalid box "
                                 f"{boxes[places[0]].tolist()} for target at index {number}.")


def sizes_of(images: Sequence[Any]) -> list[tuple[int, int]]:
    """Height and width of pictures (c, h, w).

    Raises:
        AssertionError: a picture without height and width.
    """
    for image in images:
        if image.ndim < 2:
            raise AssertionError("expecting the last two dimensions of the Tensor to be H and W instead got "
                                 f"{image.shape[-2:]}")
    return [tuple(image.shape[-2:]) for image in images]


def features_of(backbone: Module, images: Any) -> dict[str, Any]:
    """The feature maps of a batch by name; a single map is named "0"."""
    features = backbone(images)
    return {"0": features} if isinstance(features, Tensor) else features


def prepared(model: Any, images: Sequence[Any], targets: Sequence[dict] | None) -> tuple:
    """The pictures' sizes, the batch that a detector makes of them, and targets that fit it."""
    if model.training:
        check_targets(targets)
    sizes = sizes_of(images)
    batch, fitted = model.transform(images, targets)
    check_boxes(fitted)
    return sizes, batch, fitted


class GeneralizedRCNN(Module):
    """A detector with two stages: regions are proposed, then looked at.

    Called with a list of pictures (c, h, w), it returns for each a dict with ``boxes`` (n, 4), ``labels``, ``scores`` and
    what its heads find beside. While training it takes a list of such dicts of truths as well, and returns a dict of
    losses.

    Args:
        backbone: feature maps of a batch, one or a dict of them.
        rpn: proposes regions.
        roi_heads: look at regions.
        transform: prepares pictures, and takes what was found back.
    """

    def __init__(self, backbone: Module, rpn: Module, roi_heads: Module, transform: Any):
        super().__init__()
        self.transform, self.backbone, self.rpn, self.roi_heads = transform, backbone, rpn, roi_heads

    def forward(self, images: Sequence[Any], targets: Sequence[dict] | None = None) -> Any:
        """A list of detections, or while training a dict of losses.

        Raises:
            AssertionError: targets are missing while training, or have boxes of another shape or without area.
        """
        sizes, batch, fitted = prepared(self, images, targets)
        features = features_of(self.backbone, batch.tensors)
        proposals, proposal_losses = self.rpn(batch, features, fitted)
        detections, detector_losses = self.roi_heads(features, proposals, batch.image_sizes, fitted)
        detections = self.transform.postprocess(detections, batch.image_sizes, sizes)
        return {**detector_losses, **proposal_losses} if self.training else detections
