"""``python -m clgrad.distributed.run``: starts the processes of a program, on this machine or its part of them.

    python -m clgrad.distributed.run --nproc-per-node 2 program.py arguments...
    python -m clgrad.distributed.run --nnodes 2 --node-rank 0 --master-addr 10.0.0.1 --nproc-per-node 4 program.py

Each process finds in its environment RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, GROUP_RANK, MASTER_ADDR and MASTER_PORT,
with which ``init_process_group`` makes the group. The launcher of the first machine holds the store in which the processes
meet. When one process fails, all are ended, and started again as often as ``--max-restarts`` says.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from clgrad import cuda
from clgrad.distributed.errors import DistError
from clgrad.distributed.stores import PrefixStore, Store
from clgrad.distributed.tcp_store import TCPStore

_PORT = 29500
_GRACE = 10.0  # seconds in which a process that is told to end may do so
_LOOK = 0.05  # seconds between looks at the processes
_MEETING = timedelta(minutes=15)


def parser() -> argparse.ArgumentParser:
    """The options, which have PyTorch's names; words may be joined by underscores as well."""
    made = argparse.ArgumentParser(prog="python -m clgrad.distributed.run",
                                   description="Starts the processes of a program that trains in several.")

    def option(name: str, *others: str, **settings: Any) -> None:
        made.add_argument(name, name[:2] + name[2:].replace("-", "_"), *others, **settings)
    option("--nnodes", default="1", help="machines: N, or MIN:MAX, of which MIN are used")
    option("--nproc-per-node", default="1", help="processes of this machine: a number, gpu, cpu or auto")
    option("--node-rank", type=int, default=int(os.environ.get("GROUP_RANK", 0)), help="this machine's number")
    option("--master-addr", default=os.environ.get("PET_MASTER_ADDR", "127.0.0.1"), help="the first machine's address")
    option("--master-port", type=int, default=_PORT, help="a free port of the first machine")
    option("--standalone", action="store_true", help="one machine, and any port")
    option("--rdzv-backend", default="static", help="static, c10d: with the latter machines need no number")
    option("--rdzv-endpoint", default="", help="HOST:PORT, in place of --master-addr and --master-port")
    option("--rdzv-id", default="none", help="the run's name")
    option("--rdzv-conf", default="", help="accepted")
    option("--max-restarts", type=int, default=0, help="how often the processes are started again when one fails")
    option("--monitor-interval", type=float, default=_LOOK, help="seconds between looks at the processes")
    option("--start-method", default="spawn", help="accepted")
    option("--role", default="default", help="accepted")
    option("--log-dir", default=None, help="a folder for what the processes write, where it is redirected")
    option("--redirects", "-r", default="0", help="3: what the processes write goes to files in --log-dir")
    option("--tee", "-t", default="0", help="accepted")
    option("--local-addr", default=None, help="accepted")
    option("--local-ranks-filter", default="", help="accepted")
    option("--use-env", action="store_true", help="accepted: LOCAL_RANK is always in the environment")
    made.add_argument("-m", "--module", action="store_true", help="the program is a module")
    made.add_argument("--no-python", "--no_python", action="store_true", help="the program is run as it is")
    made.add_argument("--run-path", "--run_path", action="store_true", help="accepted")
    made.add_argument("training_script", help="the program")
    made.add_argument("training_script_args", nargs=argparse.REMAINDER, help="its arguments")
    return made


def processes_of(count: str) -> int:
    """How many processes ``--nproc-per-node`` means.

    Raises:
        ValueError: it is none of them, or there is no GPU.
    """
    gpus = cuda.device_count()
    if count == "cpu":
        return os.cpu_count() or 1
    if count == "auto":
        return gpus or os.cpu_count() or 1
    if count in ("gpu", "cuda"):
        if not gpus:
            raise ValueError("--nproc-per-node gpu: there is no OpenCL GPU")
        return gpus
    if not count.isdigit() or not int(count):
        raise ValueError(f"Unsupported nproc_per_node value: {count}")
    return int(count)


class _Place(NamedTuple):
    """This machine among the others, and where they meet."""

    node: int
    nodes: int
    local_size: int
    host: str
    port: int
    store: Store
    first_rank: int
    world_size: int
    identity: str


def _meet(options: argparse.Namespace) -> _Place:
    """Finds the other machines' launchers."""
    nodes = 1 if options.standalone else int(str(options.nnodes).split(":")[0])
    local_size = processes_of(str(options.nproc_per_node))
    host, port = options.master_addr, options.master_port
    if options.rdzv_endpoint:
        host, _, given = options.rdzv_endpoint.partition(":")
        port = int(given or _PORT)
    dynamic = options.rdzv_backend not in ("static",) and nodes > 1
    if options.standalone or (nodes == 1 and (port == 0 or (options.rdzv_backend != "static" and not options.rdzv_endpoint))):
        host, port = "127.0.0.1", 0
    identity = options.rdzv_id if options.rdzv_id != "none" or not options.standalone else str(uuid.uuid4())
    node = options.node_rank if not dynamic else -1
    store: TCPStore
    if dynamic:
        try:
            store = TCPStore(host, port, None, True, _MEETING)  # the first to come to the named machine
        except DistError:
            store = TCPStore(host, port, None, False, _MEETING)
        node = store.add(f"launcher/{identity}/nodes", 1) - 1
    else:
        store = TCPStore(host, port, None, node == 0, _MEETING)
    meeting = PrefixStore(f"launcher/{identity}", store)
    meeting.set(f"size/{node}", str(local_size))
    sizes = [int(meeting.get(f"size/{k}")) for k in range(nodes)]
    return _Place(node, nodes, local_size, host, store.port, meeting, sum(sizes[:node]), sum(sizes), identity)


def _environment(place: _Place, local: int, options: argparse.Namespace, restart: int) -> dict[str, str]:
    rank = place.first_rank + local
    values: dict[str, Any] = {
        "RANK": rank, "LOCAL_RANK": local, "WORLD_SIZE": place.world_size, "LOCAL_WORLD_SIZE": place.local_size,
        "GROUP_RANK": place.node, "GROUP_WORLD_SIZE": place.nodes, "ROLE_RANK": rank, "ROLE_WORLD_SIZE": place.world_size,
        "ROLE_NAME": options.role, "MASTER_ADDR": place.host, "MASTER_PORT": place.port,
        "TORCHELASTIC_RESTART_COUNT": restart, "TORCHELASTIC_MAX_RESTARTS": options.max_restarts,
        "TORCHELASTIC_RUN_ID": place.identity, "TORCHELASTIC_USE_AGENT_STORE": True}
    own = {**os.environ, **{name: str(value) for name, value in values.items()}}
    if place.local_size > 1:
        own.setdefault("OMP_NUM_THREADS", "1")
    return own


def _command(options: argparse.Namespace, local: int, local_rank_argument: bool) -> list[str]:
    python = [] if options.no_python else [sys.executable, "-u", *(["-m"] if options.module else [])]
    extra = [f"--local-rank={local}"] if local_rank_argument else []
    return [*python, options.training_script, *extra, *options.training_script_args]


class _Failure(NamedTuple):
    """A process that failed."""

    local: int
    rank: int
    pid: int
    status: int


class _Processes:
    """The processes of this machine."""

    def __init__(self, place: _Place, options: argparse.Namespace, restart: int, local_rank_argument: bool):
        self._place = place
        self.running: dict[int, subprocess.Popen] = {}
        for local in range(place.local_size):
            streams: dict[str, Any] = {}
            if options.log_dir and options.redirects == "3":
                folder = os.path.join(options.log_dir, place.identity, f"attempt_{restart}", str(local))
                os.makedirs(folder, exist_ok=True)
                streams = {name: os.open(os.path.join(folder, f"{name}.log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
                           for name in ("stdout", "stderr")}
            self.running[local] = subprocess.Popen(_command(options, local, local_rank_argument),
                                                   env=_environment(place, local, options, restart), **streams)
            for stream in streams.values():
                os.close(stream)

    def failure(self) -> _Failure | None:
        """The first that has failed; those that have ended well are no longer looked at."""
        for local, process in list(self.running.items()):
            status = process.poll()
            if status:
                return _Failure(local, self._place.first_rank + local, process.pid, status)
            if status == 0:
                del self.running[local]
        return None

    def end(self, number: int = signal.SIGTERM) -> None:
        """Ends those that run."""
        for process in self.running.values():
            if process.poll() is None:
                process.send_signal(number)
        deadline = time.monotonic() + _GRACE
        for process in self.running.values():
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _watch(place: _Place, processes: _Processes, attempt: int, interval: float) -> _Failure | str | None:
    """Waits for the end; what failed here, or that something failed on another machine."""
    failed = f"failed/{attempt}"
    while processes.running:
        found = processes.failure()
        if found is not None:
            if place.nodes > 1:
                place.store.set(failed, f"rank {found.rank} on machine {place.node}")
            return found
        if place.nodes > 1 and place.store.check([failed]):
            return place.store.get(failed).decode()
        time.sleep(interval)
    return None


def _told(failure: _Failure | str) -> str:
    if isinstance(failure, str):
        return failure
    how = f"signal {signal.Signals(-failure.status).name}" if failure.status < 0 else f"exit code {failure.status}"
    return f"rank {failure.rank} (local_rank {failure.local}, pid {failure.pid}) ended with {how}"


class _Stopped(Exception):
    """The launcher was told to end."""


def launch(options: argparse.Namespace, local_rank_argument: bool = False) -> int:
    """Starts the processes, and waits for them; the exit status: 0, or that of the process that failed first."""
    def stop(number: int, frame: Any) -> None:
        raise _Stopped(number)
    before = signal.signal(signal.SIGTERM, stop)
    place = _meet(options)
    try:
        for attempt in range(options.max_restarts + 1):
            processes = _Processes(place, options, attempt, local_rank_argument)
            try:
                failure = _watch(place, processes, attempt, options.monitor_interval)
            except (KeyboardInterrupt, _Stopped) as told:
                processes.end(signal.SIGINT if isinstance(told, KeyboardInterrupt) else signal.SIGTERM)
                return 130 if isinstance(told, KeyboardInterrupt) else 143
            processes.end()
            if failure is None:
                _leave(place)
                return 0
            again = f"; starting again ({attempt + 1} of {options.max_restarts})" if attempt < options.max_restarts else ""
            print(f"clgrad.distributed.run: {options.training_script} FAILED: {_told(failure)}; the other processes were "
                  f"ended{again}", file=sys.stderr, flush=True)
        return failure.status if isinstance(failure, _Failure) and failure.status > 0 else 1
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(place: _Place) -> None:
    """The launcher that holds the store is the last to end."""
    if place.nodes > 1:
        place.store.add("ended", 1)
        while place.node == 0 and place.store.add("ended", 0) < place.nodes:
            time.sleep(_LOOK)


def main(arguments: Sequence[str] | None = None) -> int:
    """Reads the command line, and starts the processes; the exit status."""
    reader = parser()
    options = reader.parse_args(arguments)
    try:
        return launch(options)
    except ValueError as error:
        reader.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
