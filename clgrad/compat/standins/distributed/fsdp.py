"""``torch.distributed.fsdp``: no module is spread over processes."""

from clgrad.compat.standins.distributed import REASON
from clgrad.compat.standins.refusal import function, kind

__all__ = ["BackwardPrefetch", "CPUOffload", "FullyShardedDataParallel", "MixedPrecision", "ShardingStrategy", "fully_shard"]

BackwardPrefetch, CPUOffload, FullyShardedDataParallel, MixedPrecision, ShardingStrategy = (
    kind(f"torch.distributed.fsdp.{name}", REASON)
    for name in ("BackwardPrefetch", "CPUOffload", "FullyShardedDataParallel", "MixedPrecision", "ShardingStrategy"))
fully_shard = function("torch.distributed.fsdp.fully_shard", REASON)
