"""Helpers that layers of programs' own take from ``torch.nn.functional`` and ``torch.nn.modules.utils``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import prod
from typing import Any


def _get_softmax_dim(name: str, ndim: int, stacklevel: int) -> int:
    """The axis of a softmax that names none."""
    warnings.warn(f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an "
                  "argument.", stacklevel=stacklevel)
    return 0 if ndim in (0, 1, 3) else 1


def _verify_batch_size(size: Sequence[int]) -> None:
    """Refuses inputs of which a channel has one value."""
    if size[0] * prod(size[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {size}")


def _list_with_default(out_size: Any, defaults: Sequence[int]) -> Any:
    """An output's size, with the input's where None stands."""
    if isinstance(out_size, int):
        return out_size
    if len(defaults) <= len(out_size):
        raise ValueError(f"Input dimension should be at least {len(out_size) + 1}")
    return [given if wanted is None else wanted
            for wanted, given in zip(out_size, defaults[-len(out_size):], strict=True)]


def _reverse_repeat_tuple(t: Sequence[Any], n: int) -> tuple:
    """The elements from the last to the first, each ``n`` times: ``F.pad``'s order."""
    return tuple(x for x in reversed(t) for _ in range(n))


def consume_prefix_in_state_dict_if_present(state_dict: dict[str, Any], prefix: str) -> None:
    """Takes a prefix, ``"module."`` for one, off the names in a ``state_dict``, and off those of its metadata."""
    for name in [name for name in state_dict if name.startswith(prefix)]:
        state_dict[name[len(prefix):]] = state_dict.pop(name)
    metadata = getattr(state_dict, "_metadata", {})
    for name in [name for name in metadata if name]:
        if name == prefix.removesuffix("."):
            metadata[""] = metadata.pop(name)
        elif name.startswith(prefix):
            metadata[name[len(prefix):]] = metadata.pop(name)
