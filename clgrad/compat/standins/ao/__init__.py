"""``torch.ao``: names of what quantization is made of."""

from clgrad.compat.standins.ao import quantization

__all__ = ["quantization"]
