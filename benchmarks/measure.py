"""Timing the same work in two libraries, in turns, within one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import clgrad

ROUNDS = 7
ROUND_SECONDS = 0.05
LEAD_SECONDS = 0.02


@dataclass
class Row:
    """One line of the report. ``build(library)`` returns the work as a function without arguments.

    The function returns a tensor or a tuple of tensors, which have to agree between the libraries within
    ``tolerance`` of the largest value (None where the work changes its own inputs: then ``build`` is checked by the
    losses that it returns). ``flops`` and ``bytes`` are those of one call; 0 where a share of the peak says nothing.
    """

    group: str
    name: str
    build: Callable[[Any], Callable[[], Any]]
    flops: float = 0.0
    bytes: float = 0.0
    tolerance: float = 1e-4


def values(*shape: int) -> np.ndarray:
    """Standard normal float32 numbers, the same in every run."""
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def tensors(library: Any, *shapes: tuple[int, ...], requires_grad: bool = False) -> list[Any]:
    """Inputs of a row, the same in both libraries."""
    return [library.tensor(values(*shape), requires_grad=requires_grad) for shape in shapes]


@dataclass
class Measured:
    """The best seconds a call of each library, and of clgrad the caller's own part."""

    reference: float
    clgrad: float
    host: float

    @property
    def ratio(self) -> float:
        """PyTorch's time over clgrad's: above 1 clgrad is faster."""
        return self.reference / self.clgrad


def arrays_of(result: Any) -> list[np.ndarray]:
    """Tensors of either library as arrays."""
    results = result if isinstance(result, (tuple, list)) else (result,)
    found = [r.detach().clone().numpy() for r in results]
    return [array.astype(np.result_type(array, np.float64)) for array in found]


def check(row: Row, expected: Any, found: Any) -> None:
    """RuntimeError where the two libraries' results differ."""
    for a, b in zip(arrays_of(expected), arrays_of(found), strict=True):
        scale = max(float(np.abs(a).max(initial=0.0)), 1e-30)
        error = float(np.abs(a - b).max(initial=0.0)) / scale
        if not error <= row.tolerance:
            raise RuntimeError(f"{row.group} {row.name}: results differ by {error:.2e} of their size")


def _loop(work: Callable[[], Any], calls: int, wait: Callable[[], None]) -> tuple[float, float]:
    """Seconds a call until the caller has it back, and until all of them are done.

    The calls of the first moments are not counted: PyTorch's threads spin for some milliseconds after its last
    call and take a core from clgrad's, and what one library computed has driven the other's operands out of caches.
    """
    lead = time.perf_counter() + LEAD_SECONDS
    while time.perf_counter() < lead:
        work()
        wait()
    start = time.perf_counter()
    for _ in range(calls):
        work()
    returned = time.perf_counter()
    wait()
    return (returned - start) / calls, (time.perf_counter() - start) / calls


def measure(row: Row, torch: Any, rounds: int = ROUNDS) -> Measured:
    """Runs a row in both libraries, in turns; the best of the rounds counts for both."""
    theirs, ours = row.build(torch), row.build(clgrad)
    check(row, theirs(), ours())

    def nothing() -> None:
        """PyTorch's CPU work is done when it returns."""
    # The first calls compile, for each of a device's lanes.
    calls, own_calls = (max(1, min(2000, int(ROUND_SECONDS / max(min(_loop(work, 2, wait)[1] for _ in range(2)), 1e-7))))
                        for work, wait in ((theirs, nothing), (ours, clgrad.synchronize)))
    best = Measured(float("inf"), float("inf"), float("inf"))
    for _ in range(rounds):
        best.reference = min(best.reference, _loop(theirs, calls, nothing)[1])
        host, whole = _loop(ours, own_calls, clgrad.synchronize)
        best.host, best.clgrad = min(best.host, host), min(best.clgrad, whole)
    return best


def peaks() -> tuple[float, float]:
    """What the default device reaches at its best: floating-point operations and bytes a second."""
    n = 1024
    a, b = clgrad.randn(n, n), clgrad.randn(n, n)
    x = clgrad.ones(1 << 24)

    def rate(work: Callable[[], Any], amount: float) -> float:
        work()
        return amount / min(_loop(work, 3, clgrad.synchronize)[1] for _ in range(5))
    return rate(lambda: a @ b, 2.0 * n**3), rate(lambda: x.neg(), 2.0 * x.nbytes)
