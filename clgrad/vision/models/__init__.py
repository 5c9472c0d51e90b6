"""Networks for pictures, with torchvision's names, arguments, initial values and names of parameters.

:mod:`clgrad.vision.models.segmentation` scores every pixel, :mod:`clgrad.vision.models.detection` finds what is where.
``weights=None`` makes models untrained. Names of published weights (``"DEFAULT"``, ``ResNet18_Weights.IMAGENET1K_V1``) are
fetched into the hub's folder, or read from there.

>>> from clgrad.vision import models
>>> sum(p.numel() for p in models.resnet18().parameters())
11689512
"""

from __future__ import annotations

from clgrad.vision.models import detection, segmentation
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
from clgrad.vision.models.convnext import ConvNeXt, convnext_base, convnext_large, convnext_small, convnext_tiny
from clgrad.vision.models.densenet import DenseNet, densenet121, densenet161, densenet169, densenet201
from clgrad.vision.models.efficientnet import (
    EfficientNet,
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
    efficientnet_v2_l,
    efficientnet_v2_m,
    efficientnet_v2_s,
)
from clgrad.vision.models.inception import GoogLeNet, Inception3, googlenet, inception_v3
from clgrad.vision.models.maxvit import MaxVit, maxvit_t
from clgrad.vision.models.mnasnet import MNASNet, mnasnet0_5, mnasnet0_75, mnasnet1_0, mnasnet1_3
from clgrad.vision.models.mobilenet import MobileNetV2, mobilenet_v2
from clgrad.vision.models.mobilenetv3 import MobileNetV3, mobilenet_v3_large, mobilenet_v3_small
from clgrad.vision.models.regnet import (
    RegNet,
    regnet_x_1_6gf,
    regnet_x_3_2gf,
    regnet_x_8gf,
    regnet_x_16gf,
    regnet_x_32gf,
    regnet_x_400mf,
    regnet_x_800mf,
    regnet_y_1_6gf,
    regnet_y_3_2gf,
    regnet_y_8gf,
    regnet_y_16gf,
    regnet_y_32gf,
    regnet_y_128gf,
    regnet_y_400mf,
    regnet_y_800mf,
)
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
from clgrad.vision.models.shufflenetv2 import (
    ShuffleNetV2,
    shufflenet_v2_x0_5,
    shufflenet_v2_x1_0,
    shufflenet_v2_x1_5,
    shufflenet_v2_x2_0,
)
from clgrad.vision.models.swin_transformer import (
    SwinTransformer,
    swin_b,
    swin_s,
    swin_t,
    swin_v2_b,
    swin_v2_s,
    swin_v2_t,
)
from clgrad.vision.models.vision_transformer import VisionTransformer, vit_b_16, vit_b_32, vit_h_14, vit_l_16, vit_l_32
from clgrad.vision.models.weights import ENUMS as _ENUMS
from clgrad.vision.models.weights import (
    Weights,
    WeightsEnum,
    get_model,
    get_model_builder,
    get_model_weights,
    get_weight,
    list_models,
)

globals().update(_ENUMS)  # ``ResNet18_Weights`` and its like
__all__ = ["AlexNet", "ConvNeXt", "DenseNet", "EfficientNet", "GoogLeNet", "Inception3", "LeNet", "MNASNet", "MaxVit",
           "MobileNetV2", "MobileNetV3", "RegNet", "ResNet", "ShuffleNetV2", "SqueezeNet", "SwinTransformer", "VGG",
           "VisionTransformer", "Weights", "WeightsEnum", "alexnet", "convnext_base", "convnext_large", "convnext_small",
           "convnext_tiny", "densenet121", "densenet161", "densenet169", "densenet201", "detection",
           "efficientnet_b0", "efficientnet_b1",
           "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7",
           "efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_v2_s", "get_model", "get_model_builder",
           "get_model_weights", "get_weight", "googlenet", "inception_v3", "list_models", "maxvit_t", "mnasnet0_5",
           "mnasnet0_75", "mnasnet1_0", "mnasnet1_3", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small",
           "regnet_x_16gf", "regnet_x_1_6gf", "regnet_x_32gf", "regnet_x_3_2gf", "regnet_x_400mf", "regnet_x_800mf",
           "regnet_x_8gf", "regnet_y_128gf", "regnet_y_16gf", "regnet_y_1_6gf", "regnet_y_32gf", "regnet_y_3_2gf",
           "regnet_y_400mf", "regnet_y_800mf", "regnet_y_8gf", "resnet101", "resnet152", "resnet18", "resnet34", "resnet50",
           "resnext101_32x8d", "resnext101_64x4d", "resnext50_32x4d", "segmentation", "shufflenet_v2_x0_5",
           "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0", "squeezenet1_0", "squeezenet1_1", "swin_b",
           "swin_s", "swin_t", "swin_v2_b", "swin_v2_s", "swin_v2_t", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16",
           "vgg16_bn", "vgg19", "vgg19_bn", "vit_b_16", "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32", "wide_resnet101_2",
           "wide_resnet50_2", *_ENUMS]
