"""The matrix products that are measured: square, flat, deep, of one row, transposed, batched, and a linear layer's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.measure import Row, tensors

SQUARE = (64, 128, 256, 512, 1024, 2048, 4096)
# m, n, k: tall, wide, shallow, deep, one row, one column, sizes that fill no tile
SHAPES = ((4096, 64, 512), (64, 4096, 512), (4096, 4096, 64), (64, 64, 4096), (16, 1024, 1024), (128, 1024, 784),
          (1, 4096, 4096), (4096, 1, 4096), (1, 512, 512), (333, 333, 333))
TRANSPOSED = (64, 256, 1024)
BATCHED = ((64, 128, 128, 64), (64, 128, 64, 128), (256, 32, 32, 32), (16, 256, 256, 256))  # batch, m, n, k
LINEAR = ((1, 4096, 4096), (16, 1024, 1024), (128, 784, 1024), (32, 512, 10))  # rows, inputs, outputs


def products() -> Iterator[Row]:
    """Products of two matrices, of batches, and what a linear layer computes."""
    for n in SQUARE:
        yield _row(n, n, n)
    for m, n, k in SHAPES:
        yield _row(m, n, k)
    for n in TRANSPOSED:
        for flips in ("NT", "TN", "TT"):
            yield _row(n, n, n, flips=flips)
    for batch, m, n, k in BATCHED:
        yield _row(m, n, k, batch)
        yield _row(m, n, k, batch, "NT")
    for rows, inputs, outputs in LINEAR:
        yield Row("gemm", f"linear {rows}x{inputs} by {outputs}x{inputs}", _linear((rows, inputs), (outputs, inputs)),
                  flops=2.0 * rows * inputs * outputs, bytes=4.0 * inputs * (rows + outputs))
    m, k, n = 128, 784, 1024
    yield _row(n, k, m, flips="TN", name=f"weight gradient {n}x{k}x{m}")


def _row(m: int, n: int, k: int, batch: int = 0, flips: str = "NN", name: str = "") -> Row:
    """A product of A (m x k) and B (k x n); T in ``flips``: that operand is the transpose of a dense matrix."""
    left, right = (k, m) if flips[0] == "T" else (m, k), (n, k) if flips[1] == "T" else (k, n)
    front = (batch,) if batch else ()

    def build(library: Any) -> Callable:
        a, b = tensors(library, front + left, front + right)
        a = a.transpose(-2, -1) if flips[0] == "T" else a
        b = b.transpose(-2, -1) if flips[1] == "T" else b
        return lambda: a @ b
    count = max(1, batch)
    label = name or f"{f'{batch} of ' if batch else ''}{m}x{n}x{k}{'' if flips == 'NN' else ' ' + flips}"
    return Row("gemm", label, build, flops=2.0 * count * m * n * k, bytes=4.0 * count * (m * k + k * n + m * n))


def _linear(rows: tuple[int, int], weight: tuple[int, int]) -> Callable:
    def build(library: Any) -> Callable:
        x, w, bias = tensors(library, rows, weight, weight[:1])
        return lambda: library.nn.functional.linear(x, w, bias)
    return build


GROUPS = {"gemm": products}
