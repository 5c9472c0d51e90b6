"""The work of sequence models that is measured: look-ups, attention, recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.measure import Row, tensors

ATTENTION = (8, 8, 512, 64)  # batch, heads, steps, size
STEPS, BATCH, HIDDEN = 32, 16, 128


def lookups() -> Iterator[Row]:
    """Rows of a table by integers, and the gradient of the table."""
    for words, width, count in ((1000, 64, 512), (32000, 256, 4096)):
        for backward in (False, True):
            def build(library: Any, shape: tuple = (words, width), count: int = count,
                      backward: bool = backward) -> Callable:
                (table,) = tensors(library, shape, requires_grad=backward)
                places = library.tensor(np.random.default_rng(0).integers(0, shape[0], count))
                (grad,) = tensors(library, (count, shape[1]))

                def forward() -> Any:
                    return library.nn.functional.embedding(places, table)
                if not backward:
                    return forward
                found = forward()
                return lambda: library.autograd.grad(found, table, grad, retain_graph=True)
            size = 8.0 * width * count + (4.0 * words * width if backward else 0)
            yield Row("embedding", f"{'gradient' if backward else 'forward'} {count} of {words}x{width}", build,
                      bytes=size)


def attention() -> Iterator[Row]:
    """scaled_dot_product_attention, with and without causality."""
    batch, heads, steps, size = ATTENTION
    for causal in (False, True):
        for backward in (False, True):
            def build(library: Any, causal: bool = causal, backward: bool = backward) -> Callable:
                q, k, v = tensors(library, ATTENTION, ATTENTION, ATTENTION, requires_grad=backward)
                (grad,) = tensors(library, ATTENTION)

                def forward() -> Any:
                    return library.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
                if not backward:
                    return forward
                found = forward()
                return lambda: library.autograd.grad(found, (q, k, v), grad, retain_graph=True)
            flops = 4.0 * batch * heads * steps * steps * size * (2.5 if backward else 1) / (2 if causal else 1)
            yield Row("attention", f"{'backward' if backward else 'forward'} {'causal ' if causal else ''}"
                                   f"{'x'.join(map(str, ATTENTION))}", build, flops=flops, tolerance=1e-3)


def recurrent() -> Iterator[Row]:
    """Recurrent layers over whole sequences."""
    for name, gates in (("LSTM", 4), ("GRU", 3)):
        for backward in (False, True):
            def build(library: Any, name: str = name, backward: bool = backward) -> Callable:
                layer = getattr(library.nn, name)(HIDDEN, HIDDEN)
                with library.no_grad():
                    for parameter in layer.parameters():
                        parameter.copy_(tensors(library, tuple(parameter.shape))[0] * HIDDEN**-0.5)
                (x,) = tensors(library, (STEPS, BATCH, HIDDEN), requires_grad=backward)
                if not backward:
                    def forward() -> Any:
                        with library.no_grad():
                            return layer(x)[0]
                    return forward

                def both() -> Any:
                    found = layer(x)[0]
                    return library.autograd.grad(found.sum(), (x, *layer.parameters()))
                return both
            flops = 4.0 * STEPS * BATCH * gates * HIDDEN * HIDDEN * (3 if backward else 1)
            yield Row("recurrent", f"{name} {'step' if backward else 'forward'} {STEPS}x{BATCH}x{HIDDEN}", build,
                      flops=flops, tolerance=1e-3)


GROUPS = {"embedding": lookups, "attention": attention, "recurrent": recurrent}
