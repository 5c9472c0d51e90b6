"""What the operations of a group ask of their arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from clgrad.autograd.graph import TensorBase
from clgrad.distributed.group import ProcessGroup, default_group, get_group_rank
from clgrad.distributed.host_bytes import nothing


def check_tensor(name: str, argument: str, value: Any) -> None:
    """TypeError where an argument is no tensor."""
    if not isinstance(value, TensorBase):
        raise TypeError(f"{name}: Invalid function argument. Expected parameter `{argument}` of type torch.Tensor\n"
                        f"             but got {type(value)} instead.")


def check_list(name: str, argument: str, value: Any) -> None:
    """TypeError where an argument is no list of tensors."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(entry, TensorBase) for entry in value):
        raise TypeError(f"{name}: Invalid function argument. Expected parameter `{argument}` of type List[torch.Tensor]\n"
                        f"             but got {type(value)} instead.")


def check_count(name: str, argument: str, given: Sequence, expected: int) -> None:
    """RuntimeError where a list has not one tensor for each member."""
    if len(given) != expected:
        raise RuntimeError(f"{name}: {argument} should be a list of one tensor for each member of the group, expected "
                           f"{expected}, but got {len(given)}")


def check_alike(name: str, tensors: Sequence[Any], like: Any, shapes: bool = True) -> None:
    """ValueError where tensors have another dtype than one, RuntimeError where they have another shape."""
    for number, tensor in enumerate(tensors):
        if tensor.dtype is not like.dtype:
            raise ValueError(f"{name}: Invalid usage of tensors with different dtypes. Found {like.dtype} and {tensor.dtype}")
        if shapes and tensor.shape != like.shape:
            raise RuntimeError(f"{name}: invalid tensor size at index {number} (expected {tuple(like.shape)}, got "
                               f"{tuple(tensor.shape)})")


def member_number(group: ProcessGroup, name: str, argument: str, rank: int | None, group_rank: int | None,
                  default: int | None = None) -> int:
    """A member's number in a group, from that in the default group or from its own.

    Raises:
        ValueError: both are given, or none, or there is no such member.
    """
    if rank is not None and group_rank is not None:
        raise ValueError(f"{name}: Can't specify both group_{argument} and {argument}")
    if rank is None and group_rank is None:
        if default is None:
            raise ValueError(f"{name}: Must specify {argument} or group_{argument}")
        group_rank = default
    if group_rank is None:
        assert rank is not None
        if group is default_group():
            group_rank = rank
        else:
            return get_group_rank(group, rank)
    if not 0 <= group_rank < group.size():
        raise ValueError(f"{name}: invalid {argument} {group_rank}: the group has {group.size()} members")
    return group_rank


def vector(tensor: Any, fresh: bool = False) -> tuple[Any, Callable[[], Any]]:
    """A tensor's elements as a contiguous vector, and what writes them back where that is a copy.

    ``fresh``: the elements do not matter, they are going to be overwritten.
    """
    plain = tensor.detach()
    if plain.is_contiguous():
        return plain.view(-1), nothing
    copy = plain.new_empty(plain.shape) if fresh else plain.contiguous()
    return copy.view(-1), lambda: plain.copy_(copy)


def vectors(tensors: Sequence[Any], fresh: bool = False) -> tuple[list[Any], Callable[[], Any]]:
    """:func:`vector` of several."""
    made = [vector(tensor, fresh) for tensor in tensors]

    def finish() -> None:
        for _, back in made:
            back()
    return [flat for flat, _ in made], finish


def text_of(name: str, tensor: Any, detail: str = "") -> str:
    """What an operation is called with, which all members have to agree about."""
    return f"{name}{detail} of {tensor.spec.numel} {tensor.dtype.name}"
