"""Helpers around training."""

from clgrad.utils import _pytree, benchmark, checkpoint, data, dlpack, hooks, tensorboard
from clgrad.utils.exchange import swap_tensors
from clgrad.utils.summary import summary

__all__ = ["_pytree", "benchmark", "checkpoint", "data", "dlpack", "hooks", "summary", "swap_tensors", "tensorboard"]
