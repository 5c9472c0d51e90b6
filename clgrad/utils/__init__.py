"""Helpers around training."""

from clgrad import trees as _pytree
from clgrad.exchange import swap_tensors
from clgrad.utils import benchmark, checkpoint, data, deterministic, dlpack, hooks, tensorboard
from clgrad.utils.summary import summary

__all__ = ["_pytree", "benchmark", "checkpoint", "data", "deterministic", "dlpack", "hooks", "summary", "swap_tensors",
           "tensorboard"]
