"""Libraries that only some parts of clgrad need, imported when they are used."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any


@cache
def library(module: str, package: str, purpose: str) -> Any:
    """A module of another library; ImportError with what to install where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{purpose} needs {package}: pip install {package}", name=module) from error


def pillow(part: str = "Image") -> Any:
    """A module of Pillow."""
    return library(f"PIL.{part}", "Pillow", "reading and transforming pictures")


def is_picture(value: Any) -> bool:
    """Whether a value is an image of Pillow's; without Pillow nothing is."""
    if not type(value).__module__.startswith("PIL."):
        return False
    return isinstance(value, pillow().Image)
