"""Eight threads at once: operators, backward passes, optimizers and builds. What they compute is what one thread computes."""

from __future__ import annotations

from tests.runtime.scripts import run

WORK = """
import threading
import clgrad
from clgrad.nn import functional as F

def work(number):
    generator = clgrad.Generator().manual_seed(number)
    def draw(*shape):
        return clgrad.randn(*shape, generator=generator)
    weights = [draw(5 + number, 7).requires_grad_(), draw(7, 3).requires_grad_(), draw(4, 1, 3, 3).requires_grad_()]
    step = clgrad.optim.Adam(weights, lr=0.01)
    losses = []
    for _ in range(4):
        step.zero_grad()
        hidden = F.gelu(draw(6, 5 + number) @ weights[0])
        pictures = F.max_pool2d(F.conv2d(draw(2, 1, 6, 6 + number % 2), weights[2]), 2)
        loss = F.cross_entropy(hidden @ weights[1], clgrad.arange(6) % 3) + pictures.logsumexp((1, 2, 3)).mean()
        with clgrad.no_grad() if number % 3 == 0 else clgrad.enable_grad():
            extra = loss.detach() * clgrad.arange(10 + number).cumsum(0).double().sort(descending=True).values[0]
        loss.backward()
        step.step()
        losses.append((loss.item(), extra.item(), clgrad.is_grad_enabled()))
    return losses, [w.tolist() for w in weights], [w.grad.tolist() for w in weights]

def together():
    found, failures = [None] * 8, []
    def guarded(number):
        try:
            found[number] = work(number)
        except BaseException as error:
            failures.append(repr(error))
    threads = [threading.Thread(target=guarded, args=(n,), daemon=True) for n in range(8)]
    [t.start() for t in threads]
    [t.join(100) for t in threads]
    assert not any(t.is_alive() for t in threads), "a thread hangs"
    assert failures == [], failures
    return found

first = together()      # kernels are built meanwhile
again = together()
serial = [work(n) for n in range(8)]
assert first == serial and again == serial, "not the same bits"
"""


def test_eight_threads():
    run(WORK)


def test_eight_threads_with_memory_of_its_own():
    run(WORK, CLGRAD_DISCRETE="1")
