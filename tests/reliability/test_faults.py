"""Drivers that fail: a device that is lost, and what is left; kernels that do not build; saving that is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

import clgrad
from tests.runtime.scripts import run

LOST = """
import clgrad
from clgrad.errors import DeviceLostError, DeviceError
from clgrad.runtime.kernel import Lane
from clgrad.runtime.device import Device
import pyopencl as cl

class Gone(cl.RuntimeError):
    code = CODE

device = clgrad.device("cpu").compute
x = clgrad.arange(4.0) + 1
assert x.tolist() == [1, 2, 3, 4]
works = Lane.enqueue
def enqueue(self, kernel, global_size, local_size):
    if self in (device.lane, device.here):
        raise Gone("CODE")
    return works(self, kernel, global_size, local_size)
Lane.enqueue = enqueue
try:
    x * 2
    raise SystemExit("no error")
except DeviceError as error:
    first = error
"""


@pytest.mark.parametrize("code", [-2, -36, -9999])
def test_a_lost_device_is_dead_and_says_so(code):
    run(LOST.replace("CODE", str(code)) + """
assert isinstance(first, DeviceLostError) and "launching pointwise_mul" in str(first), first
assert "This device is lost" in str(first) and device.limits.name in str(first)
Lane.enqueue = works  # it stays dead, also where the driver answers again
for use in (lambda: x * 2, lambda: clgrad.ones(5000).exp().sum().item(), clgrad.synchronize):
    try:
        use()
        raise SystemExit("no error")
    except DeviceLostError as error:
        assert "This device is lost" in str(error)
# Another device goes on: the same hardware opened once more stands for it.
from clgrad.runtime import devices
import sys
module = sys.modules["clgrad.runtime.devices"]
handle, limits, companion = module._discover()[device.index]
module._opened[device.index] = Device(handle, device.index, limits, companion)
for name in ("cpu", "cl:0"):
    clgrad.device(name).compute = module.resolve(clgrad.device(name))
assert (clgrad.ones(3, device="cl:0") * 2).tolist() == [2, 2, 2]
""")


def test_an_error_of_one_launch_does_not_end_a_device():
    run(LOST.replace("CODE", "-54") + """
assert type(first) is DeviceError and "lost" not in str(first), first
Lane.enqueue = works
assert (x * 2).tolist() == [2, 4, 6, 8]
""")


def test_memory_that_a_driver_takes_only_at_the_launch():
    run(LOST.replace("CODE", "-4") + """
assert isinstance(first, clgrad.OutOfMemoryError) and "in use by tensors" in str(first), first
Lane.enqueue = works
assert (x * 2).tolist() == [2, 4, 6, 8]
""")


def test_a_kernel_that_does_not_build_leaves_the_others():
    x = clgrad.ones(3)
    device = x.device.compute
    kernel = device.kernel("elementwise.cl", "broken", {"ODD": 3}, "P", prelude="#error as planned")
    for _ in range(2):
        with pytest.raises(clgrad.errors.BuildError, match=r"(?s)elementwise.cl does not compile.*ODD=3.*as planned"):
            kernel.make(device.lane)
    assert (x + 1).tolist() == [2, 2, 2]


SAVING = """
import sys, time
import clgrad
path = sys.argv[1]
clgrad.save({"x": clgrad.zeros(1000)}, path)
large = {"x": clgrad.ones(1 << 22), "y": clgrad.ones(1 << 22)}
print("ready", flush=True)
while True:
    clgrad.save(large, path)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_saving_that_is_interrupted_leaves_a_whole_file(tmp_path, how):
    path = tmp_path / "model.pth"
    child = subprocess.Popen([sys.executable, "-c", SAVING, str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             env={**os.environ, "CLGRAD_DISCRETE": "0"})
    child.stdout.readline()
    time.sleep(0.2)
    child.send_signal(how)
    child.wait(timeout=60)
    child.stdout.close()
    found = clgrad.load(path)["x"]
    assert found.shape in ((1000,), (1 << 22,)) and found.unique().numel() == 1
    if how == signal.SIGINT:
        assert [file.name for file in tmp_path.iterdir()] == ["model.pth"]
