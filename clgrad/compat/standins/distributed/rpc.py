"""``torch.distributed.rpc``: no process calls functions in another."""

from clgrad.compat.standins.refusal import function, kind

REASON = "processes of clgrad exchange tensors, not calls"
__all__ = ["RRef", "TensorPipeRpcBackendOptions", "WorkerInfo", "init_rpc", "is_available", "remote", "rpc_async", "rpc_sync",
           "shutdown"]

RRef, TensorPipeRpcBackendOptions, WorkerInfo = (
    kind(f"torch.distributed.rpc.{name}", REASON) for name in ("RRef", "TensorPipeRpcBackendOptions", "WorkerInfo"))
init_rpc, remote, rpc_async, rpc_sync, shutdown = (
    function(f"torch.distributed.rpc.{name}", REASON) for name in ("init_rpc", "remote", "rpc_async", "rpc_sync", "shutdown"))


def is_available() -> bool:
    """False."""
    return False
