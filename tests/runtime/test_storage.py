"""Storage on both memory paths: what is moved, when, how often; exported memory; the pool."""

from __future__ import annotations

import functools
import io

import numpy as np
import pytest

import clgrad
from clgrad import safetensors
from clgrad.utils.data import DataLoader, TensorDataset, default_collate
from tests.runtime.scripts import run

# Counts what crosses the bus: moved["up"] and moved["down"] are the sizes in bytes of each transfer.
COUNTING = """
import numpy as np
import clgrad
from clgrad.runtime import Device
moved = {"up": [], "down": []}
upload, download = Device.upload, Device.download
def counted_upload(self, block, host):
    moved["up"].append(host.nbytes)
    return upload(self, block, host)
def counted_download(self, block, host, byte_offset=0):
    moved["down"].append(host.nbytes)
    return download(self, block, host, byte_offset)
Device.upload, Device.download = counted_upload, counted_download
def taken():
    found = moved["up"][:], moved["down"][:]
    moved["up"].clear(); moved["down"].clear()
    return found
"""

NOTHING_IS_MOVED_TWICE = COUNTING + """
device = clgrad.device("cpu").compute
assert not device.shared_memory
taken()
blocks = device.pool.in_use
x = clgrad.tensor(np.arange(1000, dtype=np.float32))
z = clgrad.zeros(1000)
w = x.reshape(10, 100).t()[3:]
assert taken() == ([], []), "making tensors and views moves nothing"
assert device.pool.in_use == blocks, "and takes no memory"
y = x + z
assert taken() == ([4000], []), "an operand goes up when it is needed, a constant never"
y = x * y + x
assert taken() == ([], []), "what is there stays there"
assert y.tolist()[3] == 12.0
assert taken() == ([], [4000])
y.tolist()
assert taken() == ([], []), "what was looked at and did not change is not fetched again"
y.add_(1)
assert y[7].item() == 57.0
assert taken() == ([], [4]), "one element is one element"
assert repr(clgrad.tensor([1.0, 2.0])) == "tensor([1., 2.])"
assert clgrad.tensor(3.0).item() == 3.0
assert clgrad.zeros(5).tolist() == [0.0] * 5
assert taken() == ([], []), "what never was on the device is not fetched from it"
a = clgrad.randn(4, 4, requires_grad=True)
(a @ a).relu().sum().backward()
assert taken() == ([], []), "a whole training step moves nothing"
"""

EXPORTED = COUNTING + """
t = clgrad.ones(3)
a = t.numpy()
t.add_(1)
assert a.tolist() == [2.0] * 3
a[0] = 9
assert (t * 2).tolist() == [18.0, 4.0, 4.0]
t[1:].mul_(5)
assert a.tolist() == [9.0, 10.0, 10.0]
whole = np.zeros((2, 4), np.float32)
s = clgrad.from_numpy(whole)
w = clgrad.from_numpy(whole[:, ::2])
w.fill_(3)
s[1].add_(1)
assert whole.tolist() == [[3, 0, 3, 0], [4, 1, 4, 1]]
whole[0, 0] = -7
assert s.sum().item() == -7 + 3 + 10 and w[0, 0].item() == -7
clgrad.manual_seed(0)
s.normal_()
assert np.isfinite(whole).all() and abs(whole).max() > 0.1 and s.tolist() == whole.tolist()
weights = clgrad.ones(4, 2, requires_grad=True)
out = clgrad.from_numpy(np.empty((2, 2), np.float32))
with clgrad.no_grad():
    clgrad.mm(s, weights, out=out)
np.testing.assert_allclose(out.numpy(), whole @ np.ones((4, 2), np.float32), rtol=1e-5)
(s @ weights).sum().backward()
g = weights.grad.numpy()
np.testing.assert_allclose(g, np.repeat(whole.sum(0)[:, None], 2, 1), rtol=1e-5)
(s @ weights).sum().backward()
np.testing.assert_allclose(g, 2 * np.repeat(whole.sum(0)[:, None], 2, 1), rtol=1e-5)
for reduced, expected in ((s.sum(0), whole.sum(0)), (s.max(1).values, whole.max(1)), (s.softmax(1).sum(1), [1, 1])):
    np.testing.assert_allclose(reduced.tolist(), expected, rtol=1e-5)
for n in range(50):
    b = (clgrad.full((300,), float(n)) + 1).numpy()
    assert (b == n + 1).all()
i = clgrad.arange(10)
j = i.numpy()
i += 5
assert j.tolist() == list(range(5, 15))
k = clgrad.zeros(4).numpy()
assert k.tolist() == [0.0] * 4
"""

VALUES = """
import clgrad
clgrad.manual_seed(1)
model = clgrad.nn.Sequential(clgrad.nn.Linear(6, 5), clgrad.nn.ReLU(), clgrad.nn.Linear(5, 4))
x, goal = clgrad.randn(5, 6), clgrad.tensor([0, 1, 2, 3, 0])
step = clgrad.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
for _ in range(3):
    step.zero_grad()
    loss = clgrad.nn.functional.cross_entropy(model(x), goal)
    loss.backward()
    step.step()
print(*[f"{v:.4f}" for p in model.parameters() for v in p.flatten().tolist()], f"{loss.item():.4f}")
"""


def test_with_memory_of_its_own_nothing_is_moved_before_it_is_needed_nor_twice():
    run(NOTHING_IS_MOVED_TWICE, CLGRAD_DISCRETE="1")


def test_with_shared_memory_nothing_is_moved_at_all():
    run(COUNTING + """
x = clgrad.tensor(np.arange(1000, dtype=np.float32))
y = (x + clgrad.zeros(1000)) * x
assert y.tolist()[3] == 9.0 and y[5].item() == 25.0
y.numpy()[0] = 4
assert y[0].item() == 4
assert taken() == ([], [])
""")


@pytest.mark.parametrize("discrete", ["0", "1"])
def test_exported_memory_is_current_when_an_operation_returns(discrete):
    run(EXPORTED, CLGRAD_DISCRETE=discrete)


def test_both_paths_train_alike():
    numbers = [[float(v) for v in run(VALUES, CLGRAD_DISCRETE=d).stdout.split()] for d in ("0", "1")]
    assert numbers[0] == pytest.approx(numbers[1], abs=2e-3)


@pytest.mark.parametrize("discrete", ["0", "1"])
def test_the_pool_reuses_and_a_full_device_keeps_what_was_computed(discrete):
    run("""
    from dataclasses import replace
    import gc
    import clgrad
    device = clgrad.device("cpu").compute
    pool = device.pool
    x = clgrad.ones(1000) + 0
    device.synchronize()
    reserved = pool.reserved
    for _ in range(100):
        x = x + 1
    assert pool.reserved - reserved <= 3 * 4096, "freed blocks are used again"
    assert x[0].item() == 101
    in_use = pool.in_use
    y = x * 2
    del y
    assert pool.in_use == in_use
    whole = pool.limits
    pool.limits = replace(whole, max_alloc=1 << 20)
    try:
        clgrad.zeros(1 << 20).add_(1)
        raise SystemExit("no error")
    except clgrad.OutOfMemoryError as error:
        text = str(error)
    assert "4,194,304 bytes" in text and "in use" in text and "allows 1,048,576" in text, text
    assert pool.in_use == in_use, "a failed allocation is not counted"
    assert (x + 1)[0].item() == 102
    w = clgrad.ones(10, requires_grad=True)
    (w * 2).sum().backward()
    assert w.grad.tolist() == [2.0] * 10
    pool.limits = whole
    assert clgrad.zeros(1 << 20).add_(1).sum().item() == 1 << 20
    """, CLGRAD_DISCRETE=discrete)


def test_a_full_device_gives_its_cache_back_first():
    run("""
    from dataclasses import replace
    import clgrad
    pool = clgrad.device("cpu").compute.pool
    kept = clgrad.ones(1000) + 1
    big = clgrad.ones(1 << 20) + 1
    del big
    pool.limits = replace(pool.limits, memory=pool.reserved + (5 << 20))
    other = clgrad.ones(3 << 19) + 1
    assert other[5].item() == 2, "the cached blocks of 4 MiB made room for those of 6"
    try:
        more = clgrad.ones(3 << 19) + 1
        raise SystemExit("no error")
    except clgrad.OutOfMemoryError as error:
        assert "cached" in str(error)
    assert kept.sum().item() == 2000 and other.sum().item() == 2 * (3 << 19)
    del other
    assert (clgrad.ones(3 << 19) + 1)[7].item() == 2
    """, CLGRAD_DISCRETE="1")


def test_huge_views_take_no_memory():
    run("""
    import clgrad
    x = clgrad.ones(1, 2).unsqueeze(0).expand(10000000000000, 3, 2)
    assert x.shape == (10000000000000, 3, 2) and x.stride() == (0, 0, 1)
    assert x[12345678901, 2, 1].item() == 1
    y = clgrad.zeros(10**12)
    assert y.numel() == 10**12
    """)

@pytest.mark.parametrize("discrete", ["0", "1"])
def test_a_dying_tensor_runs_no_python_in_which_a_ctrl_c_would_be_lost(discrete):
    run("""
    import sys
    import numpy as np
    import clgrad
    pool = clgrad.device("cpu").compute.pool
    called = []
    held = pool.in_use
    for make in (lambda: clgrad.zeros(5000), lambda: clgrad.ones(5000) + 1, lambda: clgrad.arange(5000) + 1,
                 lambda: clgrad.from_numpy(np.ones(5000)) * 1, lambda: clgrad.tensor(np.ones(5000)).view(50, 100)):
        x = make()
        y = x + x
        sys.setprofile(lambda frame, event, _: called.append((event, frame.f_code.co_name)) if event == "call" else None)
        del x, y
        sys.setprofile(None)
    assert called == [], called
    assert pool.in_use == held, "and gives its memory back"
    """, CLGRAD_DISCRETE=discrete)


def _read_back(save, load, tensor):
    file = io.BytesIO()
    save({"x": tensor}, file)
    file.seek(0)
    return load(file)["x"]


@pytest.mark.parametrize("made", [
    lambda values: clgrad.tensor(values),
    lambda values: clgrad.tensor(values.tolist()),
    lambda values: clgrad.tensor(values, dtype=clgrad.float16),
    lambda values: default_collate([clgrad.from_numpy(row) for row in values]),
    lambda values: next(iter(DataLoader(TensorDataset(clgrad.from_numpy(values)), batch_size=len(values), shuffle=True)))[0],
    lambda values: _read_back(clgrad.save, clgrad.load, clgrad.from_numpy(values)),
    lambda values: _read_back(functools.partial(clgrad.save, _use_new_zipfile_serialization=False), clgrad.load,
                              clgrad.from_numpy(values)),
    lambda values: safetensors.load(safetensors.save({"x": clgrad.from_numpy(values)}))["x"],
], ids=["array", "lists", "converted", "collated", "gathered", "loaded", "loaded from the older layout", "safetensors"])
def test_copied_data_begins_where_vectors_do(made):
    """Kernels on rows that cross lines of the cache take up to a quarter longer; the host's allocator gives 16 bytes."""
    values = np.random.default_rng(0).normal(size=(32, 37)).astype(np.float32)
    kept = [made(values) for _ in range(4)]
    assert [x.data_ptr() % 64 for x in kept] == [0] * len(kept)
    assert all(sorted(x.float().reshape(-1).tolist()) == pytest.approx(sorted(values.reshape(-1).tolist()), abs=2e-3)
               for x in kept)
