"""``torch._dynamo.eval_frame``."""

from clgrad.compiler import disable

__all__ = ["OptimizedModule", "disable", "is_dynamo_supported"]


class OptimizedModule:
    """A class of no object: ``torch.compile`` returns the module itself."""


def is_dynamo_supported() -> bool:
    """False."""
    return False
