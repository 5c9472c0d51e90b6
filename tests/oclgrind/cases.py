"""Small computations that between them reach every kernel of ``cl_kernels/``, its branches and its edges.

Sizes lie around what the kernels cut work into: a vector, a tile, a block, a work-group, a work-item's share.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

import clgrad as torch
import clgrad.nn.functional as F
from clgrad.ops import pointwise
from clgrad.ops.registry import NO_FORMULA, REGISTRY
from tests.oclgrind.marks import FLOATS, backward, of, positions, rng, through_a_chain, values
from tests.references import FLOATING, INTEGER


@of("trial.cl")
def trial() -> None:
    device = torch.device("cpu").compute
    from_source = device.kernel("trial.cl", "trial", {}, "P")
    device.run(torch.runtime.Bound(from_source, (8,), (8,), 1, "", (), (0, 0)), (device.allocate(32).buffer,), ())


@of("fill.cl", "cpu")
def filling() -> None:
    device = torch.device("cpu").compute
    kernel = device.kernel("fill.cl", "fill", {}, "Plll")
    for blocks in (1, 3, 4, 9):
        memory = device.allocate(64 * blocks)
        device.run(torch.runtime.Bound(kernel, (4,), (1,), 1, "lll", (), (0, 0)), (memory.buffer,), (5, 7, blocks))


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
        arrays = [np.concatenate([rng.uniform(*interval, 4), np.multiply(interval, 9), [np.nan, 0]])
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
        operands = [torch.tensor(rng.integers(low, high, 9)) for low, high in intervals]
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
    weight = torch.tensor(rng.uniform(0.5, 2, 7)).float()
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


@of("elementwise.cl")
def complex_numbers() -> None:
    z, w = torch.complex(values(5, 7), values(5, 7)), torch.complex(values(7, 5), values(7, 5)).t()
    z * w / (z + 2j), (z - w[:, 1:2]).exp(), z.t().contiguous(), z[1:, ::2].clone() == 0
    w.to(torch.complex128), w.real.sqrt(), z @ w.mT
    backward((torch.complex(values(4, grad=True), values(4)).tanh() ** 2).real)


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
        line = torch.tensor(np.sort(rng.normal(size=(3, n)))).float()
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


@of("gemm.cl")
def gradients_of_relus_between_linear_layers() -> None:
    nn = torch.nn
    through_a_chain(nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 37), shape=(9, 5))
    through_a_chain(nn.Linear(3, 7), nn.ReLU(), nn.Linear(7, 130), shape=(2, 3))  # split along k


@of("gemm.cl")
def products_split_along_k() -> None:
    F.linear(values(2, 130), values(3, 130), values(3)), values(130, 9).t() @ values(130, 5)
