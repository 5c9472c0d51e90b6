"""Small computations that between them reach every kernel of ``cl_kernels/``, its branches and its edges.

Sizes lie around what the kernels cut work into: a vector, a tile, a block, a work-group, a work-item's share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from unittest import mock

import numpy as np

import clgrad as torch
import clgrad.nn.functional as F
from clgrad.kernels import conv, conv_weights, conv_winograd
from clgrad.ops import pointwise
from clgrad.ops.registry import NO_FORMULA, REGISTRY
from tests.references import FLOATING, INTEGER

CASES: list[tuple[str, str, Callable[[], None]]] = []
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_rng = np.random.default_rng(7)


def of(file: str, form: str = "both") -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Marks a case of a file; ``form``: cpu or gpu where it runs in that form only."""
    def mark(case: Callable[[], None]) -> Callable[[], None]:
        CASES.append((file, form, case))
        return case
    return mark


def of_form(form: str, files: list[str]) -> Iterator[tuple[str, Callable[[], None]]]:
    """The cases of one form of the device code, of all files or the given ones."""
    for file, wanted, case in CASES:
        if wanted in ("both", form) and (not files or file in files):
            yield file, case


def values(*shape: int, dtype: torch.dtype = torch.float32, grad: bool = False) -> torch.Tensor:
    """Numbers that begin one element into their storage: an offset, and nothing behind the last element."""
    count = int(np.prod(shape))
    numbers = _rng.normal(size=count + 1) if dtype.is_floating_point else _rng.integers(-9, 10, count + 1)
    whole = torch.tensor(numbers).to(dtype)[1:].reshape(shape)
    return whole.detach().requires_grad_(grad)


def positions(high: int, *shape: int) -> torch.Tensor:
    """Indices below ``high``."""
    return torch.tensor(_rng.integers(0, high, shape))


def backward(result: torch.Tensor) -> None:
    """The gradients of a result, for a gradient that is not constant."""
    result.backward(values(*result.shape, dtype=result.dtype))


@of("trial.cl")
def trial() -> None:
    device = torch.device("cpu").compute
    from_source = device.kernel("trial.cl", "trial", {}, "P")
    device.run(torch.runtime.Bound(from_source, (8,), (8,), 1, "", (), (0, 0)), (device.allocate(32).buffer,), ())


@of("fill.cl", "cpu")
def filling() -> None:
    device = torch.device("cpu").compute
    kernel = device.kernel("fill.cl", "fill", {}, "Pll")
    for blocks in (1, 3, 4, 9):
        memory = device.allocate(64 * blocks)
        device.run(torch.runtime.Bound(kernel, (4,), (1,), 1, "ll", (), (0, 0)), (memory.buffer,), (5, blocks))


@of("elementwise.cl")
def layouts() -> None:
    values(2, 8, 9).transpose(1, 2) + values(2, 9, 8)
    values(11, 3, 17).permute(2, 1, 0).contiguous()
    values(3, 9, 20)[1:, :, 1:].transpose(1, 2).to(torch.float16)
    for n in (1, 3, 4, 5, 8, 37):
        values(n).exp()
        values(n, dtype=torch.float64) + values(1, dtype=torch.float64)
        values(3, n)[:, ::2] * values(3, 1)[:, :1]
        values(n, 5).t() + values(5, n)
        values(3, n, 2).permute(2, 0, 1) + values(2, 1, n)
        values(2, 3, n, 5)[:, :, :, 1:4].permute(3, 1, 0, 2) - 1
        target = torch.zeros(3, n + 3)
        target[1:, 2:n + 2].add_(values(n))
        target[:, ::2] = values(3, (n + 4) // 2)
        target.t()[1:n].copy_(values(n - 1, 3) if n > 1 else values(0, 3))


@of("elementwise.cl")
def dtypes() -> None:
    every = (*FLOATS, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
    for source, target in product(every, every):
        values(19, dtype=source).to(target)
    for kind in every[4:-1]:
        values(19, dtype=kind) // 3
        values(19, dtype=kind).gt(0)
    torch.where(values(19) > 0, values(19), values(1))


def _functions(kind: torch.dtype, gradients: bool) -> None:
    for name, (_, intervals) in FLOATING.items():
        row = REGISTRY.pointwise[name]
        arrays = [np.concatenate([_rng.uniform(*interval, 4), np.multiply(interval, 9), [np.nan, 0]])
                  for interval in intervals]
        given = [gradients and operand in row.derivatives and row.derivatives[operand].text != NO_FORMULA
                 for operand in row.tensors]
        operands = [torch.tensor(a).to(kind).requires_grad_(wanted) for a, wanted in zip(arrays, given, strict=True)]
        result = pointwise.call(row, tuple(operands), tuple(row.parameters.values()))
        if result.requires_grad:
            backward(result)


@of("elementwise.cl")
def totals() -> None:
    for shape in ((1,), (5,), (37,), (3, 9)):
        x, y = values(*shape, grad=True), values(*shape)
        backward(F.mse_loss(x, y))
        F.l1_loss(x.detach().t() if len(shape) > 1 else x.detach(), y.t() if len(shape) > 1 else y, reduction="sum")
    F.mse_loss(values(2, 5000), values(2, 5000))


@of("elementwise.cl", "cpu")
def all_functions_in_double_precision() -> None:
    _functions(torch.float64, gradients=False)


@of("elementwise.cl")
def all_functions() -> None:
    _functions(torch.float32, gradients=True)
    for name, (_, intervals) in INTEGER.items():
        row = REGISTRY.pointwise[name]
        operands = [torch.tensor(_rng.integers(low, high, 9)) for low, high in intervals]
        pointwise.call(row, tuple(operands), tuple(row.parameters.values()))


REDUCTIONS: dict[str, Callable[[torch.Tensor, tuple[int, ...]], object]] = {
    "sum": lambda x, dims: x.sum(dims), "mean": lambda x, dims: x.mean(dims), "amax": lambda x, dims: x.amax(dims),
    "all": lambda x, dims: x.all(dims[0]), "prod": lambda x, dims: x.prod(dims[0]),
    "count": lambda x, dims: torch.count_nonzero(x, dims), "norm": lambda x, dims: torch.norm(x, 3, dims),
    "norm0": lambda x, dims: torch.norm(x, 0, dims), "norm2": lambda x, dims: torch.norm(x, 2, dims),
    "max": lambda x, dims: x.max(dims[0]), "argmin": lambda x, dims: x.argmin(dims[0]),
    "var": lambda x, dims: x.var(dims), "std_mean": lambda x, dims: torch.std_mean(x, dims),
    "logsumexp": lambda x, dims: x.logsumexp(dims)}


# Rows, columns (fewer than a vector, as many, more), several dimensions.
SHAPES = (((37,), (0,)), ((20, 5), (1,)), ((5, 3), (0,)), ((9, 37), (0,)), ((3, 4, 5), (1,)), ((70, 2, 17), (0, 1)),
          ((2, 5, 3, 4), (1, 3)))


def _reduce(name: str, kind: torch.dtype, shapes: tuple = SHAPES) -> None:
    call = REDUCTIONS[name]
    for shape, dims in shapes:
        x = values(*shape, dtype=kind)
        call(x, dims)
        if len(shape) == 2:
            call(x[:, ::2], dims)


@of("reduce.cl")
def reductions() -> None:
    for name in REDUCTIONS:
        _reduce(name, torch.float32)


@of("reduce.cl")
def reductions_of_other_dtypes() -> None:
    for kind in (torch.float64, torch.bfloat16, torch.int64, torch.uint8):
        for name in ("sum", "max", "count"):
            _reduce(name, kind, SHAPES[::3])


@of("reduce.cl")
def reductions_in_parts() -> None:
    for name in ("sum", "max", "var", "logsumexp"):
        REDUCTIONS[name](values(8300), (0,))
        REDUCTIONS[name](values(2, 4200).t(), (0,))
        REDUCTIONS[name](values(4200, 2), (0,))
    values(70, 3, 60).permute(1, 0, 2).sum((1, 2))


@of("softmax.cl")
def softmaxes() -> None:
    for log, kind in product((F.softmax, F.log_softmax), (torch.float32, torch.float64, torch.float16)):
        for shape, dim in (((5,), 0), ((2, 5), 1), ((6, 7), 1), ((37, 3), 1), ((3, 40), 1), ((2, 300), 1), ((5, 3), 0),
                           ((3, 5, 37), 1)):
            backward(log(values(*shape, dtype=kind, grad=True), dim))


@of("cross_entropy.cl")
def cross_entropies() -> None:
    weight = torch.tensor(_rng.uniform(0.5, 2, 7)).float()
    for shape in ((1, 7), (5, 7), (70, 7), (3, 7, 2), (2, 7, 37)):
        targets = positions(7, shape[0], *shape[2:])
        targets.view(-1)[0] = -100 if targets.numel() > 1 else 3
        for reduction in ("none", "mean", "sum") if shape == (5, 7) else ("mean",):
            backward(F.cross_entropy(values(*shape, grad=True), targets, reduction=reduction))
            backward(F.cross_entropy(values(*shape, grad=True), targets, weight=weight, reduction=reduction,
                                     label_smoothing=0.1))
            backward(F.nll_loss(values(*shape, grad=True), targets, weight=weight, reduction=reduction))
    backward(F.cross_entropy(values(700, 7, grad=True), positions(7, 700)))  # several work-items, whose sums are merged
    for kind in (torch.float64, torch.float16):
        backward(F.cross_entropy(values(5, 300, dtype=kind, grad=True), positions(300, 5)))
    try:
        F.cross_entropy(values(3, 7), torch.tensor([1, 7, 2])).item()
    except IndexError:
        return
    raise AssertionError("a class that does not exist was not found")


@of("scan.cl")
def scans() -> None:
    for name, kind in product(("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"), (torch.float32, torch.float64)):
        for shape, dim in (((1,), 0), ((70,), 0), ((300,), 0), ((5, 9), 1), ((9, 5), 0), ((3, 5, 70), 1)):
            result = getattr(values(*shape, dtype=kind, grad=name == "cumsum"), name)(dim)
            if name == "cumsum":
                backward(result)
    values(33, dtype=torch.int32).cumsum(0)
    values(33, dtype=torch.float16).cummax(0)


@of("concatenate.cl")
def joining() -> None:
    for count in (2, 3, 7, 12, 33):
        for kind in (torch.float32, torch.float64, torch.float16, torch.uint8):
            torch.cat([values(3, 1 + 5 * k % 9, dtype=kind) for k in range(count)], 1)
            torch.stack([values(2, 11, dtype=kind) for _ in range(count)])
    whole = values(4, 5, 70)
    torch.stack([whole[:, k] for k in range(5)], 1), torch.cat([whole[1:, 2], whole[1:, 3, 2:9]], 1)


@of("compact.cl")
def compacting() -> None:
    for n in (1, 33, 100, 1500):
        for mask in (torch.zeros(n), torch.ones(n), values(n)):
            torch.nonzero(mask)
            for kind in (torch.float32, torch.float64, torch.float16, torch.uint8) if n < 1000 else FLOATS[:1]:
                values(n, dtype=kind)[mask > 0]
    torch.nonzero(values(3, 2, 5) > 0)
    values(4, 5).t()[values(5, 4) > 0] = 2.0


@of("indexed.cl")
def indexing() -> None:
    for kind in (torch.float32, torch.float16, torch.int64):
        x, where = values(9, 7, dtype=kind), positions(9, 5)
        for chosen in (where, where - 9, (where, positions(7, 5)), (slice(None), positions(7, 3))):
            x.__getitem__(chosen)
        x.t().index_select(1, positions(9, 3)), x.gather(0, positions(9, 4, 7)), x.gather(1, positions(7, 9, 20))
        x.take(positions(63, 11))
        y = values(9, 7, dtype=kind)
        y.scatter_(0, positions(9, 3, 7), values(3, 7, dtype=kind))
        y.scatter_add_(1, positions(7, 9, 30), values(9, 30, dtype=kind))
        y.index_add_(0, where, values(5, 7, dtype=kind))
        y.index_put_((where, positions(7, 5)), values(5, dtype=kind), accumulate=True)
        y.index_fill_(1, positions(7, 2), 3)
        for reduce in ("prod", "amax", "amin", "mean"):
            y.scatter_reduce_(0, positions(9, 12, 7), values(12, 7, dtype=kind), reduce)
    backward(F.embedding(positions(50, 4, 6), values(50, 3, grad=True)))
    backward(F.embedding(positions(3, 200), values(3, 20, grad=True)))
    backward(values(9, 7, 5, grad=True)[positions(9, 4), :, positions(5, 4)])
    try:
        values(4).__getitem__(positions(3, 70) + 3)
        torch.synchronize()
    except IndexError:
        return
    raise AssertionError("an index that is out of range was not found")


@of("search.cl")
def searching() -> None:
    for n, m, right in product((1, 2, 9), (1, 70), (False, True)):
        line = torch.tensor(np.sort(_rng.normal(size=(3, n)))).float()
        torch.searchsorted(line[0], values(m), right=right)
        torch.searchsorted(line, values(3, m), right=right, out_int32=True)
    torch.searchsorted(torch.arange(5), positions(7, 1100))
    torch.bucketize(values(5, dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64))
    torch.searchsorted(torch.empty(0), values(3))


@of("sort.cl")
def sorting() -> None:
    for n in (1, 33, 70, 300, 600):
        values(n).sort(descending=n % 2 == 0)
    values(2, 40, 3).sort(1, descending=True)
    for kind in (torch.float64, torch.float16, torch.int64, torch.int8):
        values(40, dtype=kind).sort()
    torch.zeros(100).sort()
    torch.tensor([np.nan, -np.inf, 0.0, -0.0, np.inf] * 9).sort()


@of("topk.cl")
def largest() -> None:
    for n, k in ((8, 1), (300, 3), (700, 40)):
        for descending in (False, True):
            values(n).topk(k, largest=descending)
    values(2, 70, 2).topk(5, 1)
    values(80, dtype=torch.float64).topk(4)


@of("random.cl")
def random_numbers() -> None:
    for n, kind in [*product((1, 5, 70), FLOATS[:3]), (2100, torch.float32)]:
        torch.rand(n, dtype=kind), torch.randn(n, dtype=kind)
        torch.empty(n + 3, dtype=kind)[3:].uniform_()
    torch.randint(9, (70,)), torch.randint(-5, 5, (7,), dtype=torch.int8)
    torch.bernoulli(torch.full((70,), 0.3))
    torch.empty(70).bernoulli_(0.4)
    for kind in FLOATS:
        backward(F.dropout(values(33, dtype=kind, grad=True), 0.3))


@of("gemm.cl", "cpu")
def products() -> None:
    for m, n, k in ((1, 1, 1), (1, 37, 5), (37, 1, 5), (8, 12, 4), (17, 33, 9)):
        a, b = values(m, k), values(k, n)
        values(k, m).t() @ b, a @ values(n, k).t(), values(2 * m, 2 * k)[::2, ::2] @ b
        F.linear(a, values(n, k), values(n)), torch.addmm(values(m, n), a, b)
    torch.baddbmm(values(2, 3, 9), values(2, 3, 5), values(2, 5, 9), alpha=0.5), values(3, 2, 5) @ values(5, 4)
    values(3, 0) @ values(0, 4)
    for kind in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8):
        values(17, 20, dtype=kind) @ values(20, 37, dtype=kind)
        values(1, 30, dtype=kind) @ values(9, 30, dtype=kind).t()


@of("gemm.cl", "cpu")
def products_in_slices() -> None:
    for a in (values(17, 40), values(40, 17).t(), values(34, 80)[::2, ::2], values(40, 17, dtype=torch.float16).t()):
        torch.addmm(values(67, dtype=a.dtype), a, values(40, 67, dtype=a.dtype)), a @ values(67, 40, dtype=a.dtype).t()
    values(1, 40) @ values(40, 37), values(1, 20) @ values(20, 230), values(1, 40) @ values(37, 40).t()


@of("gemm.cl", "gpu")
def products_in_blocks() -> None:
    F.linear(values(1, 1), values(1, 1), values(1)), torch.addmm(values(17, 3), values(17, 9), values(9, 3))
    torch.addmm(values(5, 1), values(8, 5).t(), values(8, 18)), torch.bmm(values(2, 3, 5), values(2, 4, 5).mT)
    values(3, 0) @ values(0, 4), values(6, 8)[::2, ::2] @ values(4, 2)
    for kind in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8):
        values(3, 4, dtype=kind) @ values(4, 5, dtype=kind)


@of("gemm.cl")
def gradients_of_linear_layers() -> None:
    for rows, inputs, outputs in ((9, 5, 12), (70, 6, 19)):  # the bias' gradient is stored with the weight's
        backward(F.linear(values(rows, inputs), values(outputs, inputs, grad=True), values(outputs, grad=True)))


def through_a_chain(*layers: torch.nn.Module, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> None:
    """A Sequential that knows its layouts, so that gradients of ReLUs are taken by the layers behind them."""
    net = torch.nn.Sequential(*layers)
    net(values(*shape, dtype=dtype))
    backward(net(values(*shape, dtype=dtype, grad=True)))


@of("gemm.cl")
def gradients_of_relus_between_linear_layers() -> None:
    nn = torch.nn
    through_a_chain(nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 37), shape=(9, 5))
    through_a_chain(nn.Linear(3, 7), nn.ReLU(), nn.Linear(7, 130), shape=(2, 3))  # split along k


@of("gemm.cl")
def products_split_along_k() -> None:
    F.linear(values(2, 130), values(3, 130), values(3)), values(130, 9).t() @ values(130, 5)


CONVOLUTIONS = (
    # x, weight, options
    ((1, 1, 5, 5), (1, 1, 3, 3), {}),
    ((2, 3, 9, 11), (5, 3, 3, 3), {"padding": 1}),
    ((2, 3, 9, 11), (4, 3, 3, 2), {"stride": 2, "padding": (0, 1)}),
    ((1, 2, 12, 9), (3, 2, 3, 3), {"dilation": 2, "padding": 2}),
    ((2, 4, 7, 6), (6, 2, 3, 3), {"groups": 2}),
    ((1, 4, 6, 7), (4, 1, 3, 3), {"groups": 4, "padding": 1}),
    ((2, 5, 5, 7), (6, 5, 1, 1), {}),
    ((3, 2, 4, 8), (3, 2, 1, 1), {"stride": 3}),
    ((1, 3, 1, 40), (5, 3, 1, 9), {"padding": (0, 4), "stride": (1, 3)}),
    ((5, 1, 3, 3), (2, 1, 3, 3), {}),
    ((1, 8, 5, 6), (18, 8, 3, 3), {"padding": 1}),
)


@of("conv.cl", "cpu")
def convolutions() -> None:
    for x, weight, options in CONVOLUTIONS:
        backward(F.conv2d(values(*x, grad=True), values(*weight, grad=True), values(weight[0], grad=True), **options))
    for kind in (torch.float64, torch.float16, torch.bfloat16):
        x, weight, options = CONVOLUTIONS[1]
        backward(F.conv2d(values(*x, dtype=kind, grad=True), values(*weight, dtype=kind, grad=True), **options))


@of("conv.cl", "gpu")
def convolutions_in_blocks() -> None:
    for x, weight, options in (((1, 1, 4, 4), (1, 1, 3, 3), {}), ((2, 2, 5, 4), (17, 2, 2, 1), {"padding": 1}),
                               ((1, 4, 5, 4), (2, 2, 3, 2), {"groups": 2, "stride": (2, 1), "dilation": (1, 2)})):
        backward(F.conv2d(values(*x, grad=True), values(*weight, grad=True), values(weight[0], grad=True), **options))
    backward(F.conv_transpose2d(values(1, 2, 3, 2, grad=True), values(2, 3, 3, 2, grad=True), stride=2, padding=1,
                                output_padding=1))
    for kind in (torch.float64, torch.float16):
        backward(F.conv1d(values(1, 2, 6, dtype=kind, grad=True), values(3, 2, 3, dtype=kind, grad=True)))


@of("conv.cl", "cpu")
def other_convolutions() -> None:
    F.conv2d(values(2, 3, 8, 8), values(5, 3, 3, 3), values(5)).relu()
    backward(F.conv1d(values(2, 3, 17, grad=True), values(4, 3, 5, grad=True), values(4, grad=True), padding=2))
    for options in ({}, {"stride": 2, "padding": 1, "output_padding": 1}, {"stride": 3, "dilation": 2}):
        backward(F.conv_transpose2d(values(2, 3, 4, 5, grad=True), values(3, 4, 3, 3, grad=True), values(4, grad=True),
                                    **options))
    backward(F.conv3d(values(1, 2, 4, 5, 4, grad=True), values(3, 2, 2, 3, 2, grad=True), padding=1))


@of("conv_panels.cl", "cpu")
def convolutions_of_many_channels() -> None:
    def always(*sizes: object) -> bool:
        return True
    with mock.patch.object(conv, "many_channels", always), mock.patch.object(conv_weights, "many_outputs", always):
        for x, weight, options in CONVOLUTIONS[1:5] + CONVOLUTIONS[6:8] + CONVOLUTIONS[-1:]:
            for kind in (torch.float32, torch.bfloat16):
                backward(F.conv2d(values(*x, dtype=kind, grad=True), values(*weight, dtype=kind, grad=True),
                                  values(weight[0], dtype=kind, grad=True), **options))


@of("conv_winograd.cl", "cpu")
def convolutions_of_few_multiplications() -> None:
    with mock.patch.object(conv_winograd, "pays", lambda *_: True):
        for x, weight, options in (((3, 2, 4, 16), (34, 2, 3, 3), {"padding": 1}),
                                   ((1, 2, 4, 6), (3, 2, 3, 3), {"padding": 1}),
                                   ((2, 2, 4, 2), (3, 2, 3, 3), {"padding": 1}),
                                   ((1, 2, 6, 38), (6, 1, 3, 3), {"padding": (0, 1), "groups": 2})):
            for kind in (torch.float32, torch.bfloat16):
                backward(F.conv2d(values(*x, dtype=kind, grad=True), values(*weight, dtype=kind, grad=True),
                                  values(weight[0], dtype=kind, grad=True), **options))


@of("conv_depthwise.cl", "cpu")
def convolutions_of_each_channel() -> None:
    layouts = ({}, {"padding": 2}, {"stride": 2, "padding": 1}, {"stride": (1, 3), "dilation": 2, "padding": 3})
    for kind, kernel, options in [*product((torch.float32,), ((3, 3), (1, 5), (4, 4)), layouts),
                                  *product((torch.float64, torch.float16), ((3, 3),), layouts)]:
        backward(F.conv2d(values(2, 3, 9, 11, dtype=kind, grad=True), values(3, 1, *kernel, dtype=kind, grad=True),
                          values(3, dtype=kind, grad=True), groups=3, **options))


POOLS = (((2, 1, 7), 3, {}), ((1, 2, 9, 20), 2, {}), ((2, 2, 8, 9), 3, {"stride": 2, "padding": 1}),
         ((1, 1, 4, 40), (2, 3), {"stride": 1, "padding": 1}), ((1, 1, 5, 6, 7), 2, {"ceil_mode": True, "stride": 3}))


@of("pool.cl")
def gradients_of_relus_before_a_pool() -> None:
    nn = torch.nn
    for dtype in (torch.float32, torch.float16):
        through_a_chain(nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True), nn.Sigmoid(), shape=(2, 2, 5, 6), dtype=dtype)


@of("pool.cl")
def pools() -> None:
    for kind, cases in ((torch.float32, POOLS), (torch.float64, POOLS[1:4]), (torch.float16, POOLS[1:4])):
        for shape, kernel, options in cases:
            rank = len(shape) - 2
            backward(getattr(F, f"max_pool{rank}d")(values(*shape, dtype=kind, grad=True), kernel, **options))
            backward(getattr(F, f"avg_pool{rank}d")(values(*shape, dtype=kind, grad=True), kernel, **options))
        backward(F.max_pool2d(values(1, 2, 9, 9, dtype=kind, grad=True), 3, stride=1, dilation=2, padding=1))
        backward(F.avg_pool2d(values(1, 2, 5, 5, dtype=kind, grad=True), 2, padding=1, count_include_pad=False,
                              divisor_override=3))
        for size in (1, 3, 4, 7) if kind is torch.float32 else (3,):
            backward(F.adaptive_avg_pool2d(values(2, 2, 7, 8, dtype=kind, grad=True), size))
            backward(F.adaptive_max_pool2d(values(2, 2, 7, 8, dtype=kind, grad=True), size))


def _attend(*sizes: tuple[torch.dtype, int, int, int, int]) -> None:
    for kind, steps, keys, size, value_size in sizes:
        q, k, v = (values(1, 2, n, d, dtype=kind, grad=True)
                   for n, d in ((steps, size), (keys, size), (keys, value_size)))
        for mask in (torch.rand(steps, keys) > 0.3, values(1, 1, steps, keys, dtype=kind)):
            backward(F.scaled_dot_product_attention(q, k, v, attn_mask=mask))
        backward(F.scaled_dot_product_attention(q, k, v, is_causal=True))
        backward(F.scaled_dot_product_attention(q, k, v, dropout_p=0.4))
    q, k = values(1, 4, 9, 8, grad=True), values(1, 2, 9, 8, grad=True)
    backward(F.scaled_dot_product_attention(q, k, values(1, 2, 9, 8, grad=True), enable_gqa=True))


@of("attention.cl")
def attention() -> None:
    _attend((torch.float32, 5, 7, 8, 8), (torch.float64, 9, 3, 8, 16))


@of("attention.cl", "cpu")
def attention_of_many_keys() -> None:
    _attend((torch.float32, 19, 70, 5, 3))


@of("attention.cl", "gpu")
def attention_of_several_groups() -> None:
    _attend((torch.float32, 67, 3, 3, 2), (torch.float32, 3, 67, 3, 2))


@of("norm.cl", "cpu")
def normalisations() -> None:
    for kind in FLOATS:
        x = values(3, 6, 9, dtype=kind, grad=True)
        weight, bias = values(9, dtype=kind, grad=True), values(9, dtype=kind, grad=True)
        backward(F.layer_norm(x, (9,), weight, bias))
        backward(F.layer_norm(x, (6, 9)))
        backward(F.rms_norm(x, (9,), weight))
        weight, bias = values(6, dtype=kind, grad=True), values(6, dtype=kind, grad=True)
        backward(F.group_norm(x, 3, weight, bias))
        backward(F.instance_norm(x))
        mean, var = torch.zeros(6, dtype=kind), torch.ones(6, dtype=kind)
        for training in (True, False):
            backward(F.batch_norm(x, mean, var, weight, bias, training=training))
    backward(F.layer_norm(values(2, 1030, grad=True), (1030,)))
    backward(F.batch_norm(values(5, 40, grad=True), None, None, training=True))


@of("resample.cl")
def resampling() -> None:
    for mode, size in product(("nearest", "bilinear", "bicubic", "area"), ((5, 9), (17, 3), (8, 40))):
        backward(F.interpolate(values(2, 3, 8, 9, grad=True), size, mode=mode))
    backward(F.interpolate(values(1, 2, 20, 9, grad=True), (7, 4), mode="bilinear", antialias=True))
    backward(F.interpolate(values(1, 2, 5, 4, 3, grad=True), scale_factor=2, mode="trilinear", align_corners=True))
    backward(F.interpolate(values(1, 2, 9, dtype=torch.float16, grad=True), 21, mode="linear"))
    F.interpolate(values(1, 3, 6, 7, dtype=torch.uint8), (4, 9), mode="nearest")


@of("distances.cl")
def distances() -> None:
    for p, width, kind in product((0.0, 1.0, 2.0, 3.0, np.inf), (3, 17, 70), (torch.float32, torch.float64)):
        backward(torch.cdist(values(2, 3, width, dtype=kind, grad=True), values(2, 4, width, dtype=kind, grad=True), p))
        backward(torch.pdist(values(4, width, dtype=kind, grad=True), p))


@of("embedding_bag.cl")
def bags() -> None:
    for width, kind in ((1, torch.float32), (9, torch.float64), (70, torch.float32), (37, torch.float16)):
        table = values(7, width, dtype=kind, grad=True)
        backward(F.embedding_bag(positions(7, 3, 5), table, mode="mean"))
        for last in (False, True):
            F.embedding_bag(positions(7, 11).int(), table, torch.tensor([0, 3, 3, 9, 11]).int(), mode="sum",
                            include_last_offset=last)


@of("pad.cl")
def extended_lines() -> None:
    sides = (2, 3), (1, 2, 3, 1), (1, 1, 2, 2, 1, 0), (-2, 1, 2, -1)
    for mode, pads in product(("reflect", "replicate", "circular", "constant"), sides):
        for width in (5, 19):
            backward(F.pad(values(2, *(4,) * (len(pads) // 2 - 1), width, grad=True), pads, mode))
    F.pad(values(2, 3, dtype=torch.int64), (1, 1), "circular")
    F.pad(values(2, 9) > 0, (1, 1), "circular")
    F.pad(values(2, 3, 2, 3, dtype=torch.uint8), (1, 20, -3, 5, 1, 0, 0, 1), value=3)
    backward(F.pad(values(2, 11, dtype=torch.bfloat16, grad=True), (3, 1), "reflect"))


@of("grid_sample.cl", "cpu")
def grids() -> None:
    for kind, points in ((torch.float32, (3, 100)), (torch.float64, (16, 16)), (torch.float32, (1, 1))):
        grid = values(2, *points, 2, dtype=kind, grad=True)
        backward(F.grid_sample(values(2, 11, 5, 6, dtype=kind, grad=True), grid, align_corners=False))
    for mode, padding, corners in product(("nearest", "bilinear", "bicubic"), ("border", "reflection"), (False, True)):
        backward(F.grid_sample(values(1, 2, 3, 4, grad=True), values(1, 9, 9, 2, grad=True), mode, padding, corners))
    for mode in ("nearest", "bilinear"):
        backward(F.grid_sample(values(1, 3, 2, 3, 4, grad=True), values(1, 5, 5, 7, 3, grad=True), mode, align_corners=True))


@of("recurrent.cl", "cpu")
def recurrent() -> None:
    for (kind, options), (batch, bias) in product(
            ((torch.nn.LSTM, {}), (torch.nn.GRU, {}), (torch.nn.RNN, {}), (torch.nn.RNN, {"nonlinearity": "relu"})),
            ((1, True), (2, False), (5, True), (18, True))):
        layer = kind(3, 5, bias=bias, bidirectional=batch == 2, **options)
        backward(layer(values(4, batch, 3, grad=True))[0])
        with torch.no_grad():
            layer(values(4, batch, 3))
    for kind in (torch.nn.LSTM, torch.nn.GRU):
        packed = torch.nn.utils.rnn.pack_padded_sequence(values(4, 3, 3, grad=True), [4, 2, 1])
        backward(kind(3, 13)(packed)[0].data)
    backward(torch.nn.LSTM(3, 5, dtype=torch.float64)(values(4, 2, 3, dtype=torch.float64, grad=True))[0])


@of("ctc.cl")
def connectionist_losses() -> None:
    for kind, zero in product((torch.float32, torch.float64), (False, True)):
        x = values(9, 3, 5, dtype=kind, grad=True)
        lengths, targets = torch.tensor([9, 5, 1]), torch.tensor([[1, 2, 2, 3], [4, 0, 0, 0], [1, 1, 0, 0]])
        F.ctc_loss(x.log_softmax(2), targets, lengths, torch.tensor([4, 1, 2]), zero_infinity=zero).backward()
        F.ctc_loss(x.log_softmax(2), targets, lengths, torch.tensor([3, 0, 2]), reduction="sum").backward()


OPTIMIZERS = (lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), lambda p: torch.optim.Adam(p, amsgrad=True),
              lambda p: torch.optim.AdamW(p, weight_decay=0.1), lambda p: torch.optim.RMSprop(p, centered=True))


@of("optimizer.cl")
def optimizers() -> None:
    for make, kind in [*product(OPTIMIZERS, (torch.float32,)), *product(OPTIMIZERS[1:2], (torch.float64, torch.bfloat16))]:
        parameters = [torch.nn.Parameter(values(n, dtype=kind)) for n in (1, 3, 4, 37, 131)]
        optimizer = make(parameters)
        for _ in range(2):
            for p in parameters:
                p.grad = values(*p.shape, dtype=kind)
            optimizer.step()
