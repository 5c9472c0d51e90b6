"""``torch.utils.hooks``: the handles of hooks, under the name by which programs import them."""

from clgrad.autograd.handles import RemovableHandle

__all__ = ["RemovableHandle"]
