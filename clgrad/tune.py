"""``python -m clgrad tune``: measures which numbers suit a device's matrix products, and keeps the best for later runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np

from clgrad import dtypes
from clgrad.errors import DeviceError
from clgrad.kernels import gemm
from clgrad.runtime import Device, tuning

# m, n, k, and whether A and B are transposed: what layers of networks multiply, small enough to be timed quickly
SHAPES = ((512, 512, 512, False, False), (1024, 1024, 512, False, True), (1024, 784, 128, True, False),
          (2048, 64, 512, False, False), (16, 1024, 1024, False, True), (64, 64, 8192, False, False))
TOLERANCE = 1e-4  # of the sum of absolute products
GAIN = 0.98  # a candidate has to take less than this share of the best one's time


class _Case:
    """A product with its operands on the device and its result in NumPy."""

    def __init__(self, device: Device, m: int, n: int, k: int, flip_a: bool, flip_b: bool):
        self.device, self.shape = device, (m, n, k)
        rng = np.random.default_rng(m + n + k)
        a, b = (rng.standard_normal(size).astype(np.float32) for size in ((m, k), (k, n)))
        self.expected, self.scale = a.astype(np.float64) @ b, np.abs(a) @ np.abs(b)
        self.strides = ((0, 1, m) if flip_a else (0, k, 1), (0, 1, k) if flip_b else (0, n, 1), (0, n, 1))
        self.blocks = [device.allocate(size * 4) for size in (m * k, k * n, m * n)]
        for block, array, flip in zip(self.blocks, (a, b), (flip_a, flip_b), strict=False):
            device.upload(block, np.ascontiguousarray(array.T if flip else array).view(np.uint8))

    def planned(self, numbers: gemm.Tuning) -> Callable[[], None]:
        """The product as a function, checked once; DeviceError where it is wrong."""
        plan = gemm.plan(self.device, dtypes.float32, 1, *self.shape, *self.strides, tuning=numbers)
        a, b, c = (block.buffer for block in self.blocks)
        operands = (a, b, c, c), (0, 0, 0, 0)
        plan(*operands)
        result = np.empty(self.expected.shape, np.float32)
        self.device.download(self.blocks[2], result)
        if not np.all(np.abs(result - self.expected) <= TOLERANCE * self.scale):
            raise DeviceError(f"a product of {self.shape} is wrong with {numbers}")
        return lambda: plan(*operands)

    def release(self) -> None:
        """Gives the operands' memory back."""
        for block in self.blocks:
            block.release()


def tune(device: Device, *, rounds: int = 9, say: Callable[[str], object] = print) -> dict[str, int]:
    """Tries each number of :class:`gemm.Tuning` in turn, keeps what is faster over all shapes, and stores the result.

    A candidate whose results are wrong, or which does not compile, is passed over.
    """
    best = gemm.Tuning()
    cases = [_Case(device, *shape) for shape in SHAPES]
    try:
        for name in gemm.candidates(device):
            best = _better(device, cases, best, name, rounds, say)
        if best != gemm.Tuning() and not _confirmed(device, cases, best, rounds, say):
            best = gemm.Tuning()
    finally:
        for case in cases:
            case.release()
    chosen = {name: getattr(best, name) for name in gemm.candidates(device)}
    say(f"kept in {tuning.store(device.limits, 'gemm', chosen)}")
    return chosen


def _better(device: Device, cases: list[_Case], best: gemm.Tuning, name: str, rounds: int,
            say: Callable[[str], object]) -> gemm.Tuning:
    """The better of the candidates for one number."""
    runs: dict[int, list[Callable[[], None]]] = {}
    for value in dict.fromkeys([asdict(best)[name], *gemm.candidates(device)[name]]):
        try:
            runs[value] = [case.planned(replace(best, **{name: value})) for case in cases]
        except DeviceError as problem:
            say(f"  {name} = {value}: passed over: {str(problem).splitlines()[0]}")
    times = _times(device, runs, rounds)
    current = next(iter(runs))
    for value in runs:
        share = _share(times[value], times[current])
        say(f"  {name} = {value}: {sum(times[value]) * 1e3:.2f} ms, {share:.2f} of {current}'s")
        if value != current and share < GAIN:
            current = value
    return replace(best, **{name: current})


def _confirmed(device: Device, cases: list[_Case], best: gemm.Tuning, rounds: int, say: Callable[[str], object]) -> bool:
    """Whether all numbers together still beat the ones that would be used without them, in a longer comparison."""
    runs = {number: [case.planned(numbers) for case in cases] for number, numbers in enumerate((gemm.Tuning(), best))}
    times = _times(device, runs, 3 * rounds)
    share = _share(times[1], times[0])
    say(f"  all together: {share:.2f} of the time without them")
    return share < GAIN


def _share(times: list[float], others: list[float]) -> float:
    """The geometric mean of times over others: shapes count alike, whatever they cost."""
    return float(np.exp(np.mean(np.log(np.array(times) / np.array(others)))))


def _times(device: Device, runs: dict[int, list[Callable[[], None]]], rounds: int) -> dict[int, list[float]]:
    """The shortest of some rounds for each shape; the candidates take turns."""
    times = {value: [float("inf")] * len(cases) for value, cases in runs.items()}
    for _ in range(rounds):
        for value, cases in runs.items():
            for number, run in enumerate(cases):
                start = time.perf_counter()
                run()
                device.synchronize()
                times[value][number] = min(times[value][number], time.perf_counter() - start)
    return times
