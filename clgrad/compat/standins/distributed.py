"""``torch.distributed`` of a library that trains in one process: it says so."""

from __future__ import annotations

from typing import Any, NoReturn

_NONE = "clgrad trains in one process: torch.distributed is not available"


def is_available() -> bool:
    """False."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def is_torchelastic_launched() -> bool:
    """False."""
    return False


def is_nccl_available() -> bool:
    """False; so are the other backends."""
    return False


is_gloo_available = is_mpi_available = is_ucc_available = is_nccl_available


def init_process_group(*args: Any, **kwargs: Any) -> NoReturn:
    """RuntimeError: there are no process groups."""
    raise RuntimeError(_NONE)


def _without_group(*args: Any, **kwargs: Any) -> NoReturn:
    raise ValueError("Default process group has not been initialized, please make sure to call init_process_group. "
                     + _NONE)


get_rank = get_world_size = get_backend = barrier = all_reduce = all_gather = broadcast = reduce = scatter = gather = (
    destroy_process_group) = _without_group


def __getattr__(name: str) -> NoReturn:
    raise AttributeError(f"torch.distributed.{name}: {_NONE}")
