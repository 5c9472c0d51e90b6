"""Memory that runs out, and memory that stays the same; tensors too large for 32-bit indices.

Long runs: ``python -m pytest -n 0 -m long tests/reliability/test_memory.py``.
"""

from __future__ import annotations

import pytest

import clgrad
from tests.runtime.scripts import run

OUT_OF_MEMORY = """
import clgrad
from clgrad.cuda import set_per_process_memory_fraction
clgrad.manual_seed(1)
pool = clgrad.device("cpu").compute.pool
kept = clgrad.randn(1000)
values = kept.tolist()
model = clgrad.nn.Sequential(clgrad.nn.Linear(64, 64), clgrad.nn.Tanh(), clgrad.nn.Linear(64, 64), clgrad.nn.Tanh())
before = [p.tolist() for p in model.parameters()]

def step(batch, limit=None):
    model.zero_grad()
    out = model(clgrad.ones(batch, 64)) ** 2
    out = (out * out.detach()).sum()
    if limit is not None:  # what the backward pass allocates first fits, what comes later does not
        clgrad.cuda.empty_cache()
        set_per_process_memory_fraction((pool.reserved + limit) / pool.limits.memory, "cpu")
    out.backward()
    return [p.grad.tolist() for p in model.parameters()]

expected = step(8)
held = pool.in_use
failures = 0
for limit in (1 << 20, 2 << 20):
    try:
        step(8192, limit)
        raise SystemExit("no error")
    except clgrad.OutOfMemoryError as error:
        failures += 1
        text = str(error)
        assert "tried to allocate" in text and "in use by tensors" in text and "may be held" in text, text
    set_per_process_memory_fraction(1.0, "cpu")
    assert clgrad.is_grad_enabled()
    model.zero_grad()
    assert kept.tolist() == values and [p.tolist() for p in model.parameters()] == before
    assert pool.in_use <= held, "what the failed pass held is free again"
    assert step(8) == expected, "the next smaller step"
assert failures == 2
"""


@pytest.mark.parametrize("discrete", ["0", "1"])
def test_memory_runs_out_in_a_backward_pass(discrete):
    run(OUT_OF_MEMORY, CLGRAD_DISCRETE=discrete)


@pytest.mark.parametrize("discrete", ["0", "1"])
def test_more_than_the_device_has_and_more_than_it_gives_at_once(discrete):
    run("""
    import clgrad
    device = clgrad.device("cpu").compute
    kept = clgrad.arange(10) * 2
    for elements, words in ((device.limits.max_alloc + 1, "at once"), (device.limits.memory * 2, "at once")):
        for attempt in range(2):
            try:
                clgrad.zeros(elements, dtype=clgrad.int8).add_(1)
                raise SystemExit("no error")
            except clgrad.OutOfMemoryError as error:
                assert words in str(error), error
    clgrad.cuda.set_per_process_memory_fraction(0.0, "cpu")
    try:
        clgrad.zeros(1 << 22, dtype=clgrad.int8).add_(1)
        raise SystemExit("no error")
    except clgrad.cuda.OutOfMemoryError as error:
        assert ": 0 bytes may be held" in str(error), error
    clgrad.cuda.set_per_process_memory_fraction(1.0, "cpu")
    assert (kept + clgrad.zeros(10)).tolist() == list(range(0, 20, 2))
    """, CLGRAD_DISCRETE=discrete)


def test_fractions():
    assert clgrad.cuda.get_per_process_memory_fraction("cpu") == 1.0
    with pytest.raises(ValueError, match="Allowed range"):
        clgrad.cuda.set_per_process_memory_fraction(1.5, "cpu")
    with pytest.raises(TypeError, match="float"):
        clgrad.cuda.set_per_process_memory_fraction("all", "cpu")


STEPS = """
import gc, resource, sys
import clgrad
clgrad.manual_seed(0)
model = clgrad.nn.Sequential(clgrad.nn.Conv2d(1, 4, 3), clgrad.nn.BatchNorm2d(4), clgrad.nn.ReLU(), clgrad.nn.Flatten(),
                             clgrad.nn.Dropout(0.1), clgrad.nn.Linear(144, 10))
step = clgrad.optim.Adam(model.parameters(), lr=1e-3)
pool = clgrad.device("cpu").compute.pool
x, goal = clgrad.randn(8, 1, 8, 8), clgrad.arange(8)
found = []
for number in range(COUNT + 200):
    step.zero_grad()
    loss = clgrad.nn.functional.cross_entropy(model(x * 1.0), goal)
    loss.backward()
    step.step()
    if number % 10 == 0:
        loss.item()
    if number in (199, COUNT + 199):
        del loss
        gc.collect()
        clgrad.synchronize()
        found.append((pool.in_use, pool.reserved, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
print(found)
(in_use, reserved, resident), (in_use_then, reserved_then, resident_then) = found
assert in_use_then == in_use, found
assert reserved_then <= reserved + (1 << 20), found
assert resident_then <= resident + (8 << 10), found
"""


@pytest.mark.parametrize("discrete", ["0", "1"])
@pytest.mark.parametrize(("steps", "seconds"), [(300, 120), pytest.param(10000, 1500, marks=[
    pytest.mark.long, pytest.mark.timeout(1600)])])
def test_training_leaves_memory_where_it_was(steps, seconds, discrete):
    run(STEPS.replace("COUNT", str(steps)), timeout=seconds, CLGRAD_DISCRETE=discrete)


LARGE = """
import clgrad
n = (1 << 31) + 1000
x = clgrad.zeros(n, dtype=clgrad.int8)
x[-1] = 3
x[5] = 2
x[1 << 31] = 7
assert x[-1].item() == 3 and x[(1 << 31) + 1].item() == 0 and x[1 << 31].item() == 7
assert x.sum().item() == 12 and x.count_nonzero().item() == 3
assert x[n - 10:].sum().item() == 3 and x[::1 << 20].sum().item() == 7
assert x.argmax().item() == 1 << 31 and x.max().item() == 7
assert (x == 7).nonzero().tolist() == [[1 << 31]]
places = clgrad.tensor([5, n - 1, 1 << 31, 0])
assert x.gather(0, places).tolist() == x[places].tolist() == x.index_select(0, places).tolist() == [2, 3, 7, 0]
wide = x[:1 << 31].view(2, -1)
assert wide.sum(1).tolist() == [2, 0] and wide.t()[5].tolist() == [2, 0]
y = x.clone()
assert clgrad.equal(x[-1000:], y[-1000:]) and y.sum().item() == 12
del y
both = clgrad.cat([x[:1000], x])
assert both[-1].item() == 3 and both[(1 << 31) + 1000].item() == 7 and both.sum().item() == 14
del both
x.add_(1)
assert x[-1].item() == 4 and x[1 << 30].item() == 1
x.index_fill_(0, places, 9)
assert x[places].tolist() == [9] * 4
"""


@pytest.mark.long
@pytest.mark.timeout(1600)
def test_more_elements_than_32_bits_count():
    if memory_available() < 12 << 30:
        pytest.skip("this machine has less than 12 GiB of free memory")
    run(LARGE, timeout=1500)


def memory_available() -> int:
    """Bytes of memory that this machine could give, as far as it says."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 0
