"""``torchvision.models.vgg``: the models, and the function that makes their convolutions."""

from __future__ import annotations

from typing import Any

from clgrad.vision import models
from clgrad.vision.models.classic import make_layers

__all__ = ["make_layers"]


def __getattr__(name: str) -> Any:
    return getattr(models, name)
