"""``torch.distributed.device_mesh``."""

from clgrad.compat.standins.distributed import REASON
from clgrad.compat.standins.refusal import function, kind

__all__ = ["DeviceMesh", "init_device_mesh"]

DeviceMesh = kind("torch.distributed.device_mesh.DeviceMesh", REASON)
init_device_mesh = function("torch.distributed.device_mesh.init_device_mesh", REASON)
