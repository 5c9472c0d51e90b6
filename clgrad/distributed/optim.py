"""``torch.distributed.optim``: with one process there is nothing to share out."""

from __future__ import annotations

from typing import Any

__all__ = ["ZeroRedundancyOptimizer"]


class ZeroRedundancyOptimizer:
    """The optimizer of class ``optimizer_class`` itself.

    Args:
        params: as for every optimizer.
        defaults: its options.
    """

    def __new__(cls, params: Any, optimizer_class: Any, process_group: Any = None,
                parameters_as_bucket_view: bool = False, overlap_with_ddp: bool = False, **defaults: Any) -> Any:
        """Makes the optimizer."""
        return optimizer_class(params, **defaults)
