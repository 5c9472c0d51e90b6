"""The work that is measured: pointwise, sums, softmax, pooling, optimizers, loading, sorting."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import (
    convolutions,
    derivatives,
    graphs,
    models,
    norms,
    operators,
    places,
    products,
    regions,
    sequences,
    spectra,
)
from benchmarks.measure import Row, tensors, values


def pointwise() -> Iterator[Row]:
    """Unary and binary operators over sizes from a cache line's worth to beyond every cache."""
    for label, n in (("256", 256), ("16K", 1 << 14), ("1M", 1 << 20), ("16M", 1 << 24)):
        for name, operands in (("add", 2), ("mul", 2), ("exp", 1), ("tanh", 1), ("relu", 1)):
            def build(library: Any, name: str = name, operands: int = operands, n: int = n) -> Callable:
                function, inputs = getattr(library, name), tensors(library, *[(n,)] * operands)
                return lambda: function(*inputs)
            yield Row("pointwise", f"{name} {label}", build, bytes=4.0 * n * (operands + 1))

        def scaled(library: Any, n: int = n) -> Callable:
            (x,) = tensors(library, (n,))
            return lambda: x * 2.5
        yield Row("pointwise", f"mul by a number {label}", scaled, bytes=8.0 * n)
    def broadcast(library: Any) -> Callable:
        x, bias = tensors(library, (4096, 256), (256,))
        return lambda: x + bias
    yield Row("pointwise", "add of a row 4096x256", broadcast, bytes=8.0 * 4096 * 256)

    def transposed(library: Any) -> Callable:
        (x,) = tensors(library, (1024, 1024))
        return lambda: x.t().contiguous()
    yield Row("pointwise", "copy of a transpose 1024x1024", transposed, bytes=8.0 * 1024 * 1024)

    def channels_last(library: Any) -> Callable:
        (x,) = tensors(library, (32, 64, 56, 56))
        return lambda: x.permute(0, 2, 3, 1).contiguous()
    yield Row("pointwise", "channels to the end 32x64x56x56", channels_last, bytes=8.0 * 32 * 64 * 56 * 56)

    def across(library: Any) -> Callable:
        x, y = tensors(library, (1024, 1024), (1024, 1024))
        return lambda: x.t() + y
    yield Row("pointwise", "add of a transpose 1024x1024", across, bytes=12.0 * 1024 * 1024)


def reductions() -> Iterator[Row]:
    """Sums of rows, of columns and of everything."""
    for label, shape in (("1M", (1024, 1024)), ("16M", (4096, 4096))):
        for name, dim in (("full", None), ("row", 1), ("column", 0)):
            def build(library: Any, shape: tuple = shape, dim: Any = dim) -> Callable:
                (x,) = tensors(library, shape)
                return (lambda: x.sum()) if dim is None else (lambda: x.sum(dim))
            yield Row("sum", f"{name} {label}", build, bytes=4.0 * shape[0] * shape[1], tolerance=1e-3)
    for name in ("max", "argmax", "var"):
        def reduce_rows(library: Any, name: str = name) -> Callable:
            (x,) = tensors(library, (1024, 1024))
            return lambda: getattr(x, name)(1)
        yield Row("sum", f"{name} of rows 1M", reduce_rows, bytes=4.0 * (1 << 20))


def softmaxes() -> Iterator[Row]:
    """Softmax over rows, and cross entropy with its gradient."""
    for rows, columns in ((128, 10), (128, 1000), (1024, 1024)):
        def build(library: Any, rows: int = rows, columns: int = columns) -> Callable:
            (x,) = tensors(library, (rows, columns))
            return lambda: library.softmax(x, 1)
        yield Row("softmax", f"{rows}x{columns}", build, bytes=8.0 * rows * columns)

        def loss(library: Any, rows: int = rows, columns: int = columns) -> Callable:
            (x,) = tensors(library, (rows, columns), requires_grad=True)
            target = library.tensor(np.random.default_rng(0).integers(0, columns, rows))

            def work() -> Any:
                x.grad = None
                value = library.nn.functional.cross_entropy(x, target)
                value.backward()
                return value.detach(), x.grad
            return work
        yield Row("softmax", f"cross entropy and gradient {rows}x{columns}", loss, bytes=12.0 * rows * columns)


def pools() -> Iterator[Row]:
    """LeNet's pooling and a larger one, with gradients."""
    for shape in ((4, 6, 28, 28), (128, 6, 28, 28), (32, 64, 56, 56)):
        for name in ("max_pool2d", "avg_pool2d"):
            def build(library: Any, shape: tuple = shape, name: str = name) -> Callable:
                (x,) = tensors(library, shape, requires_grad=True)
                function = getattr(library.nn.functional, name)

                def work() -> Any:
                    (grad,) = library.autograd.grad(function(x, 2).sum(), x)
                    return grad
                return work
            elements = float(np.prod(shape))
            yield Row("pool", f"{name} and gradient {'x'.join(map(str, shape))}", build, bytes=4.0 * elements * 2.75)


def optimizers() -> Iterator[Row]:
    """A step of an optimizer for one large parameter."""
    for label, n in (("1M", 1 << 20), ("25M", 25_000_000)):
        for name, options, moved in (("Adam", {}, 28.0), ("SGD", {"momentum": 0.9, "lr": 0.01}, 20.0)):
            def build(library: Any, name: str = name, options: dict = options, n: int = n) -> Callable:
                parameter = library.nn.Parameter(library.ones(n))
                parameter.grad = library.ones(n)
                optimizer = getattr(library.optim, name)([parameter], **options)

                def work() -> Any:
                    optimizer.step()
                    return parameter.grad
                return work
            yield Row("optimizer", f"{name} {label}", build, bytes=moved * n)


def loading() -> Iterator[Row]:
    """An epoch of 60 batches of MNIST's shape from two worker processes that stay."""
    def build(library: Any) -> Callable:
        images, labels = library.tensor(values(60 * 128, 1, 28, 28)), library.arange(60 * 128)
        pairs = library.utils.data.TensorDataset(images, labels)
        loader = library.utils.data.DataLoader(pairs, batch_size=128, num_workers=2, persistent_workers=True)

        def epoch() -> Any:
            for batch in loader:
                last = batch
            return last
        return epoch
    yield Row("loading", "60 batches 128x1x28x28, two workers", build)
    yield Row("loading", "a checkpoint of 100 MB", _checkpoint)


def _checkpoint(library: Any) -> Callable:
    """``load`` of 25 tensors of a million numbers, which are looked at."""
    file = io.BytesIO()
    library.save({f"w{number}": library.ones(1024, 1024) * number for number in range(25)}, file)

    def load() -> Any:
        file.seek(0)
        return [t[0, :2] for t in library.load(file).values()]
    return load


def sorts() -> Iterator[Row]:
    """Sorting and the first ten, of a million elements in one row and in a thousand."""
    for label, shape in (("1M", (1 << 20,)), ("1000x1000", (1000, 1000))):
        for name in ("sort", "topk"):
            def build(library: Any, shape: tuple = shape, name: str = name) -> Callable:
                (x,) = tensors(library, shape)
                return (lambda: x.sort().values) if name == "sort" else (lambda: x.topk(10).values)
            yield Row("sort", f"{name} {label}", build, bytes=4.0 * float(np.prod(shape)))


GROUPS = {"pointwise": pointwise, "sum": reductions, "sort": sorts, "softmax": softmaxes, **products.GROUPS,
          "pool": pools, **models.GROUPS, **derivatives.GROUPS, "optimizer": optimizers, "loading": loading,
          **convolutions.GROUPS, **norms.GROUPS, **places.GROUPS, **sequences.GROUPS, **operators.GROUPS,
          **spectra.GROUPS, **graphs.GROUPS, **regions.GROUPS}
