"""DenseNet (Huang et al. 2016): every layer sees the outputs of all layers before it."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from clgrad import nn
from clgrad.ops.registry import FUNCTIONS
from clgrad.vision.models.weights import builder, enumerations


class _DenseLayer(nn.Module):
    def __init__(self, inputs: int, growth_rate: int, bn_size: int, drop_rate: float):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(inputs, bn_size * growth_rate, kernel_size=1, stride=1, bias=False)
        self.norm2 = nn.BatchNorm2d(bn_size * growth_rate)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(bn_size * growth_rate, growth_rate, kernel_size=3, stride=1, padding=1, bias=False)
        self.drop_rate = float(drop_rate)

    def forward(self, features: list[Any]) -> Any:
        x = self.conv1(self.relu1(self.norm1(FUNCTIONS["cat"](features, 1))))
        x = self.conv2(self.relu2(self.norm2(x)))
        return nn.functional.dropout(x, self.drop_rate, self.training) if self.drop_rate else x


class _DenseBlock(nn.ModuleDict):
    def __init__(self, layers: int, inputs: int, bn_size: int, growth_rate: int, drop_rate: float):
        super().__init__()
        for number in range(layers):
            self.add_module(f"denselayer{number + 1}",
                            _DenseLayer(inputs + number * growth_rate, growth_rate, bn_size, drop_rate))

    def forward(self, x: Any) -> Any:
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return FUNCTIONS["cat"](features, 1)


class _Transition(nn.Sequential):
    def __init__(self, inputs: int, outputs: int):
        super().__init__(OrderedDict([
            ("norm", nn.BatchNorm2d(inputs)), ("relu", nn.ReLU(inplace=True)),
            ("conv", nn.Conv2d(inputs, outputs, kernel_size=1, stride=1, bias=False)),
            ("pool", nn.AvgPool2d(kernel_size=2, stride=2))]))


class DenseNet(nn.Module):
    """Images (n, 3, h, w) to scores (n, ``num_classes``).

    Args:
        growth_rate: channels that each layer adds.
        block_config: how many layers each block has.
        bn_size: width of the 1x1 convolutions, in growth rates.
    """

    def __init__(self, growth_rate: int = 32, block_config: tuple[int, ...] = (6, 12, 24, 16), num_init_features: int = 64,
                 bn_size: int = 4, drop_rate: float = 0, num_classes: int = 1000, memory_efficient: bool = False):
        super().__init__()
        self.features = nn.Sequential(OrderedDict([
            ("conv0", nn.Conv2d(3, num_init_features, kernel_size=7, stride=2, padding=3, bias=False)),
            ("norm0", nn.BatchNorm2d(num_init_features)), ("relu0", nn.ReLU(inplace=True)),
            ("pool0", nn.MaxPool2d(kernel_size=3, stride=2, padding=1))]))
        channels = num_init_features
        for number, layers in enumerate(block_config, 1):
            block = _DenseBlock(layers, channels, bn_size, growth_rate, drop_rate)
            self.features.add_module(f"denseblock{number}", block)
            channels += layers * growth_rate
            if number != len(block_config):
                self.features.add_module(f"transition{number}", _Transition(channels, channels // 2))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.weight, 1)
                nn.init.constant_(module.bias, 0)
            elif isinstance(module, nn.Linear):
                nn.init.constant_(module.bias, 0)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        # Published files name the layers in an older way: ``norm.1`` for ``norm1``.
        for key in [key for key in state_dict if ".denselayer" in key]:
            renamed = re.sub(r"(norm|relu|conv)\.([12])", r"\1\2", key)
            if renamed != key:
                state_dict[renamed] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(self, x: Any) -> Any:
        x = nn.functional.relu(self.features(x))
        return self.classifier(FUNCTIONS["flatten"](nn.functional.adaptive_avg_pool2d(x, (1, 1)), 1))


def _builder(depth: int, growth_rate: int, config: tuple[int, ...], features: int) -> Callable:
    return builder(lambda **kwargs: DenseNet(growth_rate, config, features, **kwargs), f"densenet{depth}",
                   f"DenseNet{depth}_Weights")


densenet121 = _builder(121, 32, (6, 12, 24, 16), 64)
densenet161 = _builder(161, 48, (6, 12, 36, 24), 96)
densenet169 = _builder(169, 32, (6, 12, 32, 32), 64)
densenet201 = _builder(201, 32, (6, 12, 48, 32), 64)
globals().update(enumerations("DenseNet"))
