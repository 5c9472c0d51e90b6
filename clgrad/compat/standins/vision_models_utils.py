"""``torchvision.models._utils``: models that give what inner layers compute, and sizes of layers."""

from __future__ import annotations

from typing import Any

from clgrad.nn import Module, ModuleDict

__all__ = ["IntermediateLayerGetter"]


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


def _make_divisible(v: float, divisor: int, min_value: int | None = None) -> int:
    """The multiple of ``divisor`` that is nearest to ``v``, at least ``min_value``, and not below 90 % of ``v``."""
    nearest = max(divisor if min_value is None else min_value, int(v + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * v else nearest + divisor
