"""``torchvision.models._utils``: models that give what inner layers compute, and numbers of channels."""

from __future__ import annotations

from typing import Any

from clgrad.nn import Module, ModuleDict
from clgrad.vision.models.mobilenet import make_divisible as _make_divisible

__all__ = ["IntermediateLayerGetter", "_make_divisible"]


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
