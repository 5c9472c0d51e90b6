"""The collective operations of a group of one: each has its result at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from clgrad.autograd.grad_mode import no_grad
from clgrad.distributed.group import ReduceOp, Work, default_group

__all__ = ["all_gather", "all_gather_into_tensor", "all_gather_object", "all_reduce", "all_to_all", "all_to_all_single",
           "barrier", "broadcast", "broadcast_object_list", "gather", "gather_object", "irecv", "isend",
           "monitored_barrier", "recv", "reduce", "reduce_scatter", "reduce_scatter_tensor", "scatter",
           "scatter_object_list", "send"]


def _done(async_op: bool) -> Work | None:
    default_group()
    return Work() if async_op else None


def _copied(target: Any, source: Any, async_op: bool) -> Work | None:
    done = _done(async_op)
    with no_grad():
        target.copy_(source)
    return done


def only(name: str, items: Sequence) -> Any:
    """The only member's part of a list.

    Raises:
        ValueError: there are more or none.
    """
    if len(items) != 1:
        raise ValueError(f"{name}: expected a list of one tensor, one for each process, but got {len(items)}")
    return items[0]


def all_reduce(tensor: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Leaves the tensor as it is: it is the sum over one process."""
    return _done(async_op)


def broadcast(tensor: Any, src: int | None = None, group: Any = None, async_op: bool = False,
              group_src: int | None = None) -> Work | None:
    """Leaves the tensor as it is: it comes from this process."""
    return _done(async_op)


def reduce(tensor: Any, dst: int | None = None, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False,
           group_dst: int | None = None) -> Work | None:
    """Leaves the tensor as it is."""
    return _done(async_op)


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Waits for nobody."""
    return _done(async_op)


def monitored_barrier(group: Any = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """Waits for nobody."""
    _done(False)


def all_gather(tensor_list: list, tensor: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Copies the tensor into the list's only one."""
    return _copied(only("all_gather", tensor_list), tensor, async_op)


def all_gather_into_tensor(output_tensor: Any, input_tensor: Any, group: Any = None,
                           async_op: bool = False) -> Work | None:
    """Copies ``input_tensor`` to ``output_tensor``."""
    return _copied(output_tensor, input_tensor.view(output_tensor.shape), async_op)


def gather(tensor: Any, gather_list: list | None = None, dst: int | None = None, group: Any = None,
           async_op: bool = False, group_dst: int | None = None) -> Work | None:
    """Copies the tensor into the list's only one."""
    return _copied(only("gather", gather_list or []), tensor, async_op)


def scatter(tensor: Any, scatter_list: list | None = None, src: int | None = None, group: Any = None,
            async_op: bool = False, group_src: int | None = None) -> Work | None:
    """Copies the list's only tensor into ``tensor``."""
    return _copied(tensor, only("scatter", scatter_list or []), async_op)


def reduce_scatter(output: Any, input_list: list, op: Any = ReduceOp.SUM, group: Any = None,
                   async_op: bool = False) -> Work | None:
    """Copies the list's only tensor to ``output``."""
    return _copied(output, only("reduce_scatter", input_list), async_op)


def reduce_scatter_tensor(output: Any, input: Any, op: Any = ReduceOp.SUM, group: Any = None,
                          async_op: bool = False) -> Work | None:
    """Copies ``input`` to ``output``."""
    return _copied(output, input.view(output.shape), async_op)


def all_to_all(output_tensor_list: list, input_tensor_list: list, group: Any = None,
               async_op: bool = False) -> Work | None:
    """Copies the one list's only tensor to the other's."""
    return _copied(only("all_to_all", output_tensor_list), only("all_to_all", input_tensor_list), async_op)


def all_to_all_single(output: Any, input: Any, output_split_sizes: Any = None, input_split_sizes: Any = None,
                      group: Any = None, async_op: bool = False) -> Work | None:
    """Copies ``input`` to ``output``."""
    return _copied(output, input, async_op)


def all_gather_object(object_list: list, obj: Any, group: Any = None) -> None:
    """Puts the object into the list."""
    _done(False)
    only("all_gather_object", object_list)
    object_list[0] = obj


def gather_object(obj: Any, object_gather_list: list | None = None, dst: int | None = None, group: Any = None,
                  group_dst: int | None = None) -> None:
    """Puts the object into the list."""
    all_gather_object([] if object_gather_list is None else object_gather_list, obj, group)


def broadcast_object_list(object_list: list, src: int | None = None, group: Any = None, device: Any = None,
                          group_src: int | None = None, use_batch: bool = False) -> None:
    """Leaves the list as it is."""
    _done(False)


def scatter_object_list(scatter_object_output_list: list, scatter_object_input_list: list | None = None,
                        src: int | None = None, group: Any = None, group_src: int | None = None) -> None:
    """Puts the one list's only object into the other."""
    _done(False)
    scatter_object_output_list[0] = only("scatter_object_list", scatter_object_input_list or [])


def _no_peer(*args: Any, **kwargs: Any) -> NoReturn:
    """ValueError: in a group of one there is nobody to send to or to receive from."""
    default_group()
    raise ValueError("Invalid destination rank: destination rank should not be the same as the rank of the current process, "
                     "and a group of clgrad has one member")


send = recv = isend = irecv = _no_peer
