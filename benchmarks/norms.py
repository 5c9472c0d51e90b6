"""Layers that are measured: norms, dropout, resizing, larger pools, the cross entropy of many classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks.measure import Row, tensors


def _with_gradient(function: Callable[..., Any], *shapes: tuple[int, ...]) -> Callable:
    """Runs ``function(library, *tensors)`` and the gradients of the sum of its result."""
    def build(library: Any) -> Callable:
        given = tensors(library, *shapes, requires_grad=True)

        def work() -> Any:
            return library.autograd.grad(function(library, *given).sum(), given)
        return work
    return build


def norms() -> Iterator[Row]:
    """Batch, layer, group and root-mean-square norms, with gradients."""
    for n, c, size in ((32, 16, 32), (32, 64, 16)):
        shape, spread = (n, c, size, size), 4.0 * n * c * size * size * 5
        name = "x".join(map(str, shape))

        def batch(library: Any, x: Any, weight: Any, bias: Any) -> Any:
            return library.nn.functional.batch_norm(x, None, None, weight, bias, True) * x

        def group(library: Any, x: Any, weight: Any, bias: Any) -> Any:
            return library.nn.functional.group_norm(x, 4, weight, bias) * x
        yield Row("norm", f"batch_norm and gradient {name}", _with_gradient(batch, shape, (c,), (c,)), bytes=spread)
        yield Row("norm", f"group_norm and gradient {name}", _with_gradient(group, shape, (c,), (c,)), bytes=spread)
    for rows, columns in ((512, 256), (2048, 768)):
        def layer(library: Any, x: Any, weight: Any, bias: Any) -> Any:
            return library.nn.functional.layer_norm(x, weight.shape, weight, bias) * x

        def rms(library: Any, x: Any, weight: Any) -> Any:
            return library.nn.functional.rms_norm(x, weight.shape, weight) * x
        size = (columns,)
        for kind, function, more in (("layer", layer, (size, size)), ("rms", rms, (size,))):
            yield Row("norm", f"{kind}_norm and gradient {rows}x{columns}",
                      _with_gradient(function, (rows, columns), *more), bytes=20.0 * rows * columns)


def layers() -> Iterator[Row]:
    """Dropout, resizing, padding, pooling of volumes; the loss of a language model's 32,000 classes."""
    def resized(library: Any, x: Any) -> Any:
        return library.nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    def repeated(library: Any, x: Any) -> Any:
        return library.nn.functional.interpolate(x, scale_factor=2)

    def padded(library: Any, x: Any) -> Any:
        return library.nn.functional.pad(x, (1, 1, 1, 1), "reflect")

    def volumes(library: Any, x: Any) -> Any:
        return library.nn.functional.max_pool3d(x, 2)

    def sampled(library: Any, x: Any, grid: Any) -> Any:
        return library.nn.functional.grid_sample(x, grid, align_corners=False)
    image = (8, 16, 32, 32)
    for name, function, shape in (("bilinear x2", resized, image), ("nearest x2", repeated, image),
                                  ("reflection pad", padded, image), ("max_pool3d", volumes, (4, 8, 16, 32, 32))):
        yield Row("layer", f"{name} and gradient {'x'.join(map(str, shape))}", _with_gradient(function, shape))
    yield Row("layer", "grid_sample and gradients 4x32x64x64", _with_gradient(sampled, (4, 32, 64, 64), (4, 64, 64, 2)))
    for size in (1 << 14, 1 << 20):
        def kept(library: Any, size: int = size) -> Callable:
            (x,) = tensors(library, (size,), requires_grad=True)

            def work() -> Any:
                (grad,) = library.autograd.grad(library.nn.functional.dropout(x, 0.5).sum(), x)
                return (grad > 0).sum() * 0
            return work
        yield Row("layer", f"dropout and gradient {size}", kept, bytes=16.0 * size)

    def loss(library: Any, rows: int = 256, classes: int = 32000) -> Callable:
        (x,) = tensors(library, (rows, classes), requires_grad=True)
        target = library.tensor(np.random.default_rng(0).integers(0, classes, rows))
        return lambda: library.autograd.grad(library.nn.functional.cross_entropy(x, target), x)
    yield Row("layer", "cross entropy and gradient 256x32000", loss, bytes=12.0 * 256 * 32000)


GROUPS = {"norm": norms, "layer": layers}
