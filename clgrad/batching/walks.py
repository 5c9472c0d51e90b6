"""Backward walks for many gradients of the same results at once: one walk, whose gradients are a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.autograd.engine import walk_by
from clgrad.batching.batched import Batched, physical
from clgrad.batching.level import Level, is_per_entry, per_entry, without_levels


def gradients_of_seeds(outputs: Sequence[Any], inputs: Sequence[Any], seeds: Sequence[Any], retain: bool = True) -> tuple:
    """The gradients of ``inputs``, recorded, for each entry of the first dimension of ``seeds``, one above the other.

    None for an input that is not used. Nodes run as operators do within :func:`~clgrad.batching.vmap`: for all gradients at
    once, or else for each. The inputs have to be :func:`~clgrad.batching.level.is_per_entry`.
    """
    assert all(map(is_per_entry, inputs))
    roots, wholes = ([physical(per_entry(tensor)) for tensor in tensors] for tensors in (outputs, seeds))
    with without_levels() as levels:
        # Their dimensions come first in what is physical.
        level, place = Level(seeds[0].spec.shape[0], "different"), len(levels)
        with level:
            found = walk_by(level.run_node, roots, [physical(x) for x in inputs],
                            [level.batch(whole.movedim(place, 0)) for whole in wholes], retain)
        columns = [None if g is None else level.whole_of(g).movedim(0, place) for g in found]
    return tuple([_in_levels(g, levels) for g in columns])


def _in_levels(tensor: Any, levels: Sequence[Level]) -> Any:
    """A tensor that begins with a dimension for each level, as a batch of all of them; None as it is."""
    for level in levels:
        tensor = tensor if tensor is None else Batched(level, tensor)
    return tensor
