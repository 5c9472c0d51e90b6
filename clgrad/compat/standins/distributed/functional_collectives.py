"""``torch.distributed._functional_collectives``: collective operations that give new tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from clgrad.distributed import nn

__all__ = ["all_to_all_single", "all_to_all_single_autograd", "wait_tensor"]


def wait_tensor(tensor: Any) -> Any:
    """The tensor: its values are there."""
    return tensor


def all_to_all_single_autograd(input: Any, output_split_sizes: Sequence[int] | None, input_split_sizes: Sequence[int] | None,
                               group: Any, tag: str = "") -> Any:
    """The rows that the members have for this one; gradients pass."""
    rows = input.shape[0] if not output_split_sizes else sum(output_split_sizes)
    output = input.new_empty((rows, *input.shape[1:]))
    return nn.all_to_all_single(output, input, output_split_sizes, input_split_sizes, group)


def all_to_all_single(input: Any, output_split_sizes: Sequence[int] | None, input_split_sizes: Sequence[int] | None,
                      group: Any, tag: str = "") -> Any:
    """The rows that the members have for this one."""
    return all_to_all_single_autograd(input.detach(), output_split_sizes, input_split_sizes, group)
