"""``torch.distributed``: processes, on one machine or several, that work together.

They form a group, in which each has a number, its rank, and exchange tensors by collective operations, which all call in the
same order. Whatever the backend is called, tensors travel through sockets; what is added is added on the tensors' device.
``python -m clgrad.distributed.run`` starts the processes of a program.

>>> import clgrad
>>> import clgrad.distributed as dist
>>> dist.init_process_group("gloo", rank=0, world_size=1)
>>> x = clgrad.ones(2)
>>> dist.all_reduce(x)
>>> x, dist.get_world_size()
(tensor([1., 1.]), 1)
>>> dist.destroy_process_group()
"""

from clgrad.distributed import algorithms as algorithms
from clgrad.distributed import nn as nn
from clgrad.distributed.buckets import GradBucket, assign_buckets, broadcast_coalesced
from clgrad.distributed.collectives import (
    _all_gather_base,
    _reduce_scatter_base,
    all_gather,
    all_gather_coalesced,
    all_gather_into_tensor,
    all_gather_single,
    all_reduce,
    all_reduce_coalesced,
    all_to_all,
    all_to_all_single,
    barrier,
    broadcast,
    gather,
    monitored_barrier,
    reduce,
    reduce_scatter,
    reduce_scatter_single,
    reduce_scatter_tensor,
    scatter,
)
from clgrad.distributed.debug import DebugLevel, get_debug_level, set_debug_level, set_debug_level_from_env
from clgrad.distributed.errors import DistBackendError, DistError, DistNetworkError, DistStoreError, QueueEmptyError
from clgrad.distributed.group import (
    Backend,
    GroupMember,
    ProcessGroup,
    _get_default_group,
    _rank_not_in_group,
    default_group,
    default_pg_timeout,
    destroy_process_group,
    get_backend,
    get_backend_config,
    get_default_backend_for_device,
    get_global_rank,
    get_group_rank,
    get_node_local_rank,
    get_pg_count,
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
    new_subgroups,
    new_subgroups_by_enumeration,
)
from clgrad.distributed.objects import (
    all_gather_object,
    broadcast_object_list,
    gather_object,
    recv_object_list,
    scatter_object_list,
    send_object_list,
)
from clgrad.distributed.point_to_point import P2POp, batch_isend_irecv, irecv, isend, recv, send
from clgrad.distributed.reduce_op import ReduceOp, supports_complex
from clgrad.distributed.rendezvous import register_rendezvous_handler, rendezvous
from clgrad.distributed.stores import FileStore, HashStore, PrefixStore, Store
from clgrad.distributed.tcp_store import TCPStore
from clgrad.distributed.work import Work

_broadcast_coalesced = broadcast_coalesced
reduce_op = ReduceOp

__all__ = [
    "Backend", "DebugLevel", "DistBackendError", "DistError", "DistNetworkError", "DistStoreError", "FileStore", "GradBucket",
    "GroupMember", "HashStore", "P2POp", "PrefixStore", "ProcessGroup", "QueueEmptyError", "ReduceOp", "Store", "TCPStore",
    "Work", "_all_gather_base", "_broadcast_coalesced", "_get_default_group", "_rank_not_in_group", "_reduce_scatter_base",
    "all_gather", "all_gather_coalesced", "all_gather_into_tensor", "all_gather_object", "all_gather_single", "all_reduce",
    "all_reduce_coalesced", "all_to_all", "all_to_all_single", "assign_buckets", "barrier", "batch_isend_irecv", "broadcast",
    "broadcast_coalesced", "broadcast_object_list", "default_group", "default_pg_timeout", "destroy_process_group", "gather",
    "gather_object", "get_backend", "get_backend_config", "get_debug_level", "get_default_backend_for_device",
    "get_global_rank", "get_group_rank", "get_node_local_rank", "get_pg_count", "get_process_group_ranks", "get_rank",
    "get_world_size", "group", "init_process_group", "irecv", "is_available", "is_backend_available", "is_gloo_available",
    "is_initialized", "is_mpi_available", "is_nccl_available", "is_torchelastic_launched", "is_ucc_available",
    "is_xccl_available", "isend", "monitored_barrier", "new_group", "new_subgroups", "new_subgroups_by_enumeration", "recv",
    "recv_object_list", "reduce", "reduce_op", "reduce_scatter", "reduce_scatter_single", "reduce_scatter_tensor",
    "register_rendezvous_handler", "rendezvous", "scatter", "scatter_object_list", "send", "send_object_list",
    "set_debug_level", "set_debug_level_from_env", "supports_complex",
]
