"""``torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook``: gradients travel whole."""

from clgrad.compat.standins.refusal import function, kind

_REASON = "compression by matrices of low rank is not written; fp16_compress_hook and bf16_compress_hook are"
_PLACE = "torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook"

__all__ = ["PowerSGDState", "batched_powerSGD_hook", "powerSGD_hook"]

PowerSGDState = kind(f"{_PLACE}.PowerSGDState", _REASON)
powerSGD_hook, batched_powerSGD_hook = (
    function(f"{_PLACE}.{name}", _REASON) for name in ("powerSGD_hook", "batched_powerSGD_hook"))
