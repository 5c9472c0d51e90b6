"""``torch.distributed.tensor``: no tensor is spread over processes."""

from clgrad.compat.standins.distributed import REASON
from clgrad.compat.standins.distributed.device_mesh import DeviceMesh, init_device_mesh
from clgrad.compat.standins.refusal import function, kind

__all__ = ["DTensor", "DeviceMesh", "Partial", "Placement", "Replicate", "Shard", "distribute_module", "distribute_tensor",
           "init_device_mesh"]

DTensor, Placement = (kind(f"torch.distributed.tensor.{name}", REASON) for name in ("DTensor", "Placement"))
Partial, Replicate, Shard = (kind(f"torch.distributed.tensor.{name}", REASON, Placement)
                             for name in ("Partial", "Replicate", "Shard"))
distribute_module, distribute_tensor = (
    function(f"torch.distributed.tensor.{name}", REASON) for name in ("distribute_module", "distribute_tensor"))
