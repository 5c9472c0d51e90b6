"""``torch.distributed`` for a group of one process, so that programs written for several run as one.

clgrad trains in one process: :func:`is_available` says False, and a group of more is refused. In a group of one every
collective operation has its result at hand.

>>> import clgrad
>>> import clgrad.distributed as dist
>>> dist.init_process_group("gloo", rank=0, world_size=1)
>>> x = clgrad.ones(2)
>>> dist.all_reduce(x)
>>> x, dist.get_world_size()
(tensor([1., 1.]), 1)
>>> dist.destroy_process_group()
"""

from clgrad.distributed import nn as nn
from clgrad.distributed.collectives import (
    all_gather,
    all_gather_into_tensor,
    all_gather_object,
    all_reduce,
    all_to_all,
    all_to_all_single,
    barrier,
    broadcast,
    broadcast_object_list,
    gather,
    gather_object,
    irecv,
    isend,
    monitored_barrier,
    recv,
    reduce,
    reduce_scatter,
    reduce_scatter_tensor,
    scatter,
    scatter_object_list,
    send,
)
from clgrad.distributed.group import (
    Backend,
    GroupMember,
    ProcessGroup,
    ReduceOp,
    Work,
    default_group,
    destroy_process_group,
    get_backend,
    get_global_rank,
    get_group_rank,
    get_process_group_ranks,
    get_rank,
    get_world_size,
    group,
    init_process_group,
    is_available,
    is_backend_available,
    is_gloo_available,
    is_initialized,
    is_mpi_available,
    is_nccl_available,
    is_torchelastic_launched,
    is_ucc_available,
    is_xccl_available,
    new_group,
)
from clgrad.distributed.stores import (
    DistError,
    DistNetworkError,
    DistStoreError,
    FileStore,
    HashStore,
    PrefixStore,
    Store,
    TCPStore,
)

__all__ = [
    "Backend", "DistError", "DistNetworkError", "DistStoreError", "FileStore", "GroupMember", "HashStore", "PrefixStore",
    "Store", "TCPStore", "ProcessGroup", "ReduceOp", "Work", "all_gather", "all_gather_into_tensor",
    "all_gather_object", "all_reduce", "all_to_all", "all_to_all_single", "barrier", "broadcast", "broadcast_object_list",
    "default_group", "destroy_process_group", "gather", "gather_object", "get_backend", "get_global_rank", "get_group_rank",
    "get_process_group_ranks", "get_rank", "get_world_size", "group", "init_process_group", "irecv", "is_available",
    "is_backend_available", "is_gloo_available", "is_initialized", "is_mpi_available", "is_nccl_available",
    "is_torchelastic_launched", "is_ucc_available", "is_xccl_available", "isend", "monitored_barrier", "new_group", "recv",
    "reduce", "reduce_scatter", "reduce_scatter_tensor", "scatter", "scatter_object_list", "send",
]
