"""Groups of processes: the default group, groups of some of its members, and who is who in them."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from clgrad import cuda
from clgrad.distributed import rendezvous
from clgrad.distributed.connections import Call, Connections
from clgrad.distributed.errors import DistBackendError, DistStoreError
from clgrad.distributed.messages import Messages
from clgrad.distributed.stores import HashStore, PrefixStore, Store
from clgrad.distributed.work import Turns, Work

_NOT_INITIALIZED = "Default process group has not been initialized, please make sure to call init_process_group."
default_pg_timeout = rendezvous.DEFAULT_TIMEOUT


class Backend(str):
    """The name of a way to communicate, in lower case. All names stand for the same one: sockets."""

    GLOO, NCCL, MPI, UCC, XCCL, UNDEFINED = "gloo", "nccl", "mpi", "ucc", "xccl", "undefined"
    backend_list = [UNDEFINED, GLOO, NCCL, XCCL, UCC, MPI]
    default_device_backend_map = {"cpu": GLOO, "cuda": NCCL, "cl": GLOO}

    def __new__(cls, name: str) -> Backend:
        if not isinstance(name, str):
            raise ValueError(f"Backend constructor parameter must be string-ish, got {name!r}")
        return super().__new__(cls, name.lower())


class ProcessGroup:
    """A group of processes, as this one of its members sees it.

    Args:
        backend: the name by which it was asked for.
        store: where its members find each other; not used by a group of one.
        ranks: the members' numbers in the default group.
        rank: this process's number there.
        timeout: for each operation.
        name: of the group.
    """

    def __init__(self, backend: Backend, store: Store, ranks: Sequence[int], rank: int, timeout: timedelta, name: str,
                 description: str = "undefined"):
        self.backend, self.store, self.ranks, self.timeout = backend, store, list(ranks), timeout
        self.group_name, self.group_desc = name, description
        self.bound_device_id: Any = None
        self._rank = self.ranks.index(rank)
        self._turns = Turns(f"group {name}")
        self._calls = 0
        self._barriers = 0
        self._links = None
        if len(self.ranks) > 1:
            self._links = Connections(store, self._rank, len(self.ranks), self.ranks, timeout)
            self._messages = Messages(self._links)

    def rank(self) -> int:
        """This process's number in the group."""
        return self._rank

    def size(self) -> int:
        """How many members there are."""
        return len(self.ranks)

    def name(self) -> str:
        """The backend's name."""
        return str(self.backend)

    _get_backend_name = name

    def get_group_store(self) -> Store:
        """Where the members have found each other."""
        return self.store

    def set_timeout(self, timeout: timedelta) -> None:
        """Another limit for each operation."""
        self.timeout = timeout
        if self._links is not None:
            self._links.timeout = timeout

    def collective(self, text: str, outputs: Any, action: Callable[[Connections, Call], Any], alone: Callable[[], Any],
                   async_op: bool) -> Work | None:
        """Does an operation in its turn.

        Args:
            text: what is called; all members have to say the same.
            outputs: what :meth:`Work.result` gives.
            action: what to do with the other members.
            alone: what to do where there are none.
        """
        links = self._links
        if links is None:
            alone()
            return Work.done(outputs, text) if async_op else None

        def turn() -> None:
            self._calls += 1
            action(links, Call(self._calls, text))
        return self._turns.take(Work(outputs, text), turn, async_op)

    @property
    def messages(self) -> Messages:
        """Messages to single members.

        Raises:
            ValueError: there are no other members.
        """
        if self._links is None:
            raise ValueError("Invalid destination rank: destination rank should not be the same as the rank of the current "
                             "process, and this group has one member")
        return self._messages

    def monitored_barrier(self, timeout: timedelta, wait_all_ranks: bool) -> None:
        """Returns when all members have called it; the first member says who has not."""
        self._barriers += 1
        store = PrefixStore(f"barrier/{self._barriers}", self.store.clone())
        if self._rank:
            store.set(f"here/{self._rank}", "1")
            store.set_timeout(timeout)
            answer = store.get("answer").decode()
        else:
            missing: list[int] = []
            for peer in range(1, self.size()):
                try:
                    store.wait([f"here/{peer}"], timeout)
                except DistStoreError:
                    missing.append(self.ranks[peer])
                    if not wait_all_ranks:
                        break
            milliseconds = round(timeout.total_seconds() * 1000)
            answer = (f"Rank(s) {', '.join(map(str, missing))} failed to pass monitoredBarrier in {milliseconds} ms"
                      if missing else "")
            store.set("answer", answer or "passed")
        if answer not in ("", "passed"):
            raise DistBackendError(f"monitored_barrier on rank {self.ranks[self._rank]}: {answer}")

    def close(self) -> None:
        """Ends the connections."""
        self._turns.close()
        if self._links is not None:
            self._links.close()
            self._messages.close()

    shutdown = abort = close

    def __repr__(self) -> str:
        return f"ProcessGroup(backend={self.backend}, ranks={self.ranks}, rank={self._rank})"


class _World:
    """The groups of this process. ``made`` counts default groups, ``groups`` also those that were asked for since."""

    def __init__(self) -> None:
        self.default: ProcessGroup | None = None
        self.members: list[ProcessGroup] = []
        self.made = self.groups = 0
        self.local: dict[tuple[int, ...], int] = {}


_world = _World()


class _WorldOf(type):
    """Lets ``group.WORLD`` be the default group of the moment."""

    @property
    def WORLD(cls) -> ProcessGroup | None:
        """The default group; None where there is none."""
        return _world.default


class group(metaclass=_WorldOf):
    """Holds the default group."""


class GroupMember(metaclass=_WorldOf):
    """Holds the default group, and what stands for not being in one."""

    NON_GROUP_MEMBER = -100


def is_available() -> bool:
    """True: processes can work together."""
    return True


def is_initialized() -> bool:
    """Whether there is a default group."""
    return _world.default is not None


def is_gloo_available() -> bool:
    """True: the name stands for clgrad's own connections."""
    return True


def is_nccl_available() -> bool:
    """Whether there is an OpenCL GPU: programs ask in order to choose a backend for its tensors; the name stands for
    clgrad's own connections."""
    return cuda.is_available()


def is_mpi_available() -> bool:
    """False; so are the backends ``ucc`` and ``xccl``."""
    return False


is_ucc_available = is_xccl_available = is_mpi_available


def is_backend_available(backend: str) -> bool:
    """Whether a backend of this name is there."""
    return {"gloo": is_gloo_available, "nccl": is_nccl_available}.get(backend.lower(), is_mpi_available)()


def is_torchelastic_launched() -> bool:
    """Whether this process was started by ``python -m clgrad.distributed.run``."""
    return os.environ.get("TORCHELASTIC_RUN_ID") is not None


def get_default_backend_for_device(device: Any) -> str:
    """``nccl`` for GPUs, ``gloo`` for all else."""
    return Backend.default_device_backend_map.get(str(device).partition(":")[0], Backend.GLOO)


def init_process_group(backend: str | None = None, init_method: str | None = None, timeout: timedelta | None = None,
                       world_size: int = -1, rank: int = -1, store: Store | None = None, group_name: str = "",
                       pg_options: Any = None, device_id: Any = None) -> None:
    """Makes the default group, with all processes that call this with the same store or URL; returns when all have come.

    Args:
        backend: any name (``gloo``, ``nccl``, ``cpu:gloo,cuda:nccl``); all stand for sockets. Default: ``gloo``.
        init_method: where the members meet: ``env://`` (the variables MASTER_ADDR, MASTER_PORT, RANK, WORLD_SIZE, as the
            launcher sets them; the default), ``tcp://host:port`` of a port where the first member can listen, or
            ``file:///path`` of a file that all see.
        timeout: for meeting, and for each operation. Default: 30 minutes.
        world_size: how many members there are.
        rank: this process's number, from 0 on.
        store: where the members meet, in place of ``init_method``.
        device_id: the device of this process; kept.

    Raises:
        ValueError: there is a default group already; rank or world_size is missing or impossible.
        DistStoreError, DistNetworkError: the others do not come in time.

    >>> import clgrad
    >>> import clgrad.distributed as dist
    >>> dist.init_process_group("gloo", rank=0, world_size=1)
    >>> dist.get_rank(), dist.get_world_size()
    (0, 1)
    >>> dist.destroy_process_group()
    """
    if is_initialized():
        raise ValueError("trying to initialize the default process group twice!")
    if store is not None and init_method is not None:
        raise AssertionError("Cannot specify both init_method and store.")
    if timeout is not None and not isinstance(timeout, timedelta):
        raise TypeError(f"Expected timeout argument to be of type datetime.timedelta, got {timeout}")
    limit = default_pg_timeout if timeout is None else timeout
    url = init_method or "env://"
    if store is None:
        if rendezvous.numbers(url, rank, world_size) == (0, 1):
            store, rank, world_size = HashStore(), 0, 1  # nobody else is to find it
        else:
            store, rank, world_size = rendezvous.find(url, rank, world_size, limit)
    elif world_size <= 0 or rank < 0:
        raise AssertionError("world_size must be positive and rank non-negative if using store")
    if not 0 <= rank < world_size:
        raise ValueError(f"init_process_group: expected 0 <= rank < world_size, but got rank {rank} and world_size "
                         f"{world_size}")
    store.set_timeout(limit)
    _world.made += 1
    name = group_name or "default_pg"
    made = ProcessGroup(Backend(backend or "gloo"), PrefixStore(f"{name}/{_world.made}", store), range(world_size), rank,
                        limit, name, "default_pg")
    made.bound_device_id = device_id
    _world.default, _world.members, _world.groups, _world.local = made, [made], 0, {}


def destroy_process_group(group: Any = None) -> None:
    """Ends a group; without an argument all.

    Raises:
        ValueError: there is no default group.
    """
    world = default_group()
    if group == GroupMember.NON_GROUP_MEMBER:
        return
    ended = _world.members if group is None or group is world else [group]
    for member in list(ended):
        if member not in _world.members:
            raise ValueError("Invalid process group specified or has been destroyed.")
        _world.members.remove(member)
        member.close()
    if group is None or group is world:
        _world.default, _world.members = None, []


def default_group() -> ProcessGroup:
    """The default group.

    Raises:
        ValueError: it was not initialized.
    """
    if _world.default is None:
        raise ValueError(_NOT_INITIALIZED)
    return _world.default


_get_default_group = default_group


def of(group: Any) -> ProcessGroup | None:
    """The group meant by an argument; None, where this process is not in it."""
    return default_group() if group is None else None if group == GroupMember.NON_GROUP_MEMBER else group


def _rank_not_in_group(group: Any) -> bool:
    """Whether this process is not in a group, for programs that ask by PyTorch's private name."""
    return of(group) is None


def member_of(group: Any, name: str) -> ProcessGroup | None:
    """The group meant by an operation's argument; None with a warning, where this process is not in it."""
    found = of(group)
    if found is None:
        warnings.warn(f"Running {name} on global rank {default_group().rank()} which does not belong to the given group.",
                      stacklevel=3)
    return found


def new_group(ranks: Any = None, timeout: timedelta | None = None, backend: str | None = None, pg_options: Any = None,
              use_local_synchronization: bool = False, group_desc: str | None = None, device_id: Any = None,
              sort_ranks: bool = True) -> Any:
    """A group of some of the processes. All processes have to call it, in the same order; returns when the members have come.

    Args:
        ranks: the members' ranks in the default group. Default: all.
        timeout: for each operation. Default: the default group's.
        backend: any name. Default: the default group's.
        use_local_synchronization: only the members call it.
        sort_ranks: number the members in the order of their ranks, not in that of ``ranks``. Default: True.

    Returns:
        The group; GroupMember.NON_GROUP_MEMBER where this process is none of the members.

    Raises:
        ValueError: a rank is not in the default group, or twice in the list.
    """
    world = default_group()
    members = list(range(world.size())) if ranks is None else [int(member) for member in ranks]
    if len(set(members)) != len(members):
        raise ValueError(f"new_group: every rank has to appear once, got {members}")
    if any(not 0 <= member < world.size() for member in members):
        raise ValueError("the new group's rank should be within the world_size set by init_process_group")
    if sort_ranks:
        members.sort()
    if use_local_synchronization:
        number = _world.local[tuple(members)] = _world.local.get(tuple(members), 0) + 1
        name = f"{hashlib.sha1(repr(members).encode()).hexdigest()}_{number}"
    else:
        _world.groups += 1
        name = str(_world.groups)
    if world.rank() not in members:
        return GroupMember.NON_GROUP_MEMBER
    made = ProcessGroup(Backend(backend) if backend else world.backend, PrefixStore(f"group/{name}", world.store.clone()),
                        members, world.rank(), timeout or world.timeout, name, group_desc or "undefined")
    made.bound_device_id = device_id
    _world.members.append(made)
    return made


def new_subgroups(group_size: int | None = None, group: Any = None, timeout: timedelta | None = None,
                  backend: str | None = None, pg_options: Any = None, group_desc: str | None = None) -> tuple[Any, list]:
    """Groups of ``group_size`` consecutive ranks each: that of this process, and all.

    Args:
        group_size: default: the number of processes of this machine that the launcher started, else of GPUs.

    Raises:
        ValueError: the number of processes is not a multiple of the size.
    """
    size = group_size or int(os.environ.get("LOCAL_WORLD_SIZE", cuda.device_count()))
    count = default_group().size()
    if size <= 0:
        raise ValueError(f"The arg 'group_size' ({size}) must be positive")
    if count < size:
        raise ValueError(f"The arg 'group_size' ({size}) must not exceed the world size ({count})")
    if count % size:
        raise ValueError(f"The world size ({count}) must be divisible by 'group_size={size}'")
    return new_subgroups_by_enumeration([list(range(start, start + size)) for start in range(0, count, size)], timeout,
                                        backend, pg_options, group_desc)


def new_subgroups_by_enumeration(ranks_per_subgroup_list: list[list[int]], timeout: timedelta | None = None,
                                 backend: str | None = None, pg_options: Any = None,
                                 group_desc: str | None = None) -> tuple[Any, list]:
    """Groups of the ranks in each list: that of this process (None: it is in none), and all.

    Raises:
        ValueError: a rank is in two lists, or there are no lists.
    """
    if not ranks_per_subgroup_list:
        raise ValueError("The arg 'ranks_per_subgroup_list' cannot be empty")
    every = [rank for ranks in ranks_per_subgroup_list for rank in ranks]
    if len(set(every)) != len(every):
        raise ValueError("The ranks of subgroups must not overlap: "
                         f"rank {next(rank for rank in every if every.count(rank) > 1)} is in two of them")
    made = [new_group(ranks, timeout, backend, pg_options, group_desc=group_desc) for ranks in ranks_per_subgroup_list]
    return next((one for one in made if isinstance(one, ProcessGroup)), None), made


def get_rank(group: Any = None) -> int:
    """This process's number in a group; -1 where it is not in it."""
    default_group()
    found = of(group)
    return -1 if found is None else found.rank()


def get_world_size(group: Any = None) -> int:
    """How many members a group has; -1 where this process is not in it."""
    default_group()
    found = of(group)
    return -1 if found is None else found.size()


def get_node_local_rank(fallback_rank: int | None = None) -> int:
    """This process's number on its machine, which the launcher says.

    Raises:
        RuntimeError: it does not, and there is no ``fallback_rank``.
    """
    if "LOCAL_RANK" in os.environ:
        return int(os.environ["LOCAL_RANK"])
    if fallback_rank is not None:
        return int(fallback_rank)
    raise RuntimeError("LOCAL_RANK is not in the environment. Consider passing fallback_rank to allow `get_node_local_rank` "
                       "to work, assuming you are not running in a multi-device context and want the code to run locally "
                       "instead.")


def get_backend(group: Any = None) -> str:
    """The name that the group was made with.

    Raises:
        ValueError: this process is not in it.
    """
    default_group()
    found = of(group)
    if found is None or found not in _world.members:
        raise ValueError("Invalid process group specified")
    return found.backend


get_backend_config = get_backend


def get_pg_count() -> int:
    """How many groups this process is in."""
    return len(_world.members)


def get_global_rank(group: Any, group_rank: int) -> int:
    """A member's number in the default group.

    Raises:
        ValueError: there is no such member.
    """
    ranks = get_process_group_ranks(group)
    if not 0 <= group_rank < len(ranks):
        raise ValueError(f"Group rank {group_rank} is not part of group {group}")
    return ranks[group_rank]


def get_group_rank(group: Any, global_rank: int) -> int:
    """The number in a group of a member of the default group.

    Raises:
        ValueError: it is not in the group.
    """
    ranks = get_process_group_ranks(group)
    if global_rank not in ranks:
        raise ValueError(f"Global rank {global_rank} is not part of group {group}")
    return ranks.index(global_rank)


def get_process_group_ranks(group: Any) -> list[int]:
    """The members' numbers in the default group."""
    found = of(group)
    return [] if found is None else list(found.ranks)
