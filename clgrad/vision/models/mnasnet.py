"""MNASNet (Tan et al. 2018): inverted residuals, found by a search for phones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad import nn
from clgrad.vision.models.parts import initialise, make_divisible
from clgrad.vision.models.weights import builder, enumerations

_MOMENTUM = 1 - 0.9997  # of the running statistics: the paper's decay, TensorFlow's way round


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, momentum=_MOMENTUM)


class _InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        width = inputs * expansion
        self.apply_residual = inputs == outputs and stride == 1
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False), _norm(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, kernel, padding=kernel // 2, stride=stride, groups=width, bias=False), _norm(width),
            nn.ReLU(inplace=True), nn.Conv2d(width, outputs, 1, bias=False), _norm(outputs))

    def forward(self, input: Any) -> Any:
        return self.layers(input) + input if self.apply_residual else self.layers(input)


def _stage(inputs: int, outputs: int, kernel: int, stride: int, expansion: int, repeats: int) -> nn.Sequential:
    return nn.Sequential(_InvertedResidual(inputs, outputs, kernel, stride, expansion),
                         *(_InvertedResidual(outputs, outputs, kernel, 1, expansion) for _ in range(1, repeats)))


class MNASNet(nn.Module):
    """Images (n, 3, h, w) to scores (n, ``num_classes``).

    Args:
        alpha: factor of all widths.

    Raises:
        ValueError: ``alpha`` is not positive.
    """

    _version = 2  # of the names and shapes in ``state_dict``; PyTorch's files say it, and want to be told

    def __init__(self, alpha: float, num_classes: int = 1000, dropout: float = 0.2):
        super().__init__()
        if alpha <= 0:
            raise ValueError(f"alpha should be greater than 0.0 instead of {alpha}")
        self.alpha, self.num_classes = alpha, num_classes
        widths = [make_divisible(width * alpha, 8) for width in (32, 16, 24, 40, 80, 96, 192, 320)]
        rows = [(3, 2, 3, 3), (5, 2, 3, 3), (5, 2, 6, 3), (3, 1, 6, 2), (5, 2, 6, 4), (3, 1, 6, 1)]
        self.layers = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, padding=1, stride=2, bias=False), _norm(widths[0]), nn.ReLU(inplace=True),
            nn.Conv2d(widths[0], widths[0], 3, padding=1, groups=widths[0], bias=False), _norm(widths[0]),
            nn.ReLU(inplace=True), nn.Conv2d(widths[0], widths[1], 1, bias=False), _norm(widths[1]),
            *(_stage(inputs, outputs, *row) for inputs, outputs, row in zip(widths[1:], widths[2:], rows, strict=False)),
            nn.Conv2d(widths[-1], 1280, 1, bias=False), _norm(1280), nn.ReLU(inplace=True))
        self.classifier = nn.Sequential(nn.Dropout(p=dropout, inplace=True), nn.Linear(1280, num_classes))
        initialise(self, lambda layer: nn.init.kaiming_uniform_(layer.weight, mode="fan_out", nonlinearity="sigmoid"))

    def forward(self, x: Any) -> Any:
        return self.classifier(self.layers(x).mean([2, 3]))


def _builder(alpha: float) -> Callable:
    name = f"{alpha}".replace(".", "_")
    return builder(lambda **kwargs: MNASNet(alpha, **kwargs), f"mnasnet{name}", f"MNASNet{name}_Weights")


mnasnet0_5, mnasnet0_75, mnasnet1_0, mnasnet1_3 = (_builder(alpha) for alpha in (0.5, 0.75, 1.0, 1.3))
globals().update(enumerations("MNASNet"))
