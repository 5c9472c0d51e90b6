"""Faster R-CNN (Ren et al. 2015) on feature pyramids (Lin et al. 2016); "v2" is that of Li et al. 2021."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from clgrad import nn
from clgrad.nn.functional import relu
from clgrad.vision.models.detection.anchor_utils import AnchorGenerator
from clgrad.vision.models.detection.backbone_utils import mobilenet_extractor, resnet_fpn_extractor
from clgrad.vision.models.detection.common import builder
from clgrad.vision.models.detection.generalized_rcnn import GeneralizedRCNN
from clgrad.vision.models.detection.roi_heads import RoIHeads
from clgrad.vision.models.detection.rpn import RegionProposalNetwork, RPNHead
from clgrad.vision.models.detection.transform import GeneralizedRCNNTransform
from clgrad.vision.models.mobilenetv3 import mobilenet_v3_large
from clgrad.vision.models.resnet import resnet50
from clgrad.vision.models.weights import enumerations
from clgrad.vision.ops.misc import Conv2dNormActivation, FrozenBatchNorm2d
from clgrad.vision.ops.poolers import MultiScaleRoIAlign
from clgrad.vision.transforms.presets import IMAGENET_MEAN, IMAGENET_STD


def check_kind(name: str, value: Any, kind: type) -> None:
    """Raises TypeError where an argument is neither None nor of its class."""
    if value is not None and not isinstance(value, kind):
        raise TypeError(f"{name} should be of type {kind.__name__} or None instead of {type(value)}")


def check_backbone(backbone: Any) -> None:
    """Raises ValueError where a backbone does not say how many channels its maps have."""
    if not hasattr(backbone, "out_channels"):
        raise ValueError("backbone should contain an attribute out_channels specifying the number of output channels "
                         "(assumed to be the same for all the levels)")


def regions(size: int) -> MultiScaleRoIAlign:
    """Regions of ``size`` x ``size`` pixels from the four finest maps of a pyramid."""
    return MultiScaleRoIAlign(["0", "1", "2", "3"], size, 2)


def initialise_heads(head: nn.Module) -> None:
    """He's normal weights by outputs of all convolutions, and biases of zero."""
    for layer in head.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


class FasterRCNN(GeneralizedRCNN):
    """Faster R-CNN on a backbone; see :class:`GeneralizedRCNN` for how it is called.

    Args:
        backbone: gives a feature map or a dict of them, and has ``out_channels``.
        num_classes: with the background as class 0; None where a ``box_predictor`` is given.
        min_size, max_size, image_mean, image_std: see :class:`GeneralizedRCNNTransform`; mean and deviation are ImageNet's by
            default, and other arguments are that class's.
        rpn_anchor_generator: an :class:`AnchorGenerator`; by default one for a pyramid of five maps.
        rpn_head: by default :class:`RPNHead`. Other arguments with ``rpn_``: see :class:`RegionProposalNetwork`.
        box_roi_pool: a :class:`MultiScaleRoIAlign`, by default of maps "0" to "3".
        box_head, box_predictor: by default :class:`TwoMLPHead` and :class:`FastRCNNPredictor`. Other arguments with ``box_``
            and ``bbox_reg_weights``: see :class:`RoIHeads`.

    Raises:
        ValueError: the backbone has no ``out_channels``; none or both of ``num_classes`` and ``box_predictor`` are given.
        TypeError: an argument of another class.
    """

    def __init__(self, backbone: nn.Module, num_classes: int | None = None, min_size: Any = 800, max_size: int = 1333,
                 image_mean: Sequence[float] | None = None, image_std: Sequence[float] | None = None,
                 rpn_anchor_generator: Any = None, rpn_head: Any = None, rpn_pre_nms_top_n_train: int = 2000,
                 rpn_pre_nms_top_n_test: int = 1000, rpn_post_nms_top_n_train: int = 2000,
                 rpn_post_nms_top_n_test: int = 1000, rpn_nms_thresh: float = 0.7, rpn_fg_iou_thresh: float = 0.7,
                 rpn_bg_iou_thresh: float = 0.3, rpn_batch_size_per_image: int = 256, rpn_positive_fraction: float = 0.5,
                 rpn_score_thresh: float = 0.0, box_roi_pool: Any = None, box_head: Any = None, box_predictor: Any = None,
                 box_score_thresh: float = 0.05, box_nms_thresh: float = 0.5, box_detections_per_img: int = 100,
                 box_fg_iou_thresh: float = 0.5, box_bg_iou_thresh: float = 0.5, box_batch_size_per_image: int = 512,
                 box_positive_fraction: float = 0.25, bbox_reg_weights: Sequence[float] | None = None, **kwargs: Any):
        check_backbone(backbone)
        check_kind("rpn_anchor_generator", rpn_anchor_generator, AnchorGenerator)
        check_kind("box_roi_pool", box_roi_pool, MultiScaleRoIAlign)
        if num_classes is None and box_predictor is None:
            raise ValueError("num_classes should not be None when box_predictor is not specified")
        if num_classes is not None and box_predictor is not None:
            raise ValueError("num_classes should be None when box_predictor is specified")
        channels: Any = backbone.out_channels
        anchors = rpn_anchor_generator or default_anchors()
        head = rpn_head or RPNHead(channels, anchors.num_anchors_per_location()[0])
        rpn = RegionProposalNetwork(
            anchors, head, rpn_fg_iou_thresh, rpn_bg_iou_thresh, rpn_batch_size_per_image, rpn_positive_fraction,
            {"training": rpn_pre_nms_top_n_train, "testing": rpn_pre_nms_top_n_test},
            {"training": rpn_post_nms_top_n_train, "testing": rpn_post_nms_top_n_test}, rpn_nms_thresh, rpn_score_thresh)
        pool = box_roi_pool or regions(7)
        if box_head is None:
            box_head = TwoMLPHead(channels * pool.output_size[0] ** 2, 1024)
        if box_predictor is None:
            box_predictor = FastRCNNPredictor(1024, num_classes)  # type: ignore[arg-type]
        heads = RoIHeads(pool, box_head, box_predictor, box_fg_iou_thresh, box_bg_iou_thresh, box_batch_size_per_image,
                         box_positive_fraction, bbox_reg_weights, box_score_thresh, box_nms_thresh, box_detections_per_img)
        super().__init__(backbone, rpn, heads, GeneralizedRCNNTransform(
            min_size, max_size, image_mean or list(IMAGENET_MEAN), image_std or list(IMAGENET_STD), **kwargs))


def default_anchors() -> AnchorGenerator:
    """One size for each of five maps, in three proportions."""
    return AnchorGenerator(((32,), (64,), (128,), (256,), (512,)), ((0.5, 1.0, 2.0),) * 5)


class TwoMLPHead(nn.Module):
    """Two linear layers with ReLU over all pixels of a region."""

    def __init__(self, in_channels: int, representation_size: int):
        super().__init__()
        self.fc6 = nn.Linear(in_channels, representation_size)
        self.fc7 = nn.Linear(representation_size, representation_size)

    def forward(self, x: Any) -> Any:
        return relu(self.fc7(relu(self.fc6(x.flatten(1)))))


class FastRCNNConvFCHead(nn.Sequential):
    """3x3 convolutions and linear layers over a region.

    Args:
        input_size: channels, height and width of regions.
        conv_layers, fc_layers: the widths of the layers.
        norm_layer: a norm after each convolution.
    """

    def __init__(self, input_size: tuple[int, int, int], conv_layers: Sequence[int], fc_layers: Sequence[int],
                 norm_layer: Callable | None = None):
        channels, height, width = input_size
        layers: list[nn.Module] = []
        for wide in conv_layers:
            layers.append(Conv2dNormActivation(channels, wide, norm_layer=norm_layer))
            channels = wide
        layers.append(nn.Flatten())
        channels *= height * width
        for wide in fc_layers:
            layers += [nn.Linear(channels, wide), nn.ReLU(inplace=True)]
            channels = wide
        super().__init__(*layers)
        initialise_heads(self)


class FastRCNNPredictor(nn.Module):
    """Scores (n, ``num_classes``) of regions (n, ``in_channels``), and for each class the codes of a box.

    Raises:
        AssertionError: regions (n, c, h, w) with more than one pixel.

    >>> import clgrad
    >>> scores, codes = FastRCNNPredictor(8, 3)(clgrad.zeros(5, 8))
    >>> scores.shape, codes.shape
    (torch.Size([5, 3]), torch.Size([5, 12]))
    """

    def __init__(self, in_channels: int, num_classes: int):
        super().__init__()
        self.cls_score = nn.Linear(in_channels, num_classes)
        self.bbox_pred = nn.Linear(in_channels, num_classes * 4)

    def forward(self, x: Any) -> tuple[Any, Any]:
        if x.ndim == 4 and tuple(x.shape[2:]) != (1, 1):
            raise AssertionError("x has the wrong shape, expecting the last two dimensions to be [1,1] instead of "
                                 f"{list(x.shape[2:])}")
        x = x.flatten(1)
        return self.cls_score(x), self.bbox_pred(x)


def resnet_pyramid(weights: Any, trained: bool, learning: int, **options: Any) -> Any:
    """A ResNet-50 with a pyramid; its norms are frozen where there are weights."""
    norm = FrozenBatchNorm2d if trained else nn.BatchNorm2d
    return resnet_fpn_extractor(resnet50(weights=weights, norm_layer=norm), learning, **options)


def second_version(weights: Any, learning: int) -> dict[str, Any]:
    """The parts of the second version: norms in the pyramid and the heads, deeper heads."""
    backbone = resnet_fpn_extractor(resnet50(weights=weights), learning, norm_layer=nn.BatchNorm2d)
    anchors, channels = default_anchors(), backbone.out_channels
    return {"backbone": backbone, "rpn_anchor_generator": anchors,
            "rpn_head": RPNHead(channels, anchors.num_anchors_per_location()[0], conv_depth=2),
            "box_head": FastRCNNConvFCHead((channels, 7, 7), [256] * 4, [1024], norm_layer=nn.BatchNorm2d)}


def _on_resnet(weights: Any, trained: bool, num_classes: int, learning: int, **kwargs: Any) -> FasterRCNN:
    return FasterRCNN(resnet_pyramid(weights, trained, learning), num_classes, **kwargs)


def _on_resnet_v2(weights: Any, trained: bool, num_classes: int, learning: int, **kwargs: Any) -> FasterRCNN:
    return FasterRCNN(num_classes=num_classes, **{**second_version(weights, learning), **kwargs})


def _on_mobilenet(weights: Any, trained: bool, num_classes: int, learning: int, **kwargs: Any) -> FasterRCNN:
    norm = FrozenBatchNorm2d if trained else nn.BatchNorm2d
    backbone = mobilenet_extractor(mobilenet_v3_large(weights=weights, norm_layer=norm), True, learning)
    anchors = AnchorGenerator(((32, 64, 128, 256, 512),) * 3, ((0.5, 1.0, 2.0),) * 3)
    return FasterRCNN(backbone, num_classes, **{"rpn_anchor_generator": anchors, "rpn_score_thresh": 0.05, **kwargs})


def _on_small_mobilenet(*args: Any, **kwargs: Any) -> FasterRCNN:
    return _on_mobilenet(*args, **{"min_size": 320, "max_size": 640, "rpn_pre_nms_top_n_test": 150,
                                   "rpn_post_nms_top_n_test": 150, **kwargs})


fasterrcnn_resnet50_fpn = builder(_on_resnet, "fasterrcnn_resnet50_fpn", "FasterRCNN_ResNet50_FPN_Weights",
                                  "ResNet50_Weights", eps=0.0)
fasterrcnn_resnet50_fpn_v2 = builder(_on_resnet_v2, "fasterrcnn_resnet50_fpn_v2", "FasterRCNN_ResNet50_FPN_V2_Weights",
                                     "ResNet50_Weights", default=None)
fasterrcnn_mobilenet_v3_large_fpn = builder(
    _on_mobilenet, "fasterrcnn_mobilenet_v3_large_fpn", "FasterRCNN_MobileNet_V3_Large_FPN_Weights",
    "MobileNet_V3_Large_Weights", layers=(6, 3))
fasterrcnn_mobilenet_v3_large_320_fpn = builder(
    _on_small_mobilenet, "fasterrcnn_mobilenet_v3_large_320_fpn", "FasterRCNN_MobileNet_V3_Large_320_FPN_Weights",
    "MobileNet_V3_Large_Weights", layers=(6, 3))
globals().update(enumerations("FasterRCNN"))
