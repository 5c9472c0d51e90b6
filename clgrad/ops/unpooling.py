"""Max pooling undone, and max pooling of windows that are placed at random."""

from __future__ import annotations

from math import prod
from typing import Any

from clgrad import dtypes
from clgrad.autograd.formal import make_formal
from clgrad.autograd.grad_mode import no_grad
from clgrad.autograd.graph import Saved, attach, ends_in, needs_graph
from clgrad.formats import channels_last
from clgrad.ops.memory_formats import in_format, suggested_format
from clgrad.ops.places import check_range
from clgrad.ops.registry import FUNCTIONS, operator

make_formal("FractionalMaxPool2D", "FractionalMaxPool3D")


def _flat(x: Any, rank: int) -> Any:
    return x.reshape(*x.spec.shape[:-rank], prod(x.spec.shape[-rank:]))


@operator("_max_unpool", method=False)
def max_unpool(name: str, input: Any, indices: Any, sizes: tuple[int, ...]) -> Any:
    """The elements of ``input`` at their places in planes (or lines, volumes) of ``sizes``; zeros elsewhere.

    Of several elements that share a place the last stays; after max pooling they are the same.
    """
    rank, shape = len(sizes), input.spec.shape
    if indices.spec.dtype.name != "int64":
        raise RuntimeError(f"{name}: elements in indices should be type int64 but got: "
                           f"{dtypes.type_name(indices.spec.dtype)}")
    if indices.spec.shape != shape:
        raise RuntimeError(f"Expected shape of indices to be same as that of the input tensor ({list(shape)}) but got "
                           f"indices tensor with shape: {list(indices.spec.shape)}")
    if len(shape) not in (rank + 1, rank + 2):
        raise RuntimeError(f"Input to max_unpooling{rank}d should be a {rank + 1}d or {rank + 2}d Tensor, but got a tensor "
                           f"with {len(shape)} dimensions.")
    if min(sizes) < 0 or 0 in shape[-rank:]:
        raise RuntimeError(f"{name}(): expected sizes greater than 0, got input {list(shape)} and output {list(sizes)}")
    lead = shape[:-rank]
    volume = "x".join(map(str, sizes if rank > 1 else (*sizes, 1)))
    check_range(indices, prod(sizes), lambda index: RuntimeError(
        f"Found an invalid max index: {index} (output volumes are of size {volume})"))
    places = _flat(indices, rank)
    with no_grad():
        values = _flat(input.detach(), rank)
        out = values.new_zeros((*lead, prod(sizes))).scatter(-1, places, values).view(*lead, *sizes)
    wanted = suggested_format(input)
    if wanted is channels_last:
        out = in_format(out, wanted)
    if needs_graph(input):
        saved = Saved("max_unpool", [places])

        def backward(g: Any) -> Any:
            (taken,) = saved.unpack()
            return _flat(g, rank).gather(-1, taken).view(shape)
        attach(out, f"MaxUnpool{rank}D", (input,), backward, saved)
    return out


def _starts(sample: Any, size: int, kernel: int, count: int) -> Any:
    """First elements of ``count`` windows that together span a line: (*, count) from random numbers (*)."""
    if count == 1:
        return (sample.unsqueeze(-1) * 0 + (size - kernel)).long()
    spacing = (size - kernel) / (count - 1)
    sample = sample.unsqueeze(-1)
    steps = FUNCTIONS["arange"](count - 1, dtype=sample.dtype, device=sample.device)
    starts = ((steps + sample) * spacing).long() - (sample * spacing).long()
    return FUNCTIONS["cat"]([starts, starts[..., :1] * 0 + (size - kernel)], -1)


@operator("_fractional_max_pool", method=False)
def fractional_max_pool(name: str, input: Any, kernel: tuple[int, ...], output: tuple[int, ...], samples: Any) -> Any:
    """(largest values, their places) of windows at random distances (Graham 2014)."""
    rank, shape = len(kernel), input.spec.shape
    if len(shape) not in (rank + 1, rank + 2) or 0 in shape[-rank - 1:]:
        raise RuntimeError(f"{name}(): Expected input of {rank + 1} or {rank + 2} dimensions with non-zero size for "
                           f"non-batch dimensions, but got input of size {list(shape)}")
    sizes = shape[-rank:]
    for label, n, k, o in zip(("time", "height", "width")[-rank:], sizes, kernel, output, strict=True):
        if o < 0 or k <= 0 or o + k - 1 > n:
            raise RuntimeError(f"{name}(): pool {label} {k} too large relative to input {label} {n}")
    batch = shape[0] if len(shape) == rank + 2 else 1
    if samples is None:
        samples = input.detach().new_empty((batch, shape[-rank - 1], rank)).uniform_()
    if samples.spec.dtype is not input.spec.dtype:
        raise RuntimeError(f"{name}(): Expect _random_samples to have the same dtype as input")
    if tuple(samples.spec.shape[1:]) != (shape[-rank - 1], rank) or samples.spec.shape[0] < batch:
        raise RuntimeError(f"{name}(): Expect _random_samples of shape {[batch, shape[-rank - 1], rank]}, got "
                           f"{list(samples.spec.shape)}")
    with no_grad():
        best = _largest_places(input.detach(), samples[:batch], kernel, output)
    values = _flat(input, rank).gather(-1, best).view(*shape[:-rank], *output)
    return ends_in(values, f"FractionalMaxPool{rank}D"), best.view(*shape[:-rank], *output)


def _largest_places(input: Any, samples: Any, kernel: tuple[int, ...], output: tuple[int, ...]) -> Any:
    """Where in its plane the largest element of every window stands: (*, windows)."""
    rank = len(kernel)
    lead, sizes = input.spec.shape[:-rank], input.spec.shape[-rank:]
    if 0 in output:
        return input.new_empty((*lead, 0), dtype=dtypes.int64)
    places = _window_places(samples.view(*lead, rank), sizes, kernel, output)
    windows = _flat(input, rank).gather(-1, places.reshape(*lead, prod(output) * prod(kernel))).view(places.spec.shape)
    return places.gather(-1, windows.argmax(-1, keepdim=True)).squeeze(-1)


def _window_places(samples: Any, sizes: tuple[int, ...], kernel: tuple[int, ...], output: tuple[int, ...]) -> Any:
    """The flat places (*, windows, elements) of every window's elements."""
    rank = len(sizes)
    places: Any = 0
    for axis, (n, k, o) in enumerate(zip(sizes, kernel, output, strict=True)):
        # In planes the first random number is the width's, in volumes the depth's.
        sample = samples.select(-1, rank - 1 - axis if rank == 2 else axis)
        line = _starts(sample, n, k, o).unsqueeze(-1) + FUNCTIONS["arange"](k, device=samples.device)
        view = [1] * (2 * rank)
        view[axis], view[rank + axis] = o, k
        places = places * n + line.view(*sample.spec.shape, *view)
    return places.reshape(*samples.spec.shape[:-1], prod(output), prod(kernel))
