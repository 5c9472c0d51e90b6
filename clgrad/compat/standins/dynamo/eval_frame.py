"""``torch._dynamo.eval_frame``."""

from clgrad.compat.standins.dynamo import OptimizedModule, disable, is_dynamo_supported

__all__ = ["OptimizedModule", "disable", "is_dynamo_supported"]
