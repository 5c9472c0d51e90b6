"""Networks for classification as backbones of detectors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from clgrad import nn
from clgrad.vision.models.parts import IntermediateLayerGetter
from clgrad.vision.models.weights import BUILDERS
from clgrad.vision.ops.feature_pyramid_network import ExtraFPNBlock, FeaturePyramidNetwork, LastLevelMaxPool
from clgrad.vision.ops.misc import FrozenBatchNorm2d


class BackboneWithFPN(nn.Module):
    """A feature pyramid over what layers of a network compute.

    Args:
        backbone: the network, whose children are called in their order.
        return_layers: for names of children, the names of their maps.
        in_channels_list: the channels of these maps.
        out_channels: of the pyramid's maps.
        extra_blocks: adds maps. Default: :class:`LastLevelMaxPool`.
        norm_layer: a norm after the pyramid's convolutions.
    """

    def __init__(self, backbone: nn.Module, return_layers: dict[str, str], in_channels_list: list[int], out_channels: int,
                 extra_blocks: ExtraFPNBlock | None = None, norm_layer: Callable | None = None):
        super().__init__()
        self.body = IntermediateLayerGetter(backbone, return_layers)
        self.fpn = FeaturePyramidNetwork(in_channels_list, out_channels, extra_blocks or LastLevelMaxPool(), norm_layer)
        self.out_channels = out_channels

    def forward(self, x: Any) -> dict[str, Any]:
        return self.fpn(self.body(x))


def _freeze(modules: Sequence[nn.Module]) -> None:
    for module in modules:
        module.requires_grad_(False)


def resnet_fpn_extractor(backbone: Any, trainable_layers: int, returned_layers: list[int] | None = None,
                         extra_blocks: ExtraFPNBlock | None = None, norm_layer: Callable | None = None) -> BackboneWithFPN:
    """A pyramid over the stages of a ResNet; see :func:`resnet_fpn_backbone`."""
    if not 0 <= trainable_layers <= 5:
        raise ValueError(f"Trainable layers should be in the range [0,5], got {trainable_layers}")
    stages = [1, 2, 3, 4] if returned_layers is None else returned_layers
    if min(stages) <= 0 or max(stages) >= 5:
        raise ValueError(f"Each returned layer should be in the range [1,4]. Got {stages}")
    trained = ["layer4", "layer3", "layer2", "layer1", "conv1"][:trainable_layers] + ["bn1"] * (trainable_layers == 5)
    _freeze([child for name, child in backbone.named_children() if name not in trained])
    width = backbone.inplanes // 8
    return BackboneWithFPN(backbone, {f"layer{stage}": str(number) for number, stage in enumerate(stages)},
                           [width * 2 ** (stage - 1) for stage in stages], 256, extra_blocks, norm_layer)


def resnet_fpn_backbone(backbone_name: str, weights: Any = None, norm_layer: Callable = FrozenBatchNorm2d,
                        trainable_layers: int = 3, returned_layers: list[int] | None = None,
                        extra_blocks: ExtraFPNBlock | None = None, pretrained: bool = False) -> BackboneWithFPN:
    """A ResNet with a feature pyramid of 256 channels.

    Args:
        backbone_name: the name of its function, such as "resnet50".
        weights: its weights; ``pretrained`` asks for those of ImageNet.
        norm_layer: its norms.
        trainable_layers: how many of its five stages, the last ones, learn.
        returned_layers: the stages, of 1 to 4, of which the pyramid is made. Default: all.
        extra_blocks: see :class:`BackboneWithFPN`.

    Raises:
        ValueError: numbers out of range.
    """
    network = BUILDERS[backbone_name](weights="IMAGENET1K_V1" if pretrained else weights, norm_layer=norm_layer)
    return resnet_fpn_extractor(network, trainable_layers, returned_layers, extra_blocks)


def stages_of(layers: nn.Sequential, trainable_layers: int) -> list[int]:
    """The numbers of a MobileNet's layers with which its stages begin, and of the last one; layers before those that learn
    are frozen.

    Raises:
        ValueError: there are not so many stages.
    """
    begins = [0, *(number for number, block in enumerate(layers) if getattr(block, "_is_cn", False)), len(layers) - 1]
    if not 0 <= trainable_layers <= len(begins):
        raise ValueError(f"Trainable layers should be in the range [0,{len(begins)}], got {trainable_layers} ")
    _freeze(list(layers)[:begins[-trainable_layers] if trainable_layers else len(layers)])
    return begins


def mobilenet_extractor(backbone: Any, fpn: bool, trainable_layers: int, returned_layers: list[int] | None = None,
                        extra_blocks: ExtraFPNBlock | None = None, norm_layer: Callable | None = None) -> Any:
    """A MobileNet, with a pyramid or with a convolution to 256 channels; see :func:`mobilenet_backbone`."""
    layers = backbone.features
    begins = stages_of(layers, trainable_layers)
    if not fpn:
        made = nn.Sequential(layers, nn.Conv2d(layers[-1].out_channels, 256, 1))
        made.out_channels = 256
        return made
    count = len(begins)
    stages = [count - 2, count - 1] if returned_layers is None else returned_layers
    if min(stages) < 0 or max(stages) >= count:
        raise ValueError(f"Each returned layer should be in the range [0,{count - 1}], got {stages} ")
    return BackboneWithFPN(layers, {str(begins[stage]): str(number) for number, stage in enumerate(stages)},
                           [layers[begins[stage]].out_channels for stage in stages], 256, extra_blocks, norm_layer)


def mobilenet_backbone(backbone_name: str, weights: Any = None, *, fpn: bool, norm_layer: Callable = FrozenBatchNorm2d,
                       trainable_layers: int = 2, returned_layers: list[int] | None = None,
                       extra_blocks: ExtraFPNBlock | None = None, pretrained: bool = False) -> Any:
    """The same of a MobileNet, "mobilenet_v2" or "mobilenet_v3_large".

    Args:
        fpn: with a feature pyramid; else with a convolution to 256 channels.
        returned_layers: the stages of which the pyramid is made. Default: the last two.

    Raises:
        ValueError: numbers out of range.
    """
    network = BUILDERS[backbone_name](weights="IMAGENET1K_V1" if pretrained else weights, norm_layer=norm_layer)
    return mobilenet_extractor(network, fpn, trainable_layers, returned_layers, extra_blocks)


def check_trainable_layers(is_trained: bool, trainable_backbone_layers: int | None, max_value: int,
                           default_value: int) -> int:
    """How many stages of a backbone learn: all where it has no weights, with a warning where another number was asked for.

    Raises:
        ValueError: the number is out of range.
    """
    if not is_trained:
        if trainable_backbone_layers is not None:
            warnings.warn("Changing trainable_backbone_layers has no effect if neither pretrained nor pretrained_backbone "
                          f"have been set to True, falling back to trainable_backbone_layers={max_value} so that all layers "
                          "are trainable", stacklevel=3)
        return max_value
    layers = default_value if trainable_backbone_layers is None else trainable_backbone_layers
    if not 0 <= layers <= max_value:
        raise ValueError(f"Trainable backbone layers should be in the range [0,{max_value}], got {layers} ")
    return layers
