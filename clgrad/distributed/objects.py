"""Operations of a group on Python objects, which are pickled.

Who unpickles runs what the sender says: members trust each other.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from clgrad import dtypes
from clgrad.autograd.grad_mode import no_grad
from clgrad.creation import empty
from clgrad.distributed import collectives
from clgrad.distributed.arguments import check_count, member_number
from clgrad.distributed.group import member_of
from clgrad.distributed.point_to_point import recv, send
from clgrad.from_data import from_numpy, tensor

__all__ = ["all_gather_object", "broadcast_object_list", "gather_object", "recv_object_list", "scatter_object_list",
           "send_object_list"]


def _pickled(obj: Any) -> Any:
    return from_numpy(np.frombuffer(bytearray(pickle.dumps(obj)), np.uint8))


def _unpickled(data: Any, size: int) -> Any:
    return pickle.loads(data[:size].numpy().tobytes())


def _lengths(members: int) -> list[Any]:
    return [empty(1, dtype=dtypes.int64) for _ in range(members)]


@no_grad()
def all_gather_object(object_list: list, obj: Any, group: Any = None) -> None:
    """Fills the list with the objects of all members.

    Raises:
        RuntimeError: the list has not one place for each member.
    """
    found = member_of(group, "all_gather_object")
    if found is None:
        return
    check_count("all_gather_object", "object_list", object_list, found.size())
    data, sizes = _pickled(obj), _lengths(found.size())
    collectives.all_gather(sizes, tensor([data.numel()]), found)
    longest = max(int(size) for size in sizes)
    parts = [empty(longest, dtype=dtypes.uint8) for _ in sizes]
    collectives.all_gather(parts, _padded(data, longest), found)
    object_list[:] = [_unpickled(part, int(size)) for part, size in zip(parts, sizes, strict=True)]


def _padded(data: Any, length: int) -> Any:
    made = data.new_zeros(length)
    made[:data.numel()] = data
    return made


@no_grad()
def gather_object(obj: Any, object_gather_list: list | None = None, dst: int | None = None, group: Any = None,
                  group_dst: int | None = None) -> None:
    """Fills the list of member ``dst`` (default: 0) with the objects of all members.

    Raises:
        ValueError: the list is missing there, or given elsewhere.
    """
    found = member_of(group, "gather_object")
    if found is None:
        return
    root = member_number(found, "gather_object", "dst", dst, group_dst, 0)
    if (found.rank() == root) != bool(object_gather_list):
        raise ValueError(f"gather_object: Argument `object_gather_list` must be specified on rank {root}, and nowhere else")
    everything = [None] * found.size()
    if object_gather_list:
        check_count("gather_object", "object_gather_list", object_gather_list, found.size())
    all_gather_object(everything, obj, found)
    if object_gather_list:
        object_gather_list[:] = everything


@no_grad()
def broadcast_object_list(object_list: list, src: int | None = None, group: Any = None, device: Any = None,
                          group_src: int | None = None) -> None:
    """Fills the list with the objects of that of member ``src``, which is as long.

    ``device`` is accepted: pickles travel in host memory.
    """
    found = member_of(group, "broadcast_object_list")
    if found is None:
        return
    root = member_number(found, "broadcast_object_list", "src", src, group_src, 0)
    own = found.rank() == root
    data = _pickled(list(object_list)) if own else None
    size = tensor([0 if data is None else data.numel()])
    collectives.broadcast(size, group=found, group_src=root)
    if data is None:
        data = empty(int(size), dtype=dtypes.uint8)
    collectives.broadcast(data, group=found, group_src=root)
    if not own:
        object_list[:] = _of_length("broadcast_object_list", _unpickled(data, int(size)), len(object_list))


def _of_length(name: str, objects: list, expected: int) -> list:
    if len(objects) != expected:
        raise RuntimeError(f"{name}: the sender's list has {len(objects)} objects, the one to fill {expected}")
    return objects


@no_grad()
def scatter_object_list(scatter_object_output_list: list, scatter_object_input_list: list | None = None,
                        src: int | None = None, group: Any = None, group_src: int | None = None) -> None:
    """Puts this member's object of the list of member ``src`` (default: 0) into the first place of the other list.

    Raises:
        ValueError: there is no such place, or the list has not one object for each member.
    """
    found = member_of(group, "scatter_object_list")
    if found is None:
        return
    if not isinstance(scatter_object_output_list, list) or not scatter_object_output_list:
        raise ValueError("Expected argument scatter_object_output_list to be a list of size at least 1.")
    root = member_number(found, "scatter_object_list", "src", src, group_src, 0)
    objects: list = [None] * found.size()
    if found.rank() == root:
        if scatter_object_input_list is None or len(scatter_object_input_list) != found.size():
            raise ValueError("Argument scatter_object_input_list must be a list of one object for each member, expected "
                             f"{found.size()}, but got {len(scatter_object_input_list or [])}")
        objects = list(scatter_object_input_list)
    broadcast_object_list(objects, group=found, group_src=root)
    scatter_object_output_list[0] = objects[found.rank()]


def send_object_list(object_list: list, dst: int | None = None, group: Any = None, device: Any = None,
                     group_dst: int | None = None, use_batch: bool = False) -> None:
    """Sends the objects of a list to member ``dst``."""
    data = _pickled(list(object_list))
    send(tensor([data.numel()]), dst, group, group_dst=group_dst)
    send(data, dst, group, group_dst=group_dst)


def recv_object_list(object_list: list, src: int | None = None, group: Any = None, device: Any = None,
                     group_src: int | None = None, use_batch: bool = False) -> int:
    """Fills a list with the objects that member ``src`` (default: anybody) sends; returns who that is."""
    size = tensor([0])
    source = recv(size, src, group, group_src=group_src)
    if source < 0:
        return source
    data = empty(int(size), dtype=dtypes.uint8)
    recv(data, source, group)
    object_list[:] = _of_length("recv_object_list", _unpickled(data, int(size)), len(object_list))
    return source
