"""``torchvision.models.segmentation``: a score of each class for each pixel.

>>> import clgrad
>>> from clgrad.vision.models import segmentation
>>> model = segmentation.lraspp_mobilenet_v3_large(weights_backbone=None, num_classes=3).eval()
>>> model(clgrad.zeros(1, 3, 40, 32))["out"].shape
torch.Size([1, 3, 40, 32])
"""

from clgrad.vision.models.segmentation.deeplabv3 import (
    DeepLabV3,
    deeplabv3_mobilenet_v3_large,
    deeplabv3_resnet50,
    deeplabv3_resnet101,
)
from clgrad.vision.models.segmentation.fcn import FCN, fcn_resnet50, fcn_resnet101
from clgrad.vision.models.segmentation.lraspp import LRASPP, lraspp_mobilenet_v3_large
from clgrad.vision.models.weights import SEGMENTATION_ENUMS as _ENUMS

globals().update(_ENUMS)  # ``FCN_ResNet50_Weights`` and its like

__all__ = ["FCN", "LRASPP", "DeepLabV3", "deeplabv3_mobilenet_v3_large", "deeplabv3_resnet50", "deeplabv3_resnet101",
           "fcn_resnet50", "fcn_resnet101", "lraspp_mobilenet_v3_large", *_ENUMS]
