"""Messages from one member of a group to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clgrad.autograd.grad_mode import no_grad
from clgrad.autograd.listening import unseen
from clgrad.distributed.arguments import check_tensor, member_number, vector
from clgrad.distributed.group import default_group, member_of
from clgrad.distributed.work import Work

__all__ = ["P2POp", "batch_isend_irecv", "irecv", "isend", "recv", "send"]


@no_grad()
@unseen
def _send(name: str, tensor: Any, dst: int | None, group: Any, tag: int, group_dst: int | None,
          async_op: bool) -> Work | None:
    check_tensor(name, "tensor", tensor)
    found = member_of(group, name)
    if found is None:
        return None
    peer = member_number(found, name, "dst", dst, group_dst)
    if peer == found.rank():
        raise ValueError("Invalid destination rank: destination rank should not be the same as the rank of the current "
                         "process")
    return found.messages.send(vector(tensor)[0], peer, tag, async_op)


@no_grad()
@unseen
def _receive(name: str, tensor: Any, src: int | None, group: Any, tag: int, group_src: int | None) -> Work | None:
    check_tensor(name, "tensor", tensor)
    found = member_of(group, name)
    if found is None:
        return None
    peer = None if src is None and group_src is None else member_number(found, name, "src", src, group_src)
    if peer == found.rank():
        raise ValueError("Invalid source rank: source rank should not be the same as the rank of the current process")
    flat, back = vector(tensor, fresh=True)
    return found.messages.receive(flat, peer, tag, back)


def send(tensor: Any, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None) -> None:
    """Sends a tensor to member ``dst``; returns when it may be changed again, not when it has come.

    Raises:
        ValueError: ``dst`` is this process, or none of the group.
    """
    _send("send", tensor, dst, group, tag, group_dst, False)


def isend(tensor: Any, dst: int | None = None, group: Any = None, tag: int = 0, group_dst: int | None = None) -> Work | None:
    """:func:`send` that goes on while the program does: the tensor may be changed after ``wait()``."""
    return _send("isend", tensor, dst, group, tag, group_dst, True)


def recv(tensor: Any, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None) -> int:
    """Replaces a tensor by one that member ``src`` (default: anybody) sends with the same tag.

    Returns:
        Who sent it; -1 where this process is not in the group.

    Raises:
        DistBackendError: the sender has ended, nothing comes in time, or something else than what is expected.
    """
    work = _receive("recv", tensor, src, group, tag, group_src)
    if work is None:
        return -1
    work.wait()
    return work.source


def irecv(tensor: Any, src: int | None = None, group: Any = None, tag: int = 0, group_src: int | None = None) -> Work | None:
    """:func:`recv` that goes on while the program does: the tensor is there after ``wait()``."""
    return _receive("irecv", tensor, src, group, tag, group_src)


class P2POp:
    """An ``isend`` or ``irecv`` for :func:`batch_isend_irecv`.

    Args:
        op: :func:`isend` or :func:`irecv`.
        tensor: what is sent, or received into.
        peer: to whom, or from whom.
        group, tag, group_peer: as there.

    Raises:
        ValueError: another operation.
    """

    def __init__(self, op: Callable, tensor: Any, peer: int | None = None, group: Any = None, tag: int = 0,
                 group_peer: int | None = None):
        if op not in (isend, irecv):
            raise ValueError("Invalid ``op``. Expected ``op`` to be of type ``torch.distributed.isend`` or "
                             "``torch.distributed.irecv``.")
        check_tensor("P2POp", "tensor", tensor)
        self.op, self.tensor, self.tag = op, tensor, tag
        self.group = default_group() if group is None else group
        self.group_peer = member_number(self.group, "P2POp", "peer", peer, group_peer)
        self.peer = self.group.ranks[self.group_peer]

    def __repr__(self) -> str:
        return f"P2POp({self.op.__name__} pg={self.group.group_name}, peer={self.peer}, shape={tuple(self.tensor.shape)})"


def batch_isend_irecv(p2p_op_list: list[P2POp]) -> list[Work]:
    """Begins all of them; a :class:`Work` for each.

    Raises:
        ValueError: the list is empty, or has something else in it.
    """
    if not isinstance(p2p_op_list, list) or not p2p_op_list or not all(isinstance(op, P2POp) for op in p2p_op_list):
        raise ValueError("Invalid ``p2p_op_list``. Each op is expected to to be of type ``torch.distributed.P2POp``.")
    receiving = {id(op): irecv(op.tensor, None, op.group, op.tag, op.group_peer) for op in p2p_op_list if op.op is irecv}
    works = [receiving[id(op)] if op.op is irecv else isend(op.tensor, None, op.group, op.tag, op.group_peer)
             for op in p2p_op_list]
    return [work for work in works if work is not None]
