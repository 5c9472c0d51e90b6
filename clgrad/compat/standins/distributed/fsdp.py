"""``torch.distributed.fsdp`` and its modules: no module is spread over processes."""

from clgrad.amp import GradScaler
from clgrad.compat.standins.distributed import REASON
from clgrad.compat.standins.refusal import function, kind

_CLASSES = (
    "BackwardPrefetch", "CPUOffload", "CPUOffloadPolicy", "FSDPModule", "FullOptimStateDictConfig", "FullStateDictConfig",
    "FullyShardedDataParallel", "LocalStateDictConfig", "MixedPrecision", "MixedPrecisionPolicy", "ModuleWrapPolicy",
    "OffloadPolicy", "OptimStateKeyType", "ShardedOptimStateDictConfig", "ShardedStateDictConfig", "ShardingStrategy",
    "StateDictType")
_FUNCTIONS = ("enable_wrap", "fully_shard", "lambda_auto_wrap_policy", "register_fsdp_forward_method",
              "size_based_auto_wrap_policy", "transformer_auto_wrap_policy", "wrap")

__all__ = [*_CLASSES, *_FUNCTIONS, "ShardedGradScaler"]  # type: ignore

globals().update({name: kind(f"torch.distributed.fsdp.{name}", REASON) for name in _CLASSES})
globals().update({name: function(f"torch.distributed.fsdp.{name}", REASON) for name in _FUNCTIONS})
ShardedGradScaler = GradScaler
