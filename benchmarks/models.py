"""Whole training steps: zero_grad, forward, loss, backward, optimizer, of networks as programs write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measure import Row, values

CLASSES = 10
VOCABULARY = 65


def lenet(library: Any) -> Any:
    """LeNet-5 with ReLU and max pooling."""
    nn = library.nn
    return nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
                         nn.Linear(84, CLASSES))


def _residual(library: Any, inputs: int, outputs: int, stride: int) -> Any:
    """Two 3x3 convolutions and the shortcut around them, a 1x1 convolution where the shape changes."""
    nn = library.nn

    class Block(nn.Module):
        """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""

        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(outputs)
            same = inputs == outputs
            self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.relu = nn.ReLU()

        def forward(self, x: Any) -> Any:
            """The block's result."""
            y = self.relu(self.norm1(self.conv1(x)))
            return self.relu(self.norm2(self.conv2(y)) + self.shortcut(x))
    return Block()


def resnet20(library: Any) -> Any:
    """The residual network of 20 layers for CIFAR-10 (He et al. 2015, 4.2), with 1x1 convolutions as shortcuts."""
    nn = library.nn
    blocks = [_residual(library, inputs if first else outputs, outputs, stride if first else 1)
              for inputs, outputs, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)) for first in (True, False, False)]
    return nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks,
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, CLASSES))


def resnet18(library: Any) -> Any:
    """The residual network of 18 layers for large images (He et al. 2015, table 1)."""
    nn = library.nn
    blocks = [_residual(library, inputs if first else outputs, outputs, stride if first else 1)
              for inputs, outputs, stride in ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
              for first in (True, False)]
    return nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
                         *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, CLASSES))


def mobilenet(library: Any) -> Any:
    """MobileNetV2 (Sandler et al. 2018, table 2): inverted residuals around depthwise convolutions."""
    nn = library.nn

    class Inverted(nn.Module):
        """Widens by ``factor``, convolves each channel, and narrows."""

        def __init__(self, inputs: int, outputs: int, stride: int, factor: int):
            super().__init__()
            wide = inputs * factor
            widen = [] if factor == 1 else [nn.Conv2d(inputs, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()]
            self.layers = nn.Sequential(
                *widen, nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
                nn.Conv2d(wide, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
            self.residual = stride == 1 and inputs == outputs

        def forward(self, x: Any) -> Any:
            """(N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
            return x + self.layers(x) if self.residual else self.layers(x)

    layers, width = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6()], 32
    for factor, outputs, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                           (6, 160, 3, 2), (6, 320, 1, 1)):
        for number in range(count):
            layers.append(Inverted(width, outputs, 1 if number else stride, factor))
            width = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))


def unet(library: Any) -> Any:
    """A U-Net of three levels (Ronneberger et al. 2015), a score for each of two classes at each pixel."""
    nn = library.nn

    def pair(inputs: int, outputs: int) -> Any:
        layers = [layer for n in (inputs, outputs) for layer in (
            nn.Conv2d(n, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))]
        return nn.Sequential(*layers)

    class Model(nn.Module):
        """(N, 3, H, W) to (N, 2, H, W)."""

        def __init__(self) -> None:
            super().__init__()
            self.down1, self.down2, self.bottom = pair(3, 32), pair(32, 64), pair(64, 128)
            self.wider2, self.up2 = nn.ConvTranspose2d(128, 64, 2, 2), pair(128, 64)
            self.wider1, self.up1 = nn.ConvTranspose2d(64, 32, 2, 2), pair(64, 32)
            self.scores, self.pool = nn.Conv2d(32, 2, 1), nn.MaxPool2d(2)

        def forward(self, x: Any) -> Any:
            """The scores."""
            first = self.down1(x)
            second = self.down2(self.pool(first))
            x = self.up2(library.cat([self.wider2(self.bottom(self.pool(second))), second], 1))
            return self.scores(self.up1(library.cat([self.wider1(x), first], 1)))
    return Model()


def mlp(library: Any) -> Any:
    """784-1024-1024-10."""
    nn = library.nn
    return nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, CLASSES))


def vit(library: Any) -> Any:
    """A small vision transformer (Dosovitskiy et al. 2020): patches of 8x8, four layers of 192."""
    nn = library.nn

    class Model(nn.Module):
        """(N, 3, 64, 64) to (N, classes)."""

        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 192, 8, 8)
            self.token, self.places = nn.Parameter(library.zeros(1, 1, 192)), nn.Parameter(library.zeros(1, 65, 192))
            layer = nn.TransformerEncoderLayer(192, 3, 768, 0.0, "gelu", batch_first=True, norm_first=True)
            self.blocks = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
            self.head = nn.Linear(192, CLASSES)

        def forward(self, x: Any) -> Any:
            """The scores."""
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = library.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
            return self.head(self.blocks(x)[:, 0])
    return Model()


def gpt(library: Any, steps: int = 128) -> Any:
    """A small GPT (Radford et al. 2019) of the library's own layers."""
    nn, width = library.nn, 128

    class Model(nn.Module):
        """Token numbers (batch, steps) to scores of the next one, (batch, vocabulary, steps)."""

        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(VOCABULARY, width), nn.Embedding(steps, width)
            layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
            self.blocks = nn.TransformerEncoder(layer, 2, nn.LayerNorm(width), enable_nested_tensor=False)
            self.head = nn.Linear(width, VOCABULARY)

        def forward(self, x: Any) -> Any:
            """The scores."""
            mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
            hidden = self.tokens(x) + self.places(library.arange(x.shape[1]))
            return self.head(self.blocks(hidden, mask, is_causal=True)).transpose(1, 2)
    return Model()


def written_gpt(library: Any, steps: int = 128) -> Any:
    """A GPT whose attention is written out: one projection that is split, and masked scores."""
    nn, width, heads = library.nn, 192, 6

    class Attention(nn.Module):
        """Causal attention."""

        def __init__(self) -> None:
            super().__init__()
            self.projection, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.register_buffer("mask", library.tril(library.ones(steps, steps)))

        def forward(self, x: Any) -> Any:
            """(N, steps, width) to the same."""
            n, count, _ = x.shape
            q, k, v = (part.view(n, count, heads, -1).transpose(1, 2) for part in self.projection(x).split(width, dim=2))
            scores = q @ k.transpose(-2, -1) * (width // heads) ** -0.5
            weights = scores.masked_fill(self.mask[:count, :count] == 0, float("-inf")).softmax(-1)
            return self.out((weights @ v).transpose(1, 2).contiguous().view(n, count, width))

    class Block(nn.Module):
        """Attention and two layers, each after a normalisation and with a way around it."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.attention, self.second = nn.LayerNorm(width), Attention(), nn.LayerNorm(width)
            self.layers = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

        def forward(self, x: Any) -> Any:
            """(N, steps, width) to the same."""
            x = x + self.attention(self.first(x))
            return x + self.layers(self.second(x))

    class Model(nn.Module):
        """Token numbers (batch, steps) to scores of the next one, (batch, vocabulary, steps)."""

        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(VOCABULARY, width), nn.Embedding(steps, width)
            self.blocks = nn.Sequential(*[Block() for _ in range(3)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY, bias=False)

        def forward(self, x: Any) -> Any:
            """The scores."""
            hidden = self.tokens(x) + self.places(library.arange(x.shape[1]))
            return self.head(self.norm(self.blocks(hidden))).transpose(1, 2)
    return Model()


def lstm(library: Any) -> Any:
    """A language model: two LSTM layers of 200."""
    nn = library.nn

    class Model(nn.Module):
        """Token numbers (batch, steps) to scores of the next one, (batch, vocabulary, steps)."""

        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.layers = nn.Embedding(VOCABULARY, 200), nn.LSTM(200, 200, 2, batch_first=True)
            self.head = nn.Linear(200, VOCABULARY)

        def forward(self, x: Any) -> Any:
            """The scores."""
            return self.head(self.layers(self.tokens(x))[0]).transpose(1, 2)
    return Model()


def wavenet(library: Any) -> Any:
    """Gated, dilated convolutions along time (van den Oord et al. 2016)."""
    nn, width = library.nn, 32

    class Model(nn.Module):
        """(N, 1, steps) to (N, classes, steps)."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.scores = nn.Conv1d(1, width, 1), nn.Conv1d(width, CLASSES, 1)
            self.gates = nn.ModuleList([nn.Conv1d(width, 2 * width, 2, dilation=2**k, padding=2**k) for k in range(8)])
            self.residuals = nn.ModuleList([nn.Conv1d(width, width, 1) for _ in range(8)])

        def forward(self, x: Any) -> Any:
            """The scores."""
            x = self.first(x)
            for gate, residual in zip(self.gates, self.residuals, strict=True):
                value, opening = gate(x)[..., :x.shape[-1]].chunk(2, 1)
                x = x + residual(library.tanh(value) * library.sigmoid(opening))
            return self.scores(x)
    return Model()


def set_parameters(library: Any, net: Any, rng: np.random.Generator) -> None:
    """The same parameters in both libraries: biases and ones stay small, weights are of their inputs' scale."""
    with library.no_grad():
        for parameter in net.parameters():
            fan = max(1, int(np.prod(parameter.shape[1:])))
            start = rng.uniform(-1, 1, tuple(parameter.shape)) / np.sqrt(fan)
            parameter.copy_(library.tensor(start.astype(np.float32)))


def _training(make: Callable, shape: tuple[int, ...], targets: tuple[int, ...], classes: int = CLASSES,
              tokens: bool = False, channels_last: bool = False) -> Callable:
    def build(library: Any) -> Callable:
        net, rng = make(library), np.random.default_rng(0)
        set_parameters(library, net, rng)
        x = library.tensor(rng.integers(0, classes, shape) if tokens else values(*shape))
        if channels_last:
            net, x = (which.to(memory_format=library.channels_last) for which in (net, x))
        target = library.tensor(rng.integers(0, classes, targets))
        optimizer = library.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)

        def step() -> Any:
            optimizer.zero_grad()
            loss = library.nn.functional.cross_entropy(net(x), target)
            loss.backward()
            optimizer.step()
            return loss.detach()
        return step
    return build


def training() -> Iterator[Row]:
    """Steps of small networks."""
    for batch in (4, 32, 128):
        yield Row("training", f"LeNet step batch {batch}", _training(lenet, (batch, 1, 32, 32), (batch,)))
    yield Row("training", "ResNet-20 step batch 32", _training(resnet20, (32, 3, 32, 32), (32,)), flops=6.0 * 32 * 40.8e6)
    yield Row("training", "MLP 784-1024-1024-10 step batch 128", _training(mlp, (128, 784), (128,)),
              flops=6.0 * 128 * (784 * 1024 + 1024 * 1024 + 1024 * 10))


_tokens = partial(_training, shape=(8, 128), targets=(8, 128), classes=VOCABULARY, tokens=True)


def steps_of_gpt() -> Iterator[Row]:
    """A step of a language model."""
    yield Row("gpt", "step 2 layers of 128, batch 8x128", _tokens(gpt),
              flops=6.0 * 8 * 128 * (2 * 12 * 128**2 + 128 * VOCABULARY))


def larger() -> Iterator[Row]:
    """Steps of networks as they are found in programs."""
    yield Row("models", "U-Net 4x3x128x128", _training(unet, (4, 3, 128, 128), (4, 128, 128), 2))
    for last in (False, True):
        yield Row("models", f"ResNet-18 8x3x112x112{' channels_last' * last}",
                  _training(resnet18, (8, 3, 112, 112), (8,), channels_last=last))
    yield Row("models", "MobileNetV2 8x3x96x96", _training(mobilenet, (8, 3, 96, 96), (8,)), tolerance=1e-3)
    yield Row("models", "vision transformer 16x3x64x64", _training(vit, (16, 3, 64, 64), (16,)))
    yield Row("models", "GPT written out, 3 layers of 192, batch 8x128", _tokens(written_gpt))
    yield Row("models", "LSTM of 2 layers of 200, batch 8x128", _tokens(lstm))
    yield Row("models", "WaveNet 4x1x4000", _training(wavenet, (4, 1, 4000), (4, 4000)))


GROUPS = {"training": training, "gpt": steps_of_gpt, "models": larger}
