"""The collective operations of a group, as its members do them together.

What is reduced is cut into as many shares as there are members. Each member gets its share from all others, adds the parts in
the order of the ranks with the operators of the tensor's device, and hands the result to all others. So a number is computed
in one place, in an order that depends on nothing, and all members have the same bits. Each member sends and receives twice
the tensor, as in a ring, in two steps (Thakur, Rabenseifner, Gropp: Optimization of Collective Communication Operations in
MPICH, 2005). Small tensors are one share, that of the first member.

Functions get the group's connections, the call, and tensors that are contiguous vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.distributed.connections import Call, Connections
from clgrad.distributed.host_bytes import incoming, outgoing, received_like
from clgrad.distributed.reduce_op import ReduceOp, combine

SMALL = 1 << 15  # bytes up to which one member reduces all
SEGMENT = 1 << 22  # bytes that are reduced while the next ones come
_ALIGNED = 64  # elements, of which a share has a multiple

_Pairs = list[tuple[int, Any]]


def swap(links: Connections, call: Call, sends: _Pairs, receives: _Pairs) -> None:
    """Sends tensors to members, and receives into tensors from members."""
    places = [(peer, *incoming(tensor)) for peer, tensor in receives]
    links.exchange(call, [(peer, outgoing(tensor)) for peer, tensor in sends], [(peer, view) for peer, view, _ in places])
    for _, _, finish in places:
        finish()


def others(links: Connections) -> list[int]:
    """The other members."""
    return [peer for peer in range(links.size) if peer != links.rank]


def shares(flat: Any, size: int) -> list[Any]:
    """The parts of a vector that the members reduce."""
    count = flat.spec.numel
    if count * flat.dtype.itemsize <= SMALL:
        return [flat, *(flat[count:] for _ in range(1, size))]
    each = -(-count // (size * _ALIGNED)) * _ALIGNED
    return [flat[min(k * each, count):min((k + 1) * each, count)] for k in range(size)]


def reduce_share(links: Connections, call: Call, pieces: Sequence[Any], op: ReduceOp, out: Any) -> None:
    """Reduces this member's piece of all members' into ``out``; ``pieces`` has one for each member."""
    size, own = out.dtype.itemsize, pieces[links.rank]
    views = {peer: outgoing(pieces[peer]) for peer in others(links)}
    step = SEGMENT // size
    for start in range(0, max(piece.spec.numel for piece in pieces), step):
        part, target = own[start:start + step], out[start:start + step]
        received = {peer: received_like(part) for peer in views} if part.spec.numel else {}
        links.exchange(call, [(peer, rest) for peer, view in views.items()
                              if (rest := view[start * size:(start + step) * size])],
                       [(peer, view) for peer, (_, view) in received.items()])
        if received:
            combine([received[k][0] if k in received else part for k in range(links.size)], op, target)


def all_reduce(links: Connections, call: Call, flat: Any, op: ReduceOp) -> None:
    """Every member gets what all vectors are together."""
    pieces = shares(flat, links.size)
    reduce_share(links, call, pieces, op, pieces[links.rank])
    own = pieces[links.rank]
    swap(links, call, [(peer, own) for peer in others(links) if own.spec.numel],
         [(peer, pieces[peer]) for peer in others(links) if pieces[peer].spec.numel])


def reduce(links: Connections, call: Call, flat: Any, op: ReduceOp, root: int) -> None:
    """One member gets what all vectors are together; those of the others are scratch."""
    pieces = shares(flat, links.size)
    own = pieces[links.rank]
    reduce_share(links, call, pieces, op, own)
    if links.rank == root:
        swap(links, call, [], [(peer, pieces[peer]) for peer in others(links) if pieces[peer].spec.numel])
    elif own.spec.numel:
        swap(links, call, [(root, own)], [])


def reduce_scatter(links: Connections, call: Call, pieces: Sequence[Any], op: ReduceOp, out: Any) -> None:
    """Every member gets what all members' pieces for it are together."""
    reduce_share(links, call, pieces, op, out)


def broadcast(links: Connections, call: Call, flat: Any, root: int) -> None:
    """Every member gets what one has."""
    if links.rank == root:
        swap(links, call, [(peer, flat) for peer in others(links)], [])
    else:
        swap(links, call, [], [(root, flat)])


def all_gather(links: Connections, call: Call, outs: Sequence[Any], flat: Any) -> None:
    """Every member gets what each has."""
    outs[links.rank].copy_(flat)
    swap(links, call, [(peer, flat) for peer in others(links)], [(peer, outs[peer]) for peer in others(links)])


def gather(links: Connections, call: Call, outs: Sequence[Any], flat: Any, root: int) -> None:
    """One member gets what each has."""
    if links.rank == root:
        outs[root].copy_(flat)
        swap(links, call, [], [(peer, outs[peer]) for peer in others(links)])
    else:
        swap(links, call, [(root, flat)], [])


def scatter(links: Connections, call: Call, out: Any, pieces: Sequence[Any], root: int) -> None:
    """Every member gets its piece of what one has."""
    if links.rank == root:
        out.copy_(pieces[root])
        swap(links, call, [(peer, pieces[peer]) for peer in others(links)], [])
    else:
        swap(links, call, [], [(root, out)])


def all_to_all(links: Connections, call: Call, outs: Sequence[Any], pieces: Sequence[Any]) -> None:
    """Every member gets its piece of what each has."""
    outs[links.rank].copy_(pieces[links.rank])
    swap(links, call, [(peer, pieces[peer]) for peer in others(links)], [(peer, outs[peer]) for peer in others(links)])


def barrier(links: Connections, call: Call) -> None:
    """Returns when all members have called it."""
    nothing = memoryview(b"")
    everyone = [(peer, nothing) for peer in others(links)]
    if links.rank == 0:
        links.exchange(call, [], everyone)
        links.exchange(call, everyone, [])
    else:
        links.exchange(call, [(0, nothing)], [(0, nothing)])
