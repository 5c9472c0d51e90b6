"""``torch.distributed.tensor.experimental``."""

from clgrad.compat.standins.distributed import REASON
from clgrad.compat.standins.refusal import function

__all__ = ["implicit_replication", "local_map"]

implicit_replication, local_map = (
    function(f"torch.distributed.tensor.experimental.{name}", REASON) for name in ("implicit_replication", "local_map"))
