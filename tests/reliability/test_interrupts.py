"""Ctrl-C while kernels are launched, built, and data is loaded; forks. No process, no lock and no hang is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import clgrad
from clgrad.runtime import Bound
from clgrad.runtime.kernel import Lane

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork, and so no process groups, on this system")

PROGRAM = """
import os, sys, threading, time
import clgrad
from clgrad.runtime import Bound
from clgrad.utils.data import DataLoader, TensorDataset

class Slow(TensorDataset):
    def __getitem__(self, index):
        time.sleep(0.01)
        return self.tensors[0][index] * 1

if __name__ == "__main__":
    device = clgrad.device("cpu").compute
    x = clgrad.ones(1 << 18)
    (x[:3] * 2).tolist()
    loader = DataLoader(Slow(clgrad.arange(1000.0)), batch_size=4, num_workers=2) if "load" in sys.argv else None
    batches = iter(loader) if loader is not None else None
    number = 0
    try:
        print("ready", flush=True)
        while True:
            number += 1
            if "launch" in sys.argv:
                x = x * 1.0001
            elif "build" in sys.argv:
                kernel = device.kernel("trial.cl", "trial", {}, "P", prelude=f"typedef int salt_{os.getpid()}_{number};")
                cost = (0, 0) if number % 2 else (1 << 40, 0)  # in the caller's thread, and in the driver's
                device.run(Bound(kernel, (8,), (8,), 1, "", (), cost), (device.allocate(64).buffer,), ())
                device.synchronize()
            else:
                next(batches)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    print((x[:3] * 0 + 2).tolist(), flush=True)
"""


@pytest.mark.parametrize("work", ["launch", "build", "load"])
def test_control_c(tmp_path, work):
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    # As a terminal does it: the signal goes to every process of the group.
    child = subprocess.Popen([sys.executable, str(file), work], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             start_new_session=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.3)
    os.killpg(child.pid, signal.SIGINT)
    printed, errors = child.communicate(timeout=100)
    assert (child.returncode, printed) == (0, "interrupted\n[2.0, 2.0, 2.0]\n"), errors
    for _ in range(100):  # the server that started the workers ends when it notices that it is alone
        try:
            os.killpg(child.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("a process is left")


def test_interrupts_wait_for_what_compiles(monkeypatch):
    """PoCL aborts where its linker is interrupted: the first launch of a kernel is over before Ctrl-C arrives."""
    device, enqueue, held = clgrad.device("cpu").compute, Lane.enqueue, []

    def interrupted(*arguments):
        held.append(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        if len(held) == 1:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        return enqueue(*arguments)
    monkeypatch.setattr(Lane, "enqueue", interrupted)
    kernel = device.kernel("trial.cl", "trial", {}, "P", prelude=f"typedef int salt_{os.getpid()};")
    launch, block = Bound(kernel, (8,), (8,), 1, "", (), (0, 0)), device.allocate(64)
    before, handler = device.clock.submitted, signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            device.run(launch, (block.buffer,), ())
    finally:
        signal.signal(signal.SIGINT, handler)
    assert device.clock.submitted == before + 1
    device.synchronize()
    device.run(launch, (block.buffer,), ())
    device.synchronize()
    block.release()
    assert held == [True, False]


def run_forking(source: str) -> str:
    """What a program prints that forks."""
    return subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(source)], capture_output=True, text=True,
                          timeout=100, check=True).stdout


def test_everything_that_needs_a_device_is_an_error_at_once_in_a_forked_child():
    assert run_forking("""
    import os, time
    import clgrad
    x = clgrad.ones(5000, requires_grad=True)
    y = (x * 2).sum()
    model, lazy = clgrad.nn.Linear(3, 2), clgrad.arange(6)
    child = os.fork()
    if child == 0:
        start, failures = time.monotonic(), 0
        uses = (lambda: x + 1, lambda: y.item(), lambda: y.backward(), lambda: model(clgrad.ones(1, 3)), lambda: print(x * 1),
                lambda: clgrad.synchronize(), lambda: lazy.sum().item(), lambda: clgrad.cuda.empty_cache() or x + 1)
        for use in uses:
            try:
                use()
            except clgrad.errors.ForkedProcessError:
                failures += 1
        os._exit(0 if failures == len(uses) and time.monotonic() - start < 5 else 1 + failures)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), y.item())
    """) == "0 10000.0\n"
