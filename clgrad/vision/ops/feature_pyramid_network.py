"""Feature pyramids (Lin et al. 2016): what a network knows at a coarse scale, added to what it sees at finer ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad import nn
from clgrad.nn.functional import interpolate, max_pool2d, relu
from clgrad.vision.ops.misc import Conv2dNormActivation, renamed


class ExtraFPNBlock(nn.Module):
    """Base of blocks that add maps to a pyramid."""

    def forward(self, results: list[Any], x: list[Any], names: list[str]) -> tuple[list[Any], list[str]]:
        """The pyramid's maps and their names, with those added.

        Args:
            results: the pyramid's maps, the finest first.
            x: the maps that the pyramid was made of.
            names: their names.
        """
        raise NotImplementedError


class FeaturePyramidNetwork(nn.Module):
    """Maps of several scales to as many maps of ``out_channels`` channels.

    Args:
        in_channels_list: the channels of the maps, the finest first.
        extra_blocks: adds maps to the result.
        norm_layer: a norm after each convolution. Default: none, and convolutions with a bias.

    Raises:
        ValueError: a map without channels.
        TypeError: ``extra_blocks`` is no :class:`ExtraFPNBlock`.

    >>> import clgrad
    >>> pyramid = FeaturePyramidNetwork([10, 20], 5)
    >>> maps = pyramid({"fine": clgrad.rand(1, 10, 8, 8), "coarse": clgrad.rand(1, 20, 4, 4)})
    >>> {name: tuple(one.shape) for name, one in maps.items()}
    {'fine': (1, 5, 8, 8), 'coarse': (1, 5, 4, 4)}
    """

    _version = 2  # convolutions stand in a block with their norms

    def __init__(self, in_channels_list: list[int], out_channels: int, extra_blocks: ExtraFPNBlock | None = None,
                 norm_layer: Callable | None = None):
        super().__init__()
        if 0 in in_channels_list:
            raise ValueError("in_channels=0 is currently not supported")
        if extra_blocks is not None and not isinstance(extra_blocks, ExtraFPNBlock):
            raise TypeError(f"extra_blocks should be of type ExtraFPNBlock not {type(extra_blocks)}")

        def block(channels: int, kernel_size: int) -> Conv2dNormActivation:
            return Conv2dNormActivation(channels, out_channels, kernel_size, norm_layer=norm_layer, activation_layer=None)
        self.inner_blocks = nn.ModuleList([block(channels, 1) for channels in in_channels_list])
        self.layer_blocks = nn.ModuleList([block(out_channels, 3) for _ in in_channels_list])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                initialise_evenly(module)
        self.extra_blocks = extra_blocks

    def _load_from_state_dict(self, state_dict: Any, prefix: str, local_metadata: dict, *args: Any) -> None:
        if (local_metadata.get("version") or 1) < 2:
            for number in range(len(self.inner_blocks)):
                for blocks in ("inner_blocks", "layer_blocks"):
                    renamed(state_dict, f"{prefix}{blocks}.{number}", f"{prefix}{blocks}.{number}.0")
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    def forward(self, x: dict[str, Any]) -> dict[str, Any]:
        """The pyramid's maps, by the names of the maps that they were made of."""
        names, maps = list(x), list(x.values())
        results: list[Any] = []
        above: Any = None
        for number in reversed(range(len(maps))):
            inner = self.inner_blocks[number](maps[number])
            above = inner if above is None else inner + interpolate(above, size=inner.shape[-2:], mode="nearest")
            results.insert(0, self.layer_blocks[number](above))
        if self.extra_blocks is not None:
            results, names = self.extra_blocks(results, maps, names)
        return dict(zip(names, results, strict=True))


def initialise_evenly(convolution: nn.Conv2d) -> None:
    """Uniform weights of variance one over the inputs (He et al. 2015 without the ReLU), and no bias."""
    nn.init.kaiming_uniform_(convolution.weight, a=1)
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)


class LastLevelMaxPool(ExtraFPNBlock):
    """Adds ``pool``: every other pixel of the coarsest map."""

    def forward(self, results: list[Any], x: list[Any], names: list[str]) -> tuple[list[Any], list[str]]:
        return [*results, max_pool2d(results[-1], 1, 2)], [*names, "pool"]


class LastLevelP6P7(ExtraFPNBlock):
    """Adds ``p6`` and ``p7``: convolutions of stride 2 (Lin et al. 2017).

    Args:
        in_channels: of the map that they begin at; with ``out_channels`` of them it is the pyramid's coarsest, else that
            which the pyramid's coarsest was made of.
        out_channels: of both.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.p6 = nn.Conv2d(in_channels, out_channels, 3, 2, 1)
        self.p7 = nn.Conv2d(out_channels, out_channels, 3, 2, 1)
        for convolution in (self.p6, self.p7):
            initialise_evenly(convolution)
        self.use_P5 = in_channels == out_channels

    def forward(self, results: list[Any], x: list[Any], names: list[str]) -> tuple[list[Any], list[str]]:
        p6 = self.p6(results[-1] if self.use_P5 else x[-1])
        return [*results, p6, self.p7(relu(p6))], [*names, "p6", "p7"]
