"""``torchvision.models.detection``: what is where in a picture, as boxes, masks and keypoints.

>>> import clgrad
>>> from clgrad.vision.models import detection
>>> model = detection.ssdlite320_mobilenet_v3_large(weights_backbone=None, num_classes=3).eval()
>>> found = model([clgrad.zeros(3, 40, 32)])
>>> sorted(found[0])
['boxes', 'labels', 'scores']
"""

from clgrad.vision.models.detection.faster_rcnn import (
    FasterRCNN,
    fasterrcnn_mobilenet_v3_large_320_fpn,
    fasterrcnn_mobilenet_v3_large_fpn,
    fasterrcnn_resnet50_fpn,
    fasterrcnn_resnet50_fpn_v2,
)
from clgrad.vision.models.detection.fcos import FCOS, fcos_resnet50_fpn
from clgrad.vision.models.detection.keypoint_rcnn import KeypointRCNN, keypointrcnn_resnet50_fpn
from clgrad.vision.models.detection.mask_rcnn import MaskRCNN, maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2
from clgrad.vision.models.detection.retinanet import RetinaNet, retinanet_resnet50_fpn, retinanet_resnet50_fpn_v2
from clgrad.vision.models.detection.ssd import ssd300_vgg16
from clgrad.vision.models.detection.ssdlite import ssdlite320_mobilenet_v3_large
from clgrad.vision.models.weights import DETECTION_ENUMS as _ENUMS

globals().update(_ENUMS)  # ``FasterRCNN_ResNet50_FPN_Weights`` and its like

__all__ = ["FCOS", "FasterRCNN", "KeypointRCNN", "MaskRCNN", "RetinaNet", "fasterrcnn_mobilenet_v3_large_320_fpn",
           "fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "fcos_resnet50_fpn",
           "keypointrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2", "retinanet_resnet50_fpn",
           "retinanet_resnet50_fpn_v2", "ssd300_vgg16", "ssdlite320_mobilenet_v3_large", *_ENUMS]
