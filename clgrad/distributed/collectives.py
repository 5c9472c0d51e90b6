"""The collective operations: every member of a group calls them, in the same order.

Common to all: ``group`` is the group (default: all processes); with ``async_op`` the operation goes on while the program
does, and a :class:`Work` is returned whose ``wait()`` has to be called before its tensors are used, else None when it is
over. Tensors may be on any device, and need not be contiguous. A process that is not in the group gets a warning and does
nothing.

Raises, besides what each says: DistBackendError where a member has ended, does not answer within the group's timeout, or
calls something else, another operation or other sizes. After that the group cannot be used any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from clgrad.autograd.grad_mode import no_grad
from clgrad.autograd.listening import unseen
from clgrad.distributed import operations
from clgrad.distributed.arguments import (
    check_alike,
    check_count,
    check_list,
    check_tensor,
    member_number,
    text_of,
    vector,
    vectors,
)
from clgrad.distributed.group import member_of
from clgrad.distributed.reduce_op import ReduceOp, checked, combine
from clgrad.distributed.work import Work

__all__ = ["all_gather", "all_gather_coalesced", "all_gather_into_tensor", "all_gather_single", "all_reduce",
           "all_reduce_coalesced", "all_to_all", "all_to_all_single", "barrier", "broadcast", "gather", "monitored_barrier",
           "reduce", "reduce_scatter", "reduce_scatter_single", "reduce_scatter_tensor", "scatter"]


@no_grad()
@unseen
def all_reduce(tensor: Any, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False) -> Work | None:
    """Replaces the tensor by what all members' tensors are together: their sum, or what else ``op`` says.

    All members get the same bits, and the same in every run: numbers are added in the order of the ranks.

    Raises:
        RuntimeError: the dtype does not know ``op``.
    """
    check_tensor("all_reduce", "tensor", tensor)
    how = checked("all_reduce", op, tensor.dtype)
    found = member_of(group, "all_reduce")
    if found is None:
        return None

    def together(links: Any, call: Any) -> None:
        flat, back = vector(tensor)
        operations.all_reduce(links, call, flat, how)
        back()
    return found.collective(text_of("all_reduce", tensor, f"({how.name})"), [tensor], together, _nothing, async_op)


def _nothing() -> None:
    """A group of one has the result."""


@no_grad()
@unseen
def all_reduce_coalesced(tensors: Sequence[Any], op: Any = ReduceOp.SUM, group: Any = None,
                         async_op: bool = False) -> Work | None:
    """:func:`all_reduce` of several tensors of one dtype at once."""
    check_list("all_reduce_coalesced", "tensors", tensors)
    check_alike("all_reduce_coalesced", tensors, tensors[0], shapes=False)
    how = checked("all_reduce_coalesced", op, tensors[0].dtype)
    found = member_of(group, "all_reduce_coalesced")
    if found is None:
        return None

    def together(links: Any, call: Any) -> None:
        flat = tensors[0].new_empty([sum(tensor.numel() for tensor in tensors)])
        parts = flat.split([tensor.numel() for tensor in tensors])
        for part, tensor in zip(parts, tensors, strict=True):
            part.copy_(tensor.detach().reshape(-1))
        operations.all_reduce(links, call, flat, how)
        for part, tensor in zip(parts, tensors, strict=True):
            tensor.detach().copy_(part.view(tensor.shape))
    sizes = f"({how.name}, {len(tensors)} tensors)"
    return found.collective(text_of("all_reduce_coalesced", tensors[0], sizes), list(tensors), together, _nothing, async_op)


@no_grad()
@unseen
def reduce(tensor: Any, dst: int | None = None, op: Any = ReduceOp.SUM, group: Any = None, async_op: bool = False,
           group_dst: int | None = None) -> Work | None:
    """Replaces the tensor of member ``dst`` by what all members' tensors are together; the others' stay as they are."""
    check_tensor("reduce", "tensor", tensor)
    how = checked("reduce", op, tensor.dtype)
    found = member_of(group, "reduce")
    if found is None:
        return None
    root = member_number(found, "reduce", "dst", dst, group_dst)

    def together(links: Any, call: Any) -> None:
        flat, back = vector(tensor)
        if links.rank == root:
            operations.reduce(links, call, flat, how, root)
            back()
        else:
            operations.reduce(links, call, flat.clone(), how, root)
    return found.collective(text_of("reduce", tensor, f"({how.name}) to {root}"), [tensor], together, _nothing, async_op)


@no_grad()
@unseen
def broadcast(tensor: Any, src: int | None = None, group: Any = None, async_op: bool = False,
              group_src: int | None = None) -> Work | None:
    """Replaces the tensor by that of member ``src``."""
    check_tensor("broadcast", "tensor", tensor)
    found = member_of(group, "broadcast")
    if found is None:
        return None
    root = member_number(found, "broadcast", "src", src, group_src)

    def together(links: Any, call: Any) -> None:
        flat, back = vector(tensor, fresh=links.rank != root)
        operations.broadcast(links, call, flat, root)
        if links.rank != root:
            back()
    return found.collective(text_of("broadcast", tensor, f" from {root}"), [tensor], together, _nothing, async_op)


@no_grad()
@unseen
def all_gather(tensor_list: list, tensor: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Fills the list's tensors with those of all members.

    Raises:
        RuntimeError: the list has not one tensor for each member, or one of another shape.
        ValueError: one of another dtype.
    """
    check_list("all_gather", "tensor_list", tensor_list)
    check_tensor("all_gather", "tensor", tensor)
    found = member_of(group, "all_gather")
    if found is None:
        return None
    check_count("all_gather", "tensor_list", tensor_list, found.size())
    check_alike("all_gather", tensor_list, tensor)

    def together(links: Any, call: Any) -> None:
        outs, back = vectors(tensor_list, fresh=True)
        operations.all_gather(links, call, outs, vector(tensor)[0])
        back()
    return found.collective(text_of("all_gather", tensor), [tensor_list], together,
                            lambda: tensor_list[0].detach().copy_(tensor), async_op)


def all_gather_coalesced(output_tensor_lists: list[list], input_tensor_list: list, group: Any = None,
                         async_op: bool = False) -> Work | None:
    """:func:`all_gather` of several tensors: ``output_tensor_lists`` has a list of them for each member."""
    check_list("all_gather_coalesced", "input_tensor_list", input_tensor_list)
    work = None
    for number, tensor in enumerate(input_tensor_list):
        work = all_gather([outputs[number] for outputs in output_tensor_lists], tensor, group, async_op)
    return work


@no_grad()
@unseen
def all_gather_into_tensor(output_tensor: Any, input_tensor: Any, group: Any = None, async_op: bool = False) -> Work | None:
    """Fills ``output_tensor`` with the tensors of all members behind each other, or above each other.

    Args:
        output_tensor: of the shape (members * n, ...) or (members, n, ...), where ``input_tensor`` has (n, ...).
    """
    check_tensor("all_gather_into_tensor", "output_tensor", output_tensor)
    check_tensor("all_gather_into_tensor", "input_tensor", input_tensor)
    found = member_of(group, "all_gather_into_tensor")
    if found is None:
        return None
    check_alike("all_gather_into_tensor", [output_tensor], input_tensor, shapes=False)
    if output_tensor.numel() != input_tensor.numel() * found.size():
        raise ValueError("all_gather_into_tensor: output tensor size must be equal to world_size times input tensor size, "
                         f"expected {input_tensor.numel() * found.size()} elements, but got {output_tensor.numel()}")

    def together(links: Any, call: Any) -> None:
        flat, back = vector(output_tensor, fresh=True)
        operations.all_gather(links, call, flat.view(links.size, -1), vector(input_tensor)[0])
        back()
    return found.collective(text_of("all_gather_into_tensor", input_tensor), [output_tensor], together,
                            lambda: output_tensor.detach().copy_(input_tensor.detach().reshape(output_tensor.shape)),
                            async_op)


all_gather_single = _all_gather_base = all_gather_into_tensor


@no_grad()
@unseen
def gather(tensor: Any, gather_list: list | None = None, dst: int | None = None, group: Any = None, async_op: bool = False,
           group_dst: int | None = None) -> Work | None:
    """Fills the list of member ``dst`` (default: 0) with the tensors of all members; the others give no list.

    Raises:
        ValueError: the list is missing there, or given elsewhere.
    """
    check_tensor("gather", "tensor", tensor)
    found = member_of(group, "gather")
    if found is None:
        return None
    root = member_number(found, "gather", "dst", dst, group_dst, 0)
    outs = _list_of_one_member("gather", "gather_list", gather_list, found, root, tensor)

    def together(links: Any, call: Any) -> None:
        flats, back = vectors(outs, fresh=True)
        operations.gather(links, call, flats, vector(tensor)[0], root)
        back()
    return found.collective(text_of("gather", tensor, f" to {root}"), [outs], together,
                            lambda: outs[0].detach().copy_(tensor), async_op)


def _list_of_one_member(name: str, argument: str, given: list | None, group: Any, root: int, like: Any) -> list:
    if group.rank() != root:
        if given:
            raise ValueError(f"{name}: Argument `{argument}` must NOT be specified on ranks other than {root}.")
        return []
    if not given:
        raise ValueError(f"{name}: Argument `{argument}` must be specified on rank {root}.")
    check_list(name, argument, given)
    check_count(name, argument, given, group.size())
    check_alike(name, given, like)
    return given


@no_grad()
@unseen
def scatter(tensor: Any, scatter_list: list | None = None, src: int | None = None, group: Any = None, async_op: bool = False,
            group_src: int | None = None) -> Work | None:
    """Replaces the tensor by that for this member in the list of member ``src`` (default: 0); the others give no list.

    Raises:
        ValueError: the list is missing there, or given elsewhere.
    """
    check_tensor("scatter", "tensor", tensor)
    found = member_of(group, "scatter")
    if found is None:
        return None
    root = member_number(found, "scatter", "src", src, group_src, 0)
    pieces = _list_of_one_member("scatter", "scatter_list", scatter_list, found, root, tensor)

    def together(links: Any, call: Any) -> None:
        flat, back = vector(tensor, fresh=True)
        operations.scatter(links, call, flat, vectors(pieces)[0], root)
        back()
    return found.collective(text_of("scatter", tensor, f" from {root}"), [tensor], together,
                            lambda: tensor.detach().copy_(pieces[0]), async_op)


@no_grad()
@unseen
def reduce_scatter(output: Any, input_list: list, op: Any = ReduceOp.SUM, group: Any = None,
                   async_op: bool = False) -> Work | None:
    """Replaces ``output`` by what all members' tensors for this member are together; the list has one for each member."""
    check_tensor("reduce_scatter", "output", output)
    check_list("reduce_scatter", "input_list", input_list)
    how = checked("reduce_scatter", op, output.dtype)
    found = member_of(group, "reduce_scatter")
    if found is None:
        return None
    check_count("reduce_scatter", "input_list", input_list, found.size())
    check_alike("reduce_scatter", [input_list[found.rank()]], output)
    check_alike("reduce_scatter", input_list, output, shapes=False)

    def together(links: Any, call: Any) -> None:
        flat, back = vector(output, fresh=True)
        operations.reduce_share(links, call, vectors(input_list)[0], how, flat)
        back()

    def alone() -> None:
        combine([output.detach().copy_(input_list[0])], how, output.detach())
    whole = sum(tensor.numel() for tensor in input_list)
    return found.collective(f"reduce_scatter({how.name}) of {whole} {output.dtype.name}", [output], together, alone, async_op)


@no_grad()
@unseen
def reduce_scatter_tensor(output: Any, input: Any, op: Any = ReduceOp.SUM, group: Any = None,
                          async_op: bool = False) -> Work | None:
    """:func:`reduce_scatter` of one tensor whose first dimension is cut into equal parts for the members."""
    check_tensor("reduce_scatter_tensor", "output", output)
    check_tensor("reduce_scatter_tensor", "input", input)
    found = member_of(group, "reduce_scatter_tensor")
    if found is None:
        return None
    if input.numel() != output.numel() * found.size():
        raise ValueError("reduce_scatter_tensor: input tensor must be the same size as output size times world size, "
                         f"expected {output.numel() * found.size()} elements, but got {input.numel()}")
    pieces = input.detach().contiguous().view(found.size(), *output.shape)
    return reduce_scatter(output, list(pieces.unbind(0)), op, group, async_op)


reduce_scatter_single = _reduce_scatter_base = reduce_scatter_tensor


@no_grad()
@unseen
def all_to_all(output_tensor_list: list, input_tensor_list: list, group: Any = None, async_op: bool = False) -> Work | None:
    """Sends a tensor of the one list to each member, and fills the other list with those that come; sizes may differ."""
    check_list("all_to_all", "output_tensor_list", output_tensor_list)
    check_list("all_to_all", "input_tensor_list", input_tensor_list)
    found = member_of(group, "all_to_all")
    if found is None:
        return None
    check_count("all_to_all", "output_tensor_list", output_tensor_list, found.size())
    check_count("all_to_all", "input_tensor_list", input_tensor_list, found.size())
    check_alike("all_to_all", [*output_tensor_list, *input_tensor_list], input_tensor_list[0], shapes=False)
    own = found.rank()
    check_alike("all_to_all", [output_tensor_list[own]], input_tensor_list[own])

    def together(links: Any, call: Any) -> None:
        outs, back = vectors(output_tensor_list, fresh=True)
        operations.all_to_all(links, call, outs, vectors(input_tensor_list)[0])
        back()
    return found.collective(f"all_to_all of {input_tensor_list[0].dtype.name}", [output_tensor_list], together,
                            lambda: output_tensor_list[0].detach().copy_(input_tensor_list[0]), async_op)


def _parts(name: str, tensor: Any, sizes: Sequence[int] | None, members: int) -> list[Any]:
    """A tensor cut along its first dimension."""
    length = tensor.shape[0] if tensor.ndim else 1
    if not sizes:
        if length % members:
            raise RuntimeError(f"all_to_all_single: Tensor's dim 0 does not divide equally across group size: {name} has "
                               f"{length} rows for {members} members")
        sizes = [length // members] * members
    if len(sizes) != members:
        raise RuntimeError(f"all_to_all_single: Number of tensor splits not equal to group size: {name}_split_sizes has "
                           f"{len(sizes)} entries for {members} members")
    if sum(sizes) != length:
        raise RuntimeError(f"all_to_all_single: Split sizes doesn't match total dim 0 size: {name} has {length} rows, the "
                           f"sizes sum to {sum(sizes)}")
    return list(tensor.split(list(sizes)))


@no_grad()
@unseen
def all_to_all_single(output: Any, input: Any, output_split_sizes: Sequence[int] | None = None,
                      input_split_sizes: Sequence[int] | None = None, group: Any = None,
                      async_op: bool = False) -> Work | None:
    """Sends rows of ``input`` to each member, and fills the rows of ``output`` with those that come.

    Args:
        output_split_sizes, input_split_sizes: how many rows come from, and go to, each member. Default: equally many.

    Raises:
        RuntimeError: the rows cannot be cut like that.
    """
    check_tensor("all_to_all_single", "output", output)
    check_tensor("all_to_all_single", "input", input)
    found = member_of(group, "all_to_all_single")
    if found is None:
        return None
    outs = _parts("output", output.detach(), output_split_sizes, found.size())
    return all_to_all(outs, _parts("input", input.detach(), input_split_sizes, found.size()), group, async_op)


def barrier(group: Any = None, async_op: bool = False, device_ids: Any = None,
            timeout: timedelta | None = None) -> Work | None:
    """Returns when all members have called it."""
    found = member_of(group, "barrier")
    return None if found is None else found.collective("barrier", [], operations.barrier, _nothing, async_op)


def monitored_barrier(group: Any = None, timeout: timedelta | None = None, wait_all_ranks: bool = False) -> None:
    """Returns when all members have called it.

    Args:
        timeout: how long to wait. Default: that of the group.
        wait_all_ranks: whether the first member waits for all of them before it says which did not come.

    Raises:
        DistBackendError: members did not come in time; it names them.
    """
    found = member_of(group, "monitored_barrier")
    if found is not None and found.size() > 1:
        found.monitored_barrier(timeout or found.timeout, wait_all_ranks)
