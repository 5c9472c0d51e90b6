"""``torch._C._functorch``: whether a tensor stands for a batch of ``vmap``, and what is behind it."""

from __future__ import annotations

from typing import Any

from clgrad.batching.batched import Batched
from clgrad.batching.level import levels_at_work
from clgrad.compat.standins.refusal import function

__all__ = ["get_unwrapped", "is_batchedtensor", "is_functorch_wrapped_tensor", "is_gradtrackingtensor",
           "is_legacy_batchedtensor", "maybe_current_level", "maybe_get_bdim"]


def is_batchedtensor(tensor: Any) -> bool:
    """Whether it stands for a batch."""
    return type(tensor) is Batched


is_functorch_wrapped_tensor = is_batchedtensor


def is_gradtrackingtensor(tensor: Any) -> bool:
    """False: tensors are differentiated as they are."""
    return False


is_legacy_batchedtensor = is_gradtrackingtensor


def get_unwrapped(tensor: Any) -> Any:
    """All entries of a batch; any other tensor itself."""
    return tensor.whole if type(tensor) is Batched else tensor


def maybe_get_bdim(tensor: Any) -> int:
    """The dimension of the entries in what is behind a batch; -1 where there is none."""
    return 0 if type(tensor) is Batched else -1


def maybe_current_level() -> int | None:
    """How many levels of ``vmap`` are at work, None where none is."""
    return len(levels_at_work()) or None


_add_batch_dim, _remove_batch_dim, _vmap_increment_nesting, _vmap_decrement_nesting = (
    function(f"torch._C._functorch.{name}", "torch.vmap makes its batches itself")
    for name in ("_add_batch_dim", "_remove_batch_dim", "_vmap_increment_nesting", "_vmap_decrement_nesting"))
