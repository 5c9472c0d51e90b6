"""``torch.distributed.tensor``: no tensor is spread over processes. Descriptions of how one would be can be made."""

from __future__ import annotations

from dataclasses import dataclass

from clgrad.compat.standins.distributed import REASON
from clgrad.compat.standins.distributed.device_mesh import DeviceMesh, init_device_mesh
from clgrad.compat.standins.refusal import function, kind

__all__ = ["DTensor", "DeviceMesh", "Partial", "Placement", "Replicate", "Shard", "distribute_module", "distribute_tensor",
           "init_device_mesh"]

DTensor = kind("torch.distributed.tensor.DTensor", REASON)
distribute_module, distribute_tensor = (
    function(f"torch.distributed.tensor.{name}", REASON) for name in ("distribute_module", "distribute_tensor"))


class Placement:
    """How a tensor would be spread."""

    def is_shard(self, dim: int | None = None) -> bool:
        """Whether each process would have a part, along ``dim``."""
        return False

    def is_replicate(self) -> bool:
        """Whether each process would have all."""
        return False

    def is_partial(self) -> bool:
        """Whether the sum over the processes would be the tensor."""
        return False


@dataclass(frozen=True)
class Shard(Placement):
    """In parts along a dimension."""

    dim: int

    def is_shard(self, dim: int | None = None) -> bool:
        return dim is None or dim == self.dim


@dataclass(frozen=True)
class _StridedShard(Shard):
    """In parts of parts along a dimension."""

    split_factor: int = 1


@dataclass(frozen=True)
class Replicate(Placement):
    """Whole everywhere."""

    def is_replicate(self) -> bool:
        return True


@dataclass(frozen=True)
class Partial(Placement):
    """As what has to be reduced."""

    reduce_op: str = "sum"

    def is_partial(self) -> bool:
        return True
