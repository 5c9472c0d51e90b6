"""The group of one process."""

from __future__ import annotations

import os
from enum import IntEnum
from typing import Any

_ONE_PROCESS = "clgrad trains in one process: a group has one member"
_NOT_INITIALIZED = ("Default process group has not been initialized, please make sure to call init_process_group.")


class ReduceOp(IntEnum):
    """How the members' tensors become one; with one member all are the same."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7


class Backend(str):
    """The name of a way to communicate, in lower case."""

    GLOO, NCCL, MPI, UCC, XCCL, UNDEFINED = "gloo", "nccl", "mpi", "ucc", "xccl", "undefined"

    def __new__(cls, name: str) -> Backend:
        if not isinstance(name, str):
            raise ValueError(f"Backend constructor parameter must be string-ish, got {name!r}")
        return super().__new__(cls, name.lower())


class ProcessGroup:
    """A group whose only member is this process."""

    def __init__(self, backend: str):
        self.backend = backend

    def rank(self) -> int:
        """0."""
        return 0

    def size(self) -> int:
        """1."""
        return 1

    def name(self) -> str:
        """The backend's name."""
        return self.backend


class Work:
    """An operation that is done."""

    def wait(self, timeout: Any = None) -> bool:
        """True, at once."""
        return True

    def is_completed(self) -> bool:
        """True."""
        return True

    is_success = is_completed


class _WorldOf(type):
    """Lets ``group.WORLD`` be the default group of the moment."""

    @property
    def WORLD(cls) -> ProcessGroup | None:
        """The default group; None where there is none."""
        return _state["world"]


class group(metaclass=_WorldOf):
    """Holds the default group."""


class GroupMember(metaclass=_WorldOf):
    """Holds the default group, and what stands for not being in one."""

    NON_GROUP_MEMBER = -100


_state: dict[str, Any] = {"world": None}


def is_available() -> bool:
    """False: there are no groups of several processes."""
    return False


def is_initialized() -> bool:
    """Whether there is a default group."""
    return _state["world"] is not None


def is_backend_available(backend: str) -> bool:
    """False."""
    return False


def is_nccl_available() -> bool:
    """False; so are the other backends."""
    return False


is_gloo_available = is_mpi_available = is_ucc_available = is_xccl_available = is_nccl_available


def is_torchelastic_launched() -> bool:
    """Whether this process was started by ``torchrun``."""
    return os.environ.get("TORCHELASTIC_RUN_ID") is not None


def init_process_group(backend: str | None = None, init_method: str | None = None, timeout: Any = None,
                       world_size: int = -1, rank: int = -1, store: Any = None, group_name: str = "",
                       pg_options: Any = None, device_id: Any = None) -> None:
    """Makes the default group, of this process alone.

    Args:
        backend: any name; nothing is communicated.
        world_size: 1; by default the environment's ``WORLD_SIZE``, else 1.
        rank: 0; by default the environment's ``RANK``, else 0.

    Raises:
        ValueError: there is a default group already.
        RuntimeError: the group would have more than one member.
    """
    if is_initialized():
        raise ValueError("trying to initialize the default process group twice!")
    members = int(os.environ.get("WORLD_SIZE", 1)) if world_size < 0 else world_size
    own = int(os.environ.get("RANK", 0)) if rank < 0 else rank
    if members != 1 or own != 0:
        raise RuntimeError(f"init_process_group: {_ONE_PROCESS}, but world_size is {members} and rank {own}")
    _state["world"] = ProcessGroup(Backend(backend or "gloo"))


def destroy_process_group(group: Any = None) -> None:
    """Ends a group; without an argument the default one.

    Raises:
        ValueError: there is no default group.
    """
    world = default_group()
    if group is None or group is world:
        _state["world"] = None


def default_group() -> ProcessGroup:
    """The default group.

    Raises:
        ValueError: it was not initialized.
    """
    if _state["world"] is None:
        raise ValueError(_NOT_INITIALIZED)
    return _state["world"]


def new_group(ranks: Any = None, timeout: Any = None, backend: str | None = None, pg_options: Any = None,
              use_local_synchronization: bool = False, group_desc: str | None = None, device_id: Any = None) -> Any:
    """A group of some of the processes: of this one, or of none."""
    world = default_group()
    if ranks is not None and any(member != 0 for member in ranks):
        raise ValueError("the new group's rank should be within the world_size set by init_process_group")
    if ranks is not None and not list(ranks):
        return GroupMember.NON_GROUP_MEMBER
    return ProcessGroup(Backend(backend) if backend else world.backend)


def get_rank(group: Any = None) -> int:
    """0, the number of this process."""
    return default_group().rank()


def get_world_size(group: Any = None) -> int:
    """1, the number of processes."""
    return default_group().size()


def get_backend(group: Any = None) -> str:
    """The name that the group was made with."""
    return (group or default_group()).backend


def get_global_rank(group: Any, group_rank: int) -> int:
    """0."""
    return default_group().rank()


def get_group_rank(group: Any, global_rank: int) -> int:
    """0."""
    return default_group().rank()


def get_process_group_ranks(group: Any) -> list[int]:
    """The members' numbers."""
    return list(range(default_group().size()))
