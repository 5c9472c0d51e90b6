"""The wrapper that programs for several processes use, in a group of one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from clgrad.distributed import default_group
from clgrad.nn.parallel.wrapper import Wrapped


class DistributedDataParallel(Wrapped):
    """A module called ``module`` whose gradients are this process's: a group has one member.

    Args:
        module: the network.
        device_ids, output_device, dim: kept.
        process_group: the group; by default :func:`clgrad.distributed.init_process_group`'s.
        options: PyTorch's others, such as ``find_unused_parameters``; accepted.

    Raises:
        ValueError: there is no default group.
        RuntimeError: no parameter requires a gradient.
    """

    def __init__(self, module: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0,
                 broadcast_buffers: bool = True, init_sync: bool = True, process_group: Any = None, **options: Any):
        super().__init__(module, device_ids, output_device, dim)
        self.process_group = default_group() if process_group is None else process_group
        if not any(p.requires_grad for p in module.parameters()):
            raise RuntimeError("DistributedDataParallel is not needed when a module doesn't have any parameter that requires "
                               "a gradient.")
        self.broadcast_buffers, self.options = broadcast_buffers, options

    def no_sync(self) -> AbstractContextManager:
        """A context in which gradients are not shared with others; they never are."""
        return nullcontext()

    def join(self, *args: Any, **kwargs: Any) -> AbstractContextManager:
        """A context for processes with unequal inputs; there is one."""
        return nullcontext()

    def register_comm_hook(self, state: Any, hook: Callable) -> None:
        """Accepted; there is no communication."""
