"""``torch._C._functorch``: ``vmap`` calls a function for each entry, so no tensor ever stands for a batch."""

from __future__ import annotations

from typing import Any

from clgrad.compat.standins.refusal import function

__all__ = ["get_unwrapped", "is_batchedtensor", "is_functorch_wrapped_tensor", "is_gradtrackingtensor",
           "is_legacy_batchedtensor", "maybe_current_level", "maybe_get_bdim"]


def is_batchedtensor(tensor: Any) -> bool:
    """False."""
    return False


is_functorch_wrapped_tensor = is_gradtrackingtensor = is_legacy_batchedtensor = is_batchedtensor


def get_unwrapped(tensor: Any) -> Any:
    """The tensor itself."""
    return tensor


def maybe_get_bdim(tensor: Any) -> int:
    """-1: no dimension is one of a batch."""
    return -1


def maybe_current_level() -> None:
    """None."""


_add_batch_dim, _remove_batch_dim, _vmap_increment_nesting, _vmap_decrement_nesting = (
    function(f"torch._C._functorch.{name}", "torch.vmap calls the function for each entry of a batch")
    for name in ("_add_batch_dim", "_remove_batch_dim", "_vmap_increment_nesting", "_vmap_decrement_nesting"))
