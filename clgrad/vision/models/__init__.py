"""Networks for pictures, with torchvision's names, arguments, initial values and names of parameters.

``weights=None`` makes them untrained. Names of published weights (``"DEFAULT"``, ``ResNet18_Weights.IMAGENET1K_V1``) are
fetched into the hub's folder, or read from there.

>>> from clgrad.vision import models
>>> sum(p.numel() for p in models.resnet18().parameters())
11689512
"""

from __future__ import annotations

from typing import Any

from clgrad.vision.models.classic import (
    VGG,
    AlexNet,
    LeNet,
    SqueezeNet,
    alexnet,
    squeezenet1_0,
    squeezenet1_1,
    vgg11,
    vgg11_bn,
    vgg13,
    vgg13_bn,
    vgg16,
    vgg16_bn,
    vgg19,
    vgg19_bn,
)
from clgrad.vision.models.densenet import DenseNet, densenet121, densenet161, densenet169, densenet201
from clgrad.vision.models.inception import GoogLeNet, Inception3, googlenet, inception_v3
from clgrad.vision.models.mobilenet import MobileNetV2, mobilenet_v2
from clgrad.vision.models.resnet import (
    ResNet,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    resnext101_32x8d,
    resnext101_64x4d,
    wide_resnet50_2,
    wide_resnet101_2,
)
from clgrad.vision.models.vision_transformer import VisionTransformer, vit_b_16, vit_b_32, vit_l_16, vit_l_32
from clgrad.vision.models.weights import ENUMS as _ENUMS

globals().update(_ENUMS)  # ``ResNet18_Weights`` and its like

_BUILDERS: dict[str, Any] = {f.__name__: f for f in (
    alexnet, densenet121, densenet161, densenet169, densenet201, googlenet, inception_v3, mobilenet_v2, resnet18,
    resnet34, resnet50, resnet101, resnet152, resnext50_32x4d, resnext101_32x8d, resnext101_64x4d, squeezenet1_0,
    squeezenet1_1, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn, vit_b_16, vit_b_32, vit_l_16,
    vit_l_32, wide_resnet50_2, wide_resnet101_2)}

__all__ = ["AlexNet", "DenseNet", "GoogLeNet", "Inception3", "LeNet", "MobileNetV2", "ResNet", "SqueezeNet", "VGG",
           "VisionTransformer", "get_model", "list_models", *_BUILDERS, *_ENUMS]


def list_models() -> list[str]:
    """The names that :func:`get_model` takes."""
    return sorted(_BUILDERS)


def get_model(name: str, **config: Any) -> Any:
    """The model of a name; ValueError where there is none."""
    if name.lower() not in _BUILDERS:
        raise ValueError(f"Unknown model {name}")
    return _BUILDERS[name.lower()](**config)
