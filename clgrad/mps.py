"""``torch.mps``: there is no such device here; OpenCL GPUs, whoever made them, are ``cuda``."""

from clgrad.absent_device import *  # noqa: F403
from clgrad.absent_device import memory_allocated

current_allocated_memory = driver_allocated_memory = recommended_max_memory = memory_allocated


def set_per_process_memory_fraction(fraction: float) -> None:
    """Nothing to limit."""
