"""``torch.distributed.nn``: collective operations that gradients pass; in a group of one each gives a copy.

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

from clgrad.distributed import collectives
from clgrad.distributed.group import ReduceOp, default_group

__all__ = ["all_gather", "all_reduce", "all_to_all", "all_to_all_single", "broadcast", "gather", "reduce",
           "reduce_scatter", "scatter"]


def all_reduce(tensor: Any, op: Any = ReduceOp.SUM, group: Any = None) -> Any:
    """The sum over all processes."""
    default_group()
    return tensor.clone()


def reduce(tensor: Any, dst: int, op: Any = ReduceOp.SUM, group: Any = None) -> Any:
    """The sum over all processes, for process ``dst``."""
    return all_reduce(tensor)


def broadcast(tensor: Any, src: int, group: Any = None) -> Any:
    """What process ``src`` has."""
    return all_reduce(tensor)


def all_gather(tensor: Any, group: Any = None) -> tuple:
    """The tensors of all processes."""
    return (all_reduce(tensor),)


def gather(tensor: Any, dst: int = 0, group: Any = None) -> tuple:
    """The tensors of all processes, for process ``dst``."""
    return (all_reduce(tensor),)


def scatter(tensors: Sequence, src: int = 0, group: Any = None) -> Any:
    """This process's part of the list that ``src`` has."""
    return all_reduce(collectives.only("scatter", tensors))


def reduce_scatter(output: Any, input_list: Sequence, op: Any = ReduceOp.SUM, group: Any = None) -> Any:
    """This process's part of the sum over all processes, which ``output`` gets as well."""
    collectives.reduce_scatter(output, list(input_list))
    return input_list[0].clone()


def all_to_all(output_tensor_list: list, input_tensor_list: list, group: Any = None) -> tuple:
    """What each process has for this one, which the tensors of ``output_tensor_list`` get as well."""
    collectives.all_to_all(output_tensor_list, input_tensor_list)
    return (input_tensor_list[0].clone(),)


def all_to_all_single(output: Any, input: Any, output_split_sizes: Any = None, input_split_sizes: Any = None,
                      group: Any = None) -> Any:
    """What the processes have for this one, in one tensor, which ``output`` gets as well."""
    collectives.all_to_all_single(output, input)
    return input.clone()
