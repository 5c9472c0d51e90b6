"""The same bits in every run: with one thread of the driver and with many, on both memory paths, on every device."""

from __future__ import annotations

import pytest

import clgrad
from clgrad.runtime import devices
from tests.runtime.scripts import run

TRAINING = """
import hashlib, sys
import clgrad
from clgrad.nn import functional as F
place = PLACE
clgrad.manual_seed(3)
model = clgrad.nn.Sequential(
    clgrad.nn.Conv2d(1, 8, 3, padding=1), clgrad.nn.BatchNorm2d(8), clgrad.nn.ReLU(), clgrad.nn.MaxPool2d(2),
    clgrad.nn.Dropout(0.2), clgrad.nn.Flatten(), clgrad.nn.Linear(8 * 8 * 8, 64), clgrad.nn.Tanh(), clgrad.nn.Linear(64, 10))
table = clgrad.nn.Embedding(20, 64)
model, table = model.to(place), table.to(place)
step = clgrad.optim.AdamW([*model.parameters(), *table.parameters()], lr=1e-2)
x = clgrad.rand(64, 1, 16, 16).to(place)
y = clgrad.randint(0, 10, (64,)).to(place)
words = clgrad.randint(0, 20, (64, 5)).to(place)
for _ in range(5):
    step.zero_grad()
    loss = F.cross_entropy(model(x), y) + table(words).sum((1, 2)).square().mean() * 1e-3
    loss.backward()
    step.step()
state = [p.detach().cpu() for p in (*model.parameters(), *table.parameters())]
print(hashlib.sha256(b"".join(p.numpy().tobytes() for p in state)).hexdigest(), loss.item())
"""
# So many threads share the work of a launch.
THREADS = "import clgrad; print(clgrad.device('cpu').compute.lane.handle.max_compute_units)"


def trained(place: str = '"cpu"', **environment: str | None) -> str:
    return run(TRAINING.replace("PLACE", place), **environment).stdout


def test_a_training_run_repeated_gives_the_same_bits():
    assert trained() == trained()


def test_the_number_of_threads_does_not_matter():
    one, many = {"POCL_MAX_PTHREAD_COUNT": "1"}, {"POCL_MAX_PTHREAD_COUNT": "8"}
    counts = [run(THREADS, **each).stdout for each in (one, many)]
    if counts[0] == counts[1]:
        pytest.skip("this driver has no setting for its number of threads")
    assert trained(**one) == trained(**many) == trained()


@pytest.mark.parametrize("place", ['"cuda"', '"cl:0"'])
def test_a_gpu_repeats_itself(place):
    assert trained(place, CLGRAD_DISCRETE="1") == trained(place, CLGRAD_DISCRETE="1")


STREAMS = """
import clgrad
def draws(place):
    clgrad.manual_seed(11)
    return [clgrad.rand(1000, device=place), clgrad.randn(777, device=place),
            clgrad.randint(0, 1 << 40, (333,), device=place),
            clgrad.randperm(257, device=place), clgrad.empty(500, device=place).exponential_(),
            clgrad.bernoulli(clgrad.full((300,), 0.3, device=place)),
            clgrad.rand(5, dtype=clgrad.float64, device=place),
            clgrad.nn.functional.dropout(clgrad.ones(400, device=place), 0.4),
            clgrad.multinomial(clgrad.ones(9, device=place), 5), clgrad.rand(3, device=place)]
for place in PLACES:
    print(*[[f"{v:.5g}" for v in t.double().tolist()] for t in draws(place)])
"""


def test_random_streams_agree_between_devices_and_memory_paths():
    places = ["cpu", *(f"cl:{number}" for number in range(len(devices())))]
    shared = run(STREAMS.replace("PLACES", repr(places))).stdout.splitlines()
    own = run(STREAMS.replace("PLACES", repr([*places, "cuda"])), CLGRAD_DISCRETE="1").stdout.splitlines()
    assert len({*shared, *own}) == 1


def test_generators_of_devices_start_alike():
    first = clgrad.rand(10, generator=clgrad.Generator().manual_seed(5))
    assert first.tolist() == clgrad.rand(10, generator=clgrad.Generator().manual_seed(5)).tolist()
