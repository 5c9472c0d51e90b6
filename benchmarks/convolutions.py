"""Convolutions of known networks: each layer forward, the gradient of its input, the gradient of its weight and bias."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from benchmarks.measure import Row, tensors, values


class Layer(NamedTuple):
    """A two-dimensional layer with square images; a transposed one doubles the sides of its image."""

    inputs: int
    outputs: int
    kernel: int
    size: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    transposed: bool = False

    @property
    def side(self) -> int:
        """Of the result."""
        if self.transposed:
            return (self.size - 1) * self.stride + self.kernel - 2 * self.padding
        return (self.size + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def label(self) -> str:
        """What distinguishes it from the network's other layers."""
        kind = "transposed " if self.transposed else "depthwise " if self.groups > 1 else ""
        size = f"{self.kernel}x{self.kernel} at {self.size}x{self.size}/{self.stride}"
        return f"{kind}{self.inputs}->{self.outputs} {size}"

    @property
    def shapes(self) -> tuple[tuple, tuple]:
        """Of an image and of the weight."""
        ends = (self.inputs, self.outputs) if self.transposed else (self.outputs, self.inputs)
        return (self.inputs, self.size, self.size), (ends[0], ends[1] // self.groups, self.kernel, self.kernel)

    def flops(self, batch: int) -> float:
        """Operations of each of the three directions."""
        positions = self.size**2 if self.transposed else self.side**2
        return 2.0 * batch * positions * self.inputs * self.outputs * self.kernel**2 / self.groups

    def bytes(self, batch: int) -> float:
        """What each of the three directions reads and writes at least."""
        images = batch * (self.inputs * self.size**2 + self.outputs * self.side**2)
        return 4.0 * (images + self.inputs * self.outputs * self.kernel**2 / self.groups)


def _depthwise(channels: int, size: int, stride: int = 1) -> Layer:
    return Layer(channels, channels, 3, size, stride, 1, channels)


# PyTorch's ResNet-50 has its strides in the 3x3 layers; its shortcuts have 1x1 ones.
NETWORKS: dict[str, tuple[tuple[int, ...], list[Layer]]] = {
    "LeNet": ((4, 128), [Layer(1, 6, 5, 32), Layer(6, 16, 5, 14)]),
    "ResNet-20": ((32,), [Layer(3, 16, 3, 32, 1, 1), Layer(16, 16, 3, 32, 1, 1), Layer(16, 32, 3, 32, 2, 1),
                          Layer(32, 32, 3, 16, 1, 1), Layer(32, 64, 3, 16, 2, 1), Layer(64, 64, 3, 8, 1, 1)]),
    "ResNet-50": ((4,), [Layer(3, 64, 7, 224, 2, 3), Layer(64, 64, 3, 56, 1, 1), Layer(128, 128, 3, 28, 1, 1),
                         Layer(256, 256, 3, 14, 1, 1), Layer(512, 512, 3, 7, 1, 1), Layer(128, 128, 3, 56, 2, 1),
                         Layer(64, 256, 1, 56), Layer(256, 64, 1, 56), Layer(128, 512, 1, 28), Layer(512, 128, 1, 28),
                         Layer(256, 1024, 1, 14), Layer(1024, 256, 1, 14), Layer(512, 2048, 1, 7),
                         Layer(2048, 512, 1, 7), Layer(256, 512, 1, 56, 2)]),
    "MobileNetV2": ((4,), [Layer(3, 32, 3, 224, 2, 1), _depthwise(32, 112), _depthwise(96, 112, 2), _depthwise(144, 56),
                           _depthwise(144, 56, 2), _depthwise(192, 28), _depthwise(384, 14), _depthwise(576, 14, 2),
                           _depthwise(960, 7), Layer(16, 96, 1, 112), Layer(96, 24, 1, 56), Layer(192, 32, 1, 28),
                           Layer(64, 384, 1, 14), Layer(160, 960, 1, 7), Layer(320, 1280, 1, 7)]),
    "U-Net": ((2,), [Layer(3, 64, 3, 64, 1, 1), Layer(64, 64, 3, 64, 1, 1), Layer(128, 128, 3, 32, 1, 1),
                     Layer(256, 256, 3, 16, 1, 1), Layer(512, 512, 3, 8, 1, 1), Layer(128, 64, 2, 32, 2, transposed=True),
                     Layer(256, 128, 2, 16, 2, transposed=True), Layer(512, 256, 2, 8, 2, transposed=True),
                     Layer(64, 2, 1, 64)]),
}


def convolutions() -> Iterator[Row]:
    """The layers of networks, and one layer of one and of three dimensions."""
    for network, (batches, layers) in NETWORKS.items():
        for layer in layers:
            for batch in batches:
                name = "conv_transpose2d" if layer.transposed else "conv2d"
                image, weight = layer.shapes
                yield from _directions(f"{network} {layer.label} batch {batch}", name,
                                       ((batch, *image), weight, (layer.outputs,)),
                                       {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups},
                                       layer.flops(batch), layer.bytes(batch))
    yield from _directions("64->128 of 5 at 1000 batch 8", "conv1d", ((8, 64, 1000), (128, 64, 5), (128,)),
                           {"padding": 2}, 2.0 * 8 * 64 * 128 * 5 * 1000)
    yield from _directions("16->32 3x3x3 at 16x32x32 batch 2", "conv3d", ((2, 16, 16, 32, 32), (32, 16, 3, 3, 3), (32,)),
                           {"padding": 1}, 2.0 * 2 * 16 * 32 * 27 * 16 * 32 * 32)


def _directions(label: str, name: str, shapes: tuple, options: dict[str, int], flops: float,
                moved: float = 0.0) -> Iterator[Row]:
    for direction, wanted in (("forward", ()), ("input gradient", (0,)), ("weight gradient", (1, 2))):
        yield Row("conv", f"{direction} {label}" if name.endswith("2d") else f"{name} {direction} {label}",
                  _convolution(name, shapes, options, wanted), flops=flops, bytes=moved, tolerance=1e-3)


def _convolution(name: str, shapes: tuple, options: dict[str, int], wanted: tuple[int, ...]) -> Callable:
    """The convolution, or the gradients of those of its operands that are ``wanted``."""
    def build(library: Any) -> Callable:
        operands = tensors(library, *shapes)
        convolve = getattr(library.nn.functional, name)
        if not wanted:
            return lambda: convolve(*operands, **options)
        for position in wanted:
            operands[position].requires_grad_(True)
        y = convolve(*operands, **options)
        seed = library.tensor(values(*y.shape))
        leaves = [operands[position] for position in wanted]
        return lambda: library.autograd.grad(y, leaves, seed, retain_graph=True)
    return build


GROUPS = {"conv": convolutions}
