"""``torch.distributed.tensor._utils``."""

from clgrad.compat.standins.distributed import REASON
from clgrad.compat.standins.refusal import function

__all__ = ["compute_local_shape_and_global_offset"]

compute_local_shape_and_global_offset = function("torch.distributed.tensor._utils.compute_local_shape_and_global_offset",
                                                 REASON)
