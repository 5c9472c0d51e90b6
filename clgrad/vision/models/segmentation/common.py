"""What the segmentation models share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.nn import Module
from clgrad.nn.functional import interpolate
from clgrad.vision.models.mobilenetv3 import mobilenet_v3_large
from clgrad.vision.models.parts import IntermediateLayerGetter
from clgrad.vision.models.weights import ENUMS, SEGMENTATION_ENUMS, loaded, of_weights, required


class SimpleSegmentationModel(Module):
    """Images (n, 3, h, w) to a dict of scores (n, classes, h, w): ``out``, and ``aux`` where there is an ``aux_classifier``.

    Args:
        backbone: gives a dict of features: ``out``, and ``aux`` for the ``aux_classifier``.
        classifier, aux_classifier: make scores of features; the scores are resized to the images.
    """

    def __init__(self, backbone: Module, classifier: Module, aux_classifier: Module | None = None):
        super().__init__()
        self.backbone, self.classifier, self.aux_classifier = backbone, classifier, aux_classifier

    def forward(self, x: Any) -> dict[str, Any]:
        size, features, result = x.shape[-2:], self.backbone(x), {}
        for name, classifier in (("out", self.classifier), ("aux", self.aux_classifier)):
            if classifier is not None:
                result[name] = interpolate(classifier(features[name]), size=size, mode="bilinear", align_corners=False)
        return result


def resnet_backbone(build: Callable, weights: Any, aux: bool | None) -> IntermediateLayerGetter:
    """A ResNet whose last two stages are dilated, for ``out`` (2,048 channels) and ``aux`` (1,024)."""
    network = build(weights=weights, replace_stride_with_dilation=[False, True, True])
    return IntermediateLayerGetter(network, {"layer4": "out", **({"layer3": "aux"} if aux else {})})


def mobilenet_backbone(weights: Any, low: str | None, high: str) -> tuple[IntermediateLayerGetter, int, int]:
    """A dilated MobileNetV3 with names for its features at an eighth (None for none) and a sixteenth of the size, and their
    numbers of channels."""
    layers = mobilenet_v3_large(weights=weights, dilated=True).features
    striding = [0, *(number for number, block in enumerate(layers) if getattr(block, "_is_cn", False)), len(layers) - 1]
    first, last = striding[-4], striding[-1]
    names = {str(last): high} if low is None else {str(first): low, str(last): high}
    return IntermediateLayerGetter(layers, names), layers[first].out_channels, layers[last].out_channels


def builder(make: Callable, function: str, known: str, of_backbone: str, takes_aux: bool = True) -> Callable:
    """The public function of a model.

    Args:
        make: makes the model of the backbone's weights, ``num_classes`` and ``aux_loss``.
        function: the name.
        known, of_backbone: the names of the enumerations of its weights and of its backbone's.
        takes_aux: it can have an ``aux_classifier``.
    """
    default = ENUMS[of_backbone].IMAGENET1K_V1

    def build(*, weights: Any = None, progress: bool = True, num_classes: int | None = None, aux_loss: bool | None = None,
              weights_backbone: Any = default, **kwargs: Any) -> Any:
        if kwargs.pop("pretrained", False) or weights is True:
            weights = "DEFAULT"
        if "pretrained_backbone" in kwargs:
            weights_backbone = default if kwargs.pop("pretrained_backbone") else None
        if not takes_aux and aux_loss:
            raise NotImplementedError("This model does not use auxiliary loss")
        found = SEGMENTATION_ENUMS[known].verify(None if weights is False else weights)
        backbone = ENUMS[of_backbone].verify(weights_backbone)
        given = {name: value for name, value in (("num_classes", num_classes), ("aux_loss", aux_loss)) if value is not None}
        if found is not None:
            required(given, "num_classes", found.meta["num_classes"])
            if takes_aux:
                required(given, "aux_loss", True)
            backbone = None
        return loaded(make(backbone, given.get("num_classes", 21), given.get("aux_loss")), found, progress)
    build.__name__ = build.__qualname__ = function
    build.__module__ = make.__module__
    build.__doc__ = f"""{function}: an untrained model, or one with published weights.

    Args:
        weights: None, or published ones ({known}).
        num_classes: by default 21, Pascal VOC's classes and the background.
        aux_loss: with scores of a stage on the way, as published weights have them{"" if takes_aux else "; none here"}.
        weights_backbone: weights of the backbone ({of_backbone}) where there are no other ones; those of ImageNet by default.
    """
    return of_weights(known)(build)
