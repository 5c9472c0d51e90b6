"""Tensors that travel together: how they are put into buckets, and ``GradBucket``, as hooks of communication see one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.autograd.grad_mode import no_grad
from clgrad.autograd.listening import unseen
from clgrad.distributed.collectives import broadcast
from clgrad.ops.registry import FUNCTIONS


def assign_buckets(tensors: Sequence[Any], first: int, others: int) -> list[list[int]]:
    """Numbers of tensors in buckets, the last tensors first: of one dtype and device, and, where more than one, of no more
    bytes than ``first`` in the first bucket and ``others`` in the next."""
    made: list[list[int]] = []
    filling: dict[tuple, tuple[list[int], int]] = {}
    for number in reversed(range(len(tensors))):
        tensor = tensors[number]
        key, size = (tensor.dtype, str(tensor.device)), tensor.numel() * tensor.element_size()
        bucket, held = filling.get(key, ([], 0))
        limit = first if made and bucket is made[0] else others
        if not bucket or held + size > limit:
            bucket, held = [], 0
            made.append(bucket)
        bucket.append(number)
        filling[key] = bucket, held + size
    return made


@unseen
@no_grad()
def broadcast_coalesced(process_group: Any, tensors: Sequence[Any], buffer_size: int, src: int = 0) -> None:
    """Replaces tensors by those of member ``src`` of a group; they travel in vectors of one dtype, of no more than
    ``buffer_size`` bytes where more than one."""
    plain = [tensor.detach() for tensor in tensors]
    for numbers in assign_buckets(plain, buffer_size, buffer_size):
        members = [plain[number] for number in numbers]
        flat = FUNCTIONS["cat"]([member.reshape(-1) for member in members])
        broadcast(flat, group=process_group, group_src=src)
        parts = flat.split([member.numel() for member in members])
        FUNCTIONS["_foreach_copy_"](members, [part.view(member.shape) for part, member in zip(parts, members, strict=True)])


class GradBucket:
    """Gradients behind each other in one vector.

    Args:
        index: the bucket's number; those of the last parameters come first.
        buffer: the vector.
        parameters: to whom the gradients belong.
        last: whether no bucket follows.
    """

    def __init__(self, index: int, buffer: Any, parameters: Sequence[Any], last: bool):
        self._index, self._buffer, self._parameters, self._last = index, buffer, list(parameters), last

    def index(self) -> int:
        """The bucket's number."""
        return self._index

    def buffer(self) -> Any:
        """The vector of all gradients."""
        return self._buffer

    def set_buffer(self, buffer: Any) -> None:
        """Another vector of the same length."""
        self._buffer = buffer

    def parameters(self) -> list[Any]:
        """The parameters."""
        return list(self._parameters)

    def gradients(self) -> list[Any]:
        """A view of the vector for each parameter, of its shape."""
        sizes = [parameter.numel() for parameter in self._parameters]
        return [part.view(parameter.shape) for part, parameter in
                zip(self._buffer.split(sizes), self._parameters, strict=True)]

    def is_last(self) -> bool:
        """Whether no bucket follows."""
        return self._last
