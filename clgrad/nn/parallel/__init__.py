"""Wrappers of programs for several devices or processes, on one device and in one process."""

from clgrad.nn.parallel.distributed import DistributedDataParallel
from clgrad.nn.parallel.scatter_gather import gather, scatter, scatter_kwargs
from clgrad.nn.parallel.wrapper import DataParallel, data_parallel, parallel_apply, replicate

__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel", "gather", "parallel_apply", "replicate", "scatter",
           "scatter_kwargs"]
