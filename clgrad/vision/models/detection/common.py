"""What the functions of all detectors do with their arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.vision.models.detection.backbone_utils import check_trainable_layers
from clgrad.vision.models.detection.matching import overwrite_eps
from clgrad.vision.models.weights import DETECTION_ENUMS, ENUMS, loaded, of_weights, required


def builder(make: Callable, function: str, known: str, of_backbone: str, default: str | None = "IMAGENET1K_V1",
            layers: tuple[int, int] = (5, 3), eps: float | None = None) -> Callable:
    """The public function of a detector.

    Args:
        make: makes the model of the backbone's weights, whether there are any weights, ``num_classes``, the number of stages
            that learn, and other arguments.
        function: the name.
        known, of_backbone: the names of the enumerations of its weights and of its backbone's.
        default: the backbone's weights where none are given.
        layers: how many stages the backbone has, and how many of them learn by default.
        eps: what frozen norms add to variances with the published weights ``COCO_V1``.
    """
    detectors, backbones = DETECTION_ENUMS[known], ENUMS[of_backbone]
    usual = None if default is None else backbones[default]  # type: ignore[misc]

    def build(weights: Any = None, progress: bool = True, num_classes: int | None = None, weights_backbone: Any = usual,
              trainable_backbone_layers: int | None = None, **kwargs: Any) -> Any:
        pretrained = kwargs.pop("pretrained", weights is True)
        if pretrained:
            weights = "COCO_LEGACY" if pretrained == "legacy" else "COCO_V1"
        if "pretrained_backbone" in kwargs:
            weights_backbone = (usual or "IMAGENET1K_V1") if kwargs.pop("pretrained_backbone") else None
        found = detectors.verify(weights or None)
        backbone = backbones.verify(weights_backbone)
        if found is not None:
            backbone, given = None, {} if num_classes is None else {"num_classes": num_classes}
            required(given, "num_classes", found.meta["num_classes"])
            num_classes = given["num_classes"]
            if "keypoint_names" in found.meta:
                required(kwargs, "num_keypoints", len(found.meta["keypoint_names"]))
        trained = found is not None or backbone is not None
        learning = check_trainable_layers(trained, trainable_backbone_layers, *layers)
        classes = len(detectors.DEFAULT.meta["categories"]) if num_classes is None else num_classes
        model = loaded(make(backbone, trained, classes, learning, **kwargs), found, progress)
        if eps is not None and found is not None and found.name == "COCO_V1":
            overwrite_eps(model, eps)
        return model
    build.__name__ = build.__qualname__ = function
    build.__module__ = make.__module__
    build.__doc__ = f"""{function}: an untrained detector, or one with published weights.

    Args:
        weights: None, or published ones ({known}).
        num_classes: default: {len(detectors.DEFAULT.meta["categories"])}, as many as the published weights know.
        weights_backbone: weights of the backbone ({of_backbone}) where there are no other ones. Default: {default}.
        trainable_backbone_layers: how many of the backbone's {layers[0]} stages, the last ones, learn; all where there are no
            weights. Default: {layers[1]}.
        **kwargs: arguments of the detector's class.
    """
    return of_weights(known)(build)
