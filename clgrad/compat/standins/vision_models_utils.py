"""``torchvision.models._utils``: models that give what inner layers compute, and numbers of channels."""

from __future__ import annotations

from clgrad.vision.models.parts import IntermediateLayerGetter
from clgrad.vision.models.parts import make_divisible as _make_divisible

__all__ = ["IntermediateLayerGetter", "_make_divisible"]
