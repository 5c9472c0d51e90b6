"""``torch.distributed.fsdp``: no module is spread over processes."""

from clgrad.compat.standins.distributed import REASON
from clgrad.compat.standins.refusal import function, kind

__all__ = ["BackwardPrefetch", "CPUOffload", "FSDPModule", "FullyShardedDataParallel", "MixedPrecision",
           "MixedPrecisionPolicy", "ShardingStrategy", "fully_shard"]

BackwardPrefetch, CPUOffload, FSDPModule, FullyShardedDataParallel, MixedPrecision, MixedPrecisionPolicy, ShardingStrategy = (
    kind(f"torch.distributed.fsdp.{name}", REASON)
    for name in ("BackwardPrefetch", "CPUOffload", "FSDPModule", "FullyShardedDataParallel", "MixedPrecision",
                 "MixedPrecisionPolicy", "ShardingStrategy"))
fully_shard = function("torch.distributed.fsdp.fully_shard", REASON)
