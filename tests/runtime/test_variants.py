"""How many programs a network needs: sizes are arguments of kernels, so other sizes compile nothing anew."""

import json
import subprocess
import sys
from collections import Counter

import pytest

import clgrad

PROGRAM = """
import json
import clgrad
from clgrad import nn

def train(batch, side, width):
    flat = 16 * ((side - 4) // 2 - 4) ** 2 // 4
    net = nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
                        nn.Flatten(), nn.Linear(flat, width), nn.ReLU(), nn.Linear(width, 84), nn.ReLU(), nn.Linear(84, 10))
    optimizer = clgrad.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    x, target = clgrad.randn(batch, 1, side, side), clgrad.randint(0, 10, (batch,))
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), target).backward()
        optimizer.step()
    clgrad.synchronize()

def programs():
    device = clgrad.device("cpu").compute
    return [sorted((file, *(value for name, value in macros if name in ("KERNEL_NAME", "KIND")), repr((macros, prelude)))
                   for file, macros, prelude in lane._programs) for lane in (device.lane, device.here) if lane is not None]

train(4, 32, 120)
train(32, 32, 120)
first = programs()
train(8, 28, 100)
train(48, 28, 100)
print(json.dumps([first, programs()]))
"""


@pytest.fixture(scope="module")
def programs():
    """For each lane the programs after LeNet was trained, and after it was trained with other sizes."""
    if not clgrad.device("cpu").compute.is_cpu:
        pytest.skip("this device is no CPU, whose programs are counted")
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_network_needs_few_programs(programs):
    for lane in programs[0]:
        assert len(lane) <= 14


def test_no_program_is_built_twice(programs):
    for lane in programs[1]:
        # An optimizer's first step, at which its states begin, is a program of its own.
        doubled = {name: count for name, count in Counter(tuple(program[:-1]) for program in lane).items() if count > 1}
        assert set(doubled) <= {("optimizer.cl",)}
        assert all(count == 2 for count in doubled.values())


def test_other_sizes_need_no_other_programs(programs):
    first, later = programs
    # Which launches find nothing under way, and run in the caller's thread, is a matter of time; what runs there is the same.
    known, needed = ({tuple(program) for lane in lanes for program in lane} for lanes in (first, later))
    assert needed == known
