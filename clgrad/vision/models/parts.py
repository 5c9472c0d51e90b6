"""What several families of models share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.nn import Conv2d, Linear, Module, ModuleDict, init


def make_divisible(v: float, divisor: int, min_value: int | None = None) -> int:
    """The nearest multiple of ``divisor`` that is at least ``min_value``, and not more than a tenth below ``v``."""
    made = max(divisor if min_value is None else min_value, int(v + divisor / 2) // divisor * divisor)
    return made + divisor if made < 0.9 * v else made


def initialise(model: Module, linear: Callable[[Linear], Any], convolution: Callable[[Conv2d], Any] | None = None) -> None:
    """Initial values: ``linear`` and ``convolution`` (He et al. 2015, by outputs) set weights, all biases are zero."""
    for module in model.modules():
        if isinstance(module, Conv2d):
            if convolution is None:
                init.kaiming_normal_(module.weight, mode="fan_out")
            else:
                convolution(module)
        elif isinstance(module, Linear):
            linear(module)
        else:
            continue
        if module.bias is not None:
            init.zeros_(module.bias)


def check_settings(name: str, settings: Any, kind: type) -> None:
    """Raises where the rows that describe a network are none, or not of their class.

    Raises:
        ValueError: there are none.
        TypeError: no sequence of ``kind``.
    """
    if not settings:
        raise ValueError(f"The {name} should not be empty")
    if not isinstance(settings, (list, tuple)) or not all(isinstance(row, kind) for row in settings):
        raise TypeError(f"The {name} should be List[{kind.__name__.removeprefix('_')}]")


class IntermediateLayerGetter(ModuleDict):
    """The children of a model up to the last wanted one, called one after another; returns a dict of what some computed.

    Args:
        model: its children are called in their order, so what its ``forward`` does beside that is left out.
        return_layers: for names of children, the names that their values get.

    Raises:
        ValueError: a name is no child of the model.
    """

    def __init__(self, model: Module, return_layers: dict[str, str]):
        children = dict(model.named_children())
        if not set(return_layers) <= set(children):
            raise ValueError("return_layers are not present in model")
        last = max((list(children).index(name) for name in return_layers), default=0)
        super().__init__(dict(list(children.items())[:last + 1]))
        self.return_layers = return_layers

    def forward(self, x: Any) -> dict[str, Any]:
        """What the wanted children compute, by the names given to them."""
        found = {}
        for name, module in self.items():
            x = module(x)
            if name in self.return_layers:
                found[self.return_layers[name]] = x
        return found
