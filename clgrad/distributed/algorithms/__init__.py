"""``torch.distributed.algorithms``: hooks of communication, and programs whose processes have unequal inputs."""

from clgrad.distributed.algorithms import ddp_comm_hooks as ddp_comm_hooks
from clgrad.distributed.algorithms.join import Join, Joinable, JoinHook

__all__ = ["Join", "JoinHook", "Joinable"]
