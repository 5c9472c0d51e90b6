"""Runs a program in several processes that form a group, with clgrad or with PyTorch, and collects what they return."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import socket
import tempfile
import time
import traceback
from datetime import timedelta

LIMIT = 150  # seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def member(library, module, name, rank, size, url, folder, seconds, arguments):
    """What one process does."""
    path = os.path.join(folder, str(rank))
    try:
        t = importlib.import_module(library)
        dist = importlib.import_module(f"{library}.distributed")
        for part in ("distributed.nn", "distributed.algorithms.ddp_comm_hooks.default_hooks", "distributed.optim",
                     "utils.checkpoint"):
            importlib.import_module(f"{library}.{part}")
        dist.init_process_group("gloo", init_method=url, rank=rank, world_size=size, timeout=timedelta(seconds=seconds))
        found = True, getattr(importlib.import_module(module), name)(t, rank, size, *arguments)
        if dist.is_initialized():
            dist.destroy_process_group()
    except Exception:
        found = False, traceback.format_exc()
    with open(path, "wb") as file:
        pickle.dump(found, file)


def run(program, size, *arguments, library="clgrad", seconds=20, ends=()):
    """What ``program(library, rank, size, *arguments)`` returns in each process; None for those that end without a result.

    ``ends``: ranks that are expected to be killed.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        url = f"tcp://127.0.0.1:{free_port()}" if library == "clgrad" else f"file://{folder}/store"
        named = library, program.__module__, program.__name__
        processes = [context.Process(target=member, args=(*named, rank, size, url, folder, seconds, arguments))
                     for rank in range(size)]
        for process in processes:
            process.start()
        end = time.monotonic() + LIMIT
        for process in processes:
            process.join(max(0.0, end - time.monotonic()))
        hung = [rank for rank, process in enumerate(processes) if process.is_alive()]
        for rank in hung:
            processes[rank].kill()
        assert not hung, f"ranks {hung} did not end"
        results = []
        for rank in range(size):
            if rank in ends:
                results.append(None)
                continue
            with open(os.path.join(folder, str(rank)), "rb") as file:
                good, result = pickle.load(file)
            assert good, f"rank {rank}: {result}"
            results.append(result)
    return results
