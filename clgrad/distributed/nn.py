"""``torch.distributed.nn``: collective operations that gradients pass. Each gives new tensors.

All members have to make the backward pass, since it communicates, too: the gradient of a broadcast is a sum to its source,
that of a gather a scatter, that of a sum a sum of gradients.

>>> import clgrad
>>> import clgrad.distributed as dist
>>> dist.init_process_group("gloo", rank=0, world_size=1)
>>> x = clgrad.ones(2, requires_grad=True)
>>> (3 * dist.nn.all_reduce(x)).sum().backward()
>>> x.grad
tensor([3., 3.])
>>> dist.destroy_process_group()
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.autograd import Function
from clgrad.distributed import collectives
from clgrad.distributed.arguments import member_number
from clgrad.distributed.group import default_group, get_rank, get_world_size
from clgrad.distributed.reduce_op import ReduceOp

__all__ = ["all_gather", "all_reduce", "all_to_all", "all_to_all_single", "broadcast", "gather", "reduce",
           "reduce_scatter", "scatter"]


def _root(group: Any, rank: int) -> int:
    """A member's number in the group."""
    return member_number(group or default_group(), "distributed.nn", "rank", rank, None)


def _empties(like: Any, group: Any) -> list[Any]:
    return [like.new_empty(like.shape) for _ in range(get_world_size(group))]


class _AllReduce(Function):
    @staticmethod
    def forward(ctx: Any, op: Any, group: Any, tensor: Any) -> Any:
        ctx.op, ctx.group = op, group
        made = tensor.clone()
        collectives.all_reduce(made, op, group)
        return made

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:  # type: ignore[override]
        return None, None, _AllReduce.apply(ctx.op, ctx.group, grad)


class _Reduce(Function):
    @staticmethod
    def forward(ctx: Any, root: int, op: Any, group: Any, tensor: Any) -> Any:
        ctx.root, ctx.group = root, group
        made = tensor.clone()
        collectives.reduce(made, None, op, group, group_dst=root)
        return made

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:  # type: ignore[override]
        return None, None, None, _Broadcast.apply(ctx.root, ctx.group, grad)


class _Broadcast(Function):
    @staticmethod
    def forward(ctx: Any, root: int, group: Any, tensor: Any) -> Any:
        ctx.root, ctx.group, ctx.own = root, group, get_rank(group) == root
        made = tensor.clone()
        collectives.broadcast(made, None, group, group_src=root)
        return made

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:  # type: ignore[override]
        total = _Reduce.apply(ctx.root, ReduceOp.SUM, ctx.group, grad)
        return None, None, total if ctx.own else grad.new_zeros(grad.shape)


class _AllGather(Function):
    @staticmethod
    def forward(ctx: Any, group: Any, tensor: Any) -> Any:
        ctx.group = group
        made = _empties(tensor, group)
        collectives.all_gather(made, tensor, group)
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, _ReduceScatter.apply(ReduceOp.SUM, ctx.group, *grads)


class _ReduceScatter(Function):
    @staticmethod
    def forward(ctx: Any, op: Any, group: Any, *tensors: Any) -> Any:
        ctx.group = group
        own = tensors[get_rank(group)]
        made = own.new_empty(own.shape)
        collectives.reduce_scatter(made, list(tensors), op, group)
        return made

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:  # type: ignore[override]
        return None, None, *_AllGather.apply(ctx.group, grad)


class _Gather(Function):
    @staticmethod
    def forward(ctx: Any, root: int, group: Any, tensor: Any) -> Any:
        ctx.root, ctx.group = root, group
        own = get_rank(group) == root
        made = [tensor.new_zeros(tensor.shape) for _ in range(get_world_size(group))]
        collectives.gather(tensor, made if own else None, None, group, group_dst=root)
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, None, _Scatter.apply(ctx.root, ctx.group, *grads)


class _Scatter(Function):
    @staticmethod
    def forward(ctx: Any, root: int, group: Any, *tensors: Any) -> Any:
        ctx.root, ctx.group = root, group
        own = get_rank(group) == root
        made = tensors[get_rank(group)].clone()
        collectives.scatter(made, list(tensors) if own else None, None, group, group_src=root)
        return made

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:  # type: ignore[override]
        return None, None, *_Gather.apply(ctx.root, ctx.group, grad)


class _AllToAll(Function):
    @staticmethod
    def forward(ctx: Any, group: Any, shapes: Sequence, *tensors: Any) -> Any:
        ctx.group, ctx.shapes = group, [tensor.shape for tensor in tensors]
        made = [tensors[0].new_empty(shape) for shape in shapes]
        collectives.all_to_all(made, list(tensors), group)
        return tuple(made)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, None, *_AllToAll.apply(ctx.group, ctx.shapes, *grads)


class _AllToAllSingle(Function):
    @staticmethod
    def forward(ctx: Any, group: Any, shape: Any, received: Any, sent: Any, tensor: Any) -> Any:
        ctx.group, ctx.shape, ctx.received, ctx.sent = group, tensor.shape, received, sent
        made = tensor.new_empty(shape)
        collectives.all_to_all_single(made, tensor, received, sent, group)
        return made

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:  # type: ignore[override]
        return None, None, None, None, _AllToAllSingle.apply(ctx.group, ctx.shape, ctx.sent, ctx.received, grad)


def all_reduce(tensor: Any, op: Any = ReduceOp.SUM, group: Any = None) -> Any:
    """What all members' tensors are together."""
    return _AllReduce.apply(op, group, tensor)


def reduce(tensor: Any, dst: int, op: Any = ReduceOp.SUM, group: Any = None) -> Any:
    """What all members' tensors are together, for member ``dst``; the others get theirs."""
    return _Reduce.apply(_root(group, dst), op, group, tensor)


def broadcast(tensor: Any, src: int, group: Any = None) -> Any:
    """The tensor of member ``src``."""
    return _Broadcast.apply(_root(group, src), group, tensor)


def all_gather(tensor: Any, group: Any = None) -> tuple:
    """The tensors of all members."""
    return _AllGather.apply(group, tensor)


def gather(tensor: Any, dst: int = 0, group: Any = None) -> tuple:
    """The tensors of all members, for member ``dst``; the others get zeros."""
    return _Gather.apply(_root(group, dst), group, tensor)


def scatter(tensors: Sequence, src: int = 0, group: Any = None) -> Any:
    """The tensor for this member in the list of member ``src``; the others' lists have tensors of the same shapes.

    Raises:
        RuntimeError: the list has not one tensor for each member.
    """
    collectives.check_count("scatter", "tensors", tensors, get_world_size(group))
    return _Scatter.apply(_root(group, src), group, *tensors)


def reduce_scatter(output: Any, input_list: Sequence, op: Any = ReduceOp.SUM, group: Any = None) -> Any:
    """What all members' tensors for this member are together; ``output`` gives no more than the shape."""
    return _ReduceScatter.apply(op, group, *input_list)


def all_to_all(output_tensor_list: Sequence, input_tensor_list: Sequence, group: Any = None) -> tuple:
    """What each member has for this one; the tensors of ``output_tensor_list`` give no more than the shapes."""
    return _AllToAll.apply(group, [tensor.shape for tensor in output_tensor_list], *input_tensor_list)


def all_to_all_single(output: Any, input: Any, output_split_sizes: Sequence[int] | None = None,
                      input_split_sizes: Sequence[int] | None = None, group: Any = None) -> Any:
    """What the members have for this one, in one tensor; ``output`` gives no more than the shape."""
    return _AllToAllSingle.apply(group, output.shape, output_split_sizes, input_split_sizes, input)
