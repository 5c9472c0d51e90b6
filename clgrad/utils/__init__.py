"""Helpers around training."""

from clgrad.utils import benchmark, checkpoint, data, dlpack, tensorboard
from clgrad.utils.summary import summary

__all__ = ["benchmark", "checkpoint", "data", "dlpack", "summary", "tensorboard"]
