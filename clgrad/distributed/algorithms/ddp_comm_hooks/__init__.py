"""``torch.distributed.algorithms.ddp_comm_hooks``: how the gradients of a bucket are averaged."""

from clgrad.distributed.algorithms.ddp_comm_hooks import default_hooks as default_hooks
from clgrad.distributed.algorithms.ddp_comm_hooks import post_localSGD_hook as post_localSGD_hook

__all__ = ["default_hooks", "post_localSGD_hook"]
