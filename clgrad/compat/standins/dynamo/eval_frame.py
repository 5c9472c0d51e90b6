"""``torch._dynamo.eval_frame``."""

from clgrad.compiler import disable
from clgrad.nn.modules.optimized import OptimizedModule

__all__ = ["OptimizedModule", "disable", "is_dynamo_supported"]


def is_dynamo_supported() -> bool:
    """False."""
    return False
