"""Helpers around training."""

from clgrad.utils import data

__all__ = ["data"]
