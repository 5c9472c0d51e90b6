"""Operators within ``vmap``: what PyTorch's give for each entry, computed for all at once."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.batching.level import Level
from clgrad.batching.rules import RULES
from clgrad.ops.registry import REGISTRY

ENTRIES = 3
INTEGER, MASK = "integer", "mask"

# A call, and the shapes of its operands' entries; integers are below 3.
CALLS = {
    "add": (lambda t, x, y: x + 2 * y, (2, 3), (3,)),
    "add of a smaller entry": (lambda t, x, y: x - y, (3,), (2, 3)),
    "0-d and others": (lambda t, x, y: x * y.double(), (2, 3), ()),
    "where": (lambda t, x, y: t.where(x > y, x, y * 2), (2, 3), (3,)),
    "where of another dtype": (lambda t, x, y: t.where(x > 0, x, y.double()), (2, 3), ()),
    "masked_fill": (lambda t, x: x.masked_fill(x > 0.2, -1.0), (2, 3)),
    "activations": (lambda t, x: t.nn.functional.gelu(x) + t.nn.functional.elu(x) + t.relu(x).sigmoid(), (2, 3)),
    "dtypes": (lambda t, x: x.to(t.float64).float() + x.double().type_as(x), (2, 3)),
    "made alike": (lambda t, x: t.zeros_like(x) + t.ones_like(x) * x.new_full((3,), 2.0) + x.new_zeros(2, 3), (2, 3)),
    "in place": (lambda t, x, y: (x + 0 * y).mul_(y).add_(1).clamp_(-1, 1), (2, 3), (3,)),
    "an item set": (lambda t, x, y: _with_item(x, y), (4, 3), (3,)),
    "sum": (lambda t, x: x.sum(), (2, 3)),
    "sums": (lambda t, x: x.sum(0) + x.mean((0, 1)) + x.amax(-1, keepdim=True), (3, 3)),
    "of a number": (lambda t, x: x.sum() + x.mean() + x.max(), ()),
    "var": (lambda t, x: x.var(1) + x.std(dim=(0, 1)) + t.logsumexp(x, 1), (4, 3)),
    "prod": (lambda t, x: x.prod() + x.prod(0), (2, 3)),
    "argmax": (lambda t, x: x.argmax() + x.argmin(0), (4, 3)),
    "max": (lambda t, x: x.max(1)[0] + x.min(0).values.sum() + t.max(x, x * x)[:, 0], (4, 3)),
    "median": (lambda t, x: x.median() + x.median(0)[0].sum() + x.quantile(0.4, dim=1).sum(), (4, 3)),
    "norm": (lambda t, x: x.norm() + x.norm(dim=0).sum() + t.linalg.vector_norm(x), (4, 3)),
    "all": (lambda t, x: (x > 0).any() | (x > -9).all(0)[0] | (t.count_nonzero(x) > 3), (4, 3)),
    "softmax": (lambda t, x: x.softmax(-1) + t.nn.functional.log_softmax(x, 0), (4, 3)),
    "cumsum": (lambda t, x: x.cumsum(0) + x.cumprod(1) + x.cummax(0)[0] + t.logcumsumexp(x, 1), (4, 3)),
    "sort": (lambda t, x: x.sort(0)[0] + x.topk(2, 1)[0].sum() + x.argsort(1), (4, 3)),
    "glu": (lambda t, x: t.nn.functional.glu(x, 0) + t.nn.functional.normalize(x, dim=1)[:2], (4, 3)),
    "flip": (lambda t, x: x.flip(0) + x.roll(1, 1) + x.flip((0, 1)), (4, 3)),
    "pieces": (lambda t, x: x.chunk(2, 0)[1] + x.split(2)[0] + x.split([1, 3])[1][:2] + x.unbind(1)[0][:2, None], (4, 3)),
    "parts": (lambda t, x: x.select(0, 1) + x.narrow(1, 0, 3)[2] + x.diagonal() + x.diff(dim=0)[0], (4, 3)),
    "turned": (lambda t, x: x.transpose(0, 1).sum(0) + x.T.mean(0) + x.mT[0] + x.t()[1] + x.permute(1, 0)[2]
               + x.movedim(0, -1)[0] + x.swapaxes(0, 1)[0], (4, 3)),
    "adjoint": (lambda t, x: t.view_as_real((x * (1 + 2j)).mH * 2 + (x * 1j).adjoint() + (x * 3j).H), (4, 3)),
    "complex": (lambda t, x, y: t.view_as_real(t.complex(x, y) + t.polar(x.abs(), y) + x.cfloat().sgn())[..., 0]
                + x.cfloat().imag + t.view_as_real(x.cdouble())[..., 1].float()
                + t.view_as_complex(t.stack([x, y.expand_as(x)], -1)).real.sum(), (2, 3), (3,)),
    "shapes": (lambda t, x: x.view(3, 4) + x.reshape(-1)[:4] + x.flatten()[4:8] + x.unflatten(0, (2, 2)).sum() + x.ravel()[0],
               (4, 3)),
    "one more": (lambda t, x: x.unsqueeze(0) + x[None].squeeze(0) + x.unsqueeze(-1).squeeze(), (4, 3)),
    "wider": (lambda t, x: x.expand(2, 4, 3) + x.repeat(2, 1, 1) + x.tile(2, 1, 1) + x.broadcast_to((2, 4, 3))
              + x.expand_as(x.new_zeros(2, 4, 3)), (4, 3)),
    "broadcast": (lambda t, x, y: sum(t.broadcast_tensors(x, y)), (4, 3), (3,)),
    "windows": (lambda t, x: x.unfold(0, 2, 1).sum(-1) + x.as_strided((3, 3), (1, 2)), (4, 3)),
    "diagonals": (lambda t, x: t.diag_embed(x).sum(0) + x.tril() + x.triu(1), (3, 3)),
    "cat": (lambda t, x, y: t.cat([x, y]).sum(1) + t.stack([y, y], -1).sum() + t.cat((y, x), 0)[:, 0], (4, 3), (2, 3)),
    "items": (lambda t, x: x[1] + x[..., 0].sum() + x[1:3].sum(0) + x[:, None, 2].sum(), (4, 3)),
    "an item of each": (lambda t, x, i: x[i], (4, 3), INTEGER),
    "items of each": (lambda t, x, i: x[i] * 2, (4, 3), (2, INTEGER)),
    "gather": (lambda t, x, i: x.gather(1, i) + t.take_along_dim(x, i, 1), (4, 3), (4, 2, INTEGER)),
    "scatter": (lambda t, x, i: x.scatter(1, i, 5.0) + x.scatter_add(0, i, x[:, :2]), (4, 3), (4, 2, INTEGER)),
    "index_select": (lambda t, x: x.index_select(0, t.tensor([2, 0])) + x.index_fill(1, t.tensor([1]), 2.0)[:2]
                     + x.index_add(0, t.tensor([1]), x[:1])[:2], (4, 3)),
    "matmul": (lambda t, x, y: x @ y, (4, 3), (3, 2)),
    "matmul of vectors": (lambda t, x, y: x @ y, (3,), (3,)),
    "matmul with a vector": (lambda t, x, y: x @ y + t.mv(x, y), (4, 3), (3,)),
    "matmul of a vector": (lambda t, x, y: x @ y, (3,), (3, 2)),
    "matmul of stacks": (lambda t, x, y: x @ y, (2, 4, 3), (3, 2)),
    "matmul of smaller stacks": (lambda t, x, y: x @ y, (4, 3), (2, 3, 2)),
    "products": (lambda t, x, y: t.mm(x, y) + t.bmm(x[None], y[None])[0] + t.addmm(y[0], x, y, beta=2, alpha=0.5),
                 (4, 3), (3, 2)),
    "vectors": (lambda t, x, y: t.dot(x, y) + t.outer(x, y) + t.vdot(x, y) + t.addr(x, x, y), (3,), (3,)),
    "einsum": (lambda t, x, y: t.einsum("ij,jk->ki", x, y) + t.einsum("ij, jk", x, y).T + t.einsum("...j,jk->k...", x, y),
               (4, 3), (3, 2)),
    "linear": (lambda t, x, w, b: t.nn.functional.linear(x, w, b), (2, 4, 3), (5, 3), (5,)),
    "linear of a vector": (lambda t, x, w, b: t.nn.functional.linear(x, w, b), (3,), (5, 3), (5,)),
    "matrices": (lambda t, x: t.linalg.inv(x @ x.T + 3 * t.eye(3)) + t.linalg.det(x) + t.linalg.cholesky(x @ x.T + t.eye(3)),
                 (3, 3)),
    "solve": (lambda t, x, y: t.linalg.solve(x + 9 * t.eye(3), y), (3, 3), (3, 3)),
    "distances": (lambda t, x, y: t.cdist(x, y)[0] + t.nn.functional.cosine_similarity(x, y)
                  + t.nn.functional.pairwise_distance(x, y) + t.linalg.vecdot(x, y), (3, 3), (3, 3)),
    "attention": (lambda t, q, k, v: t.nn.functional.scaled_dot_product_attention(q, k, v), (2, 4, 3), (2, 4, 3), (2, 4, 3)),
    "conv1d": (lambda t, x, w: t.nn.functional.conv1d(x, w, padding=1), (2, 4, 9), (6, 4, 3)),
    "conv2d": (lambda t, x, w, b: t.nn.functional.conv2d(x, w, b, stride=2), (2, 4, 6, 6), (6, 2 * 2, 3, 3), (6,)),
    "conv2d of one": (lambda t, x, w: t.nn.functional.conv2d(x, w, padding="same", groups=2), (4, 6, 6), (6, 2, 3, 3)),
    "conv_transpose2d": (lambda t, x, w, b: t.nn.functional.conv_transpose2d(x, w, b, stride=2), (2, 4, 3, 3), (4, 5, 2, 2),
                         (5,)),
    "pools": (lambda t, x: t.nn.functional.max_pool2d(x, 2) + t.nn.functional.avg_pool2d(x, 2)
              + t.nn.functional.adaptive_avg_pool2d(x, 3), (2, 4, 6, 6)),
    "a pool of one": (lambda t, x: t.nn.functional.max_pool1d(x, 2), (4, 6)),
    "pads": (lambda t, x: t.nn.functional.pad(x, (1, 1)).sum() + t.nn.functional.pad(x, (1, 1), mode="reflect"), (2, 4, 6)),
    "larger": (lambda t, x: t.nn.functional.interpolate(x, scale_factor=2, mode="bilinear"), (2, 4, 3, 3)),
    "pixel_shuffle": (lambda t, x: t.nn.functional.pixel_shuffle(x, 2), (2, 4, 3, 3)),
    "batch_norm": (lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, True), (6, 4, 3), (4,), (4,)),
    "batch_norm of eval": (lambda t, x, w: t.nn.functional.batch_norm(x, t.ones(4), 2 * t.ones(4), w), (6, 4), (4,)),
    "group_norm": (lambda t, x, w, b: t.nn.functional.group_norm(x, 2, w, b), (2, 4, 3), (4,), (4,)),
    "layer_norm": (lambda t, x, w, b: t.nn.functional.layer_norm(x, (3,), w, b), (4, 3), (3,), (3,)),
    "prelu": (lambda t, x: t.nn.functional.prelu(x, t.tensor([0.2, 0.3, 0.4])), (4, 3)),
    "embedding": (lambda t, i, w: t.nn.functional.embedding(i, w), (4, 2, INTEGER), (5, 3)),
    "one_hot": (lambda t, i: t.nn.functional.one_hot(i, 5), (4, INTEGER)),
    "losses": (lambda t, x, y: t.nn.functional.mse_loss(x, y) + t.nn.functional.smooth_l1_loss(x, y, reduction="sum")
               + t.nn.functional.l1_loss(x, y, reduction="none"), (4, 3), (4, 3)),
    "kl_div": (lambda t, x, y: t.nn.functional.kl_div(x, y, reduction="batchmean", log_target=True), (4, 3), (4, 3)),
    "cross_entropy": (lambda t, x, i: t.nn.functional.cross_entropy(x, i, ignore_index=1)
                      + t.nn.functional.cross_entropy(x, i, reduction="none", label_smoothing=0.1), (4, 3), (4, INTEGER)),
    "cross_entropy of one": (lambda t, x, i: t.nn.functional.cross_entropy(x, i), (3,), INTEGER),
    "nll_loss": (lambda t, x, i: t.nn.functional.nll_loss(x, i, reduction="sum"), (4, 3), (4, INTEGER)),
}
# Made of others, or computed entry by entry.
OTHERS = {
    "heads": (lambda t, x, w: t.nn.functional.multi_head_attention_forward(
        x, x, x, 4, 2, w, None, None, None, False, 0.0, t.eye(4), None, need_weights=False)[0], (5, 2, 4), (12, 4)),
    "triplets": (lambda t, x, y, z: t.nn.functional.triplet_margin_loss(x, y, z), (4, 3), (4, 3), (4, 3)),
    "index_put": (lambda t, x, i: x.index_put((i,), x[0]), (4, 3), (2, INTEGER)),
    "indices and numbers": (lambda t, x, i: x[i, 1], (4, 3), (2, INTEGER)),
    "indices apart": (lambda t, x, i: x[i, :, t.tensor([1, 0])], (4, 3, 2), (2, INTEGER)),
    "an item set by an index": (lambda t, x, i: _with_item(x + 0 * i.sum(), x[1], i), (4, 3), (2, INTEGER)),
    "rot90": (lambda t, x: t.rot90(x), (4, 3)),
    "kron": (lambda t, x, y: t.kron(x, y), (2, 2), (2, 3)),
    "searchsorted": (lambda t, x, y: t.searchsorted(x.sort()[0], y), (4,), (3,)),
    "grid_sample": (lambda t, x, g: t.nn.functional.grid_sample(x, g, align_corners=False), (2, 3, 4, 4), (2, 3, 3, 2)),
    "lstm_cell": (lambda t, x, w: t.lstm_cell(x, (x[:, :2], x[:, 1:3]), w, w[:, :2]), (4, 3), (8, 3)),
}


def _with_item(x, value, index=1):
    changed = x + 0 * value[..., :1].sum()
    changed[index] = value
    return changed


def operand(shape, number):
    """All entries of an operand."""
    rng = np.random.default_rng(number)
    sizes = (ENTRIES, *shape) if isinstance(shape, tuple) else (ENTRIES, INTEGER)
    if sizes[-1] == INTEGER:
        return rng.integers(0, 3, sizes[:-1])
    return rng.normal(size=sizes).astype(np.float32)


def mappings(count):
    """Which operands are mapped: all of them, the first alone, the others."""
    found = [(True,) * count, (True,) + (False,) * (count - 1), (False,) + (True,) * (count - 1)]
    return [m for n, m in enumerate(found) if any(m) and m not in found[:n]]


def compare(torch, call, shapes):
    arrays = [operand(shape, number) for number, shape in enumerate(shapes)]
    for mapped in mappings(len(shapes)):
        given = [a if m else a[0] for a, m in zip(arrays, mapped, strict=True)]

        def entry(n, given=given, mapped=mapped):
            return [torch.tensor(a[n] if m else a) for a, m in zip(given, mapped, strict=True)]
        expected = [call(torch, *entry(n)) for n in range(ENTRIES)]
        expected = [torch.stack(list(column)) for column in zip(*[e if isinstance(e, tuple) else (e,) for e in expected],
                                                                strict=True)]
        found = clgrad.vmap(lambda *tensors: call(clgrad, *tensors), in_dims=tuple([0 if m else None for m in mapped]))(
            *[clgrad.tensor(a) for a in given])
        found = found if isinstance(found, tuple) else (found,)
        for f, e in zip(found, expected, strict=True):
            assert f.shape == tuple(e.shape) and str(f.dtype) == str(e.dtype)
            np.testing.assert_allclose(f.numpy(), e.numpy(), rtol=2e-4, atol=2e-5)


def compare_gradients(torch, call, shapes):
    """Of the sum of squares of what comes out, by all operands, shared or not."""
    arrays = [operand(shape, number) for number, shape in enumerate(shapes)]
    by = tuple([n for n, a in enumerate(arrays) if a.dtype == np.float32])

    def value(t, *tensors):
        result = call(t, *tensors)
        results = [r for r in (result if isinstance(result, tuple) else (result,)) if r.is_floating_point()]
        return sum([(r.float() * r.float()).sum() for r in results], t.zeros(()))
    if not value(torch, *[torch.tensor(a[0]).requires_grad_(n in by) for n, a in enumerate(arrays)]).requires_grad:
        return
    for mapped in mappings(len(shapes)):
        expected = []
        for n in range(ENTRIES):
            tensors = [torch.tensor(a[n] if m else a[0]) for a, m in zip(arrays, mapped, strict=True)]
            for k in by:
                tensors[k].requires_grad_()
            expected.append(torch.autograd.grad(value(torch, *tensors), [tensors[k] for k in by], materialize_grads=True,
                                                allow_unused=True))
        found = clgrad.vmap(clgrad.func.grad(lambda *tensors: value(clgrad, *tensors), argnums=by),
                            in_dims=tuple([0 if m else None for m in mapped]))(
            *[clgrad.tensor(a if m else a[0]) for a, m in zip(arrays, mapped, strict=True)])
        for f, e in zip(found, zip(*expected, strict=True), strict=True):
            np.testing.assert_allclose(f.numpy(), torch.stack(list(e)).numpy(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("label", CALLS)
def test_rules(torch, label, monkeypatch):
    def refuse(self, name, *_):
        raise AssertionError(f"{name} is computed entry by entry")
    monkeypatch.setattr(Level, "entry_by_entry", refuse)
    call, *shapes = CALLS[label]
    compare(torch, call, shapes)


@pytest.mark.parametrize("label", OTHERS)
def test_without_a_rule(torch, label):
    call, *shapes = OTHERS[label]
    compare(torch, call, shapes)


@pytest.mark.parametrize("label", [*CALLS, *OTHERS])
def test_gradients(torch, label):
    call, *shapes = {**CALLS, **OTHERS}[label]
    compare_gradients(torch, call, shapes)


@pytest.mark.parametrize("name", [n for n, row in REGISTRY.pointwise.items()
                                  if row.public and not row.parameters and n != "where"])
def test_pointwise_rows(name):
    """Aligned as one call aligns what is stacked by hand."""
    row, f = REGISTRY.pointwise[name], getattr(clgrad, name, None) or getattr(clgrad.nn.functional, name)
    operands = [clgrad.rand(ENTRIES, *shape) + 0.1 for shape in ((2, 3), (3,), (2, 1))[:len(row.tensors)]]
    if name.startswith(("bitwise", "gcd", "lcm")):
        operands = [(x * 9).long() for x in operands]
    expected = clgrad.stack([f(*[x[n] for x in operands]) for n in range(ENTRIES)])
    found = clgrad.vmap(f)(*operands)
    assert found.dtype is expected.dtype and clgrad.equal(clgrad.isnan(found), clgrad.isnan(expected))
    assert clgrad.equal(found.nan_to_num(), expected.nan_to_num())


def test_every_rule_is_for_an_operator():
    known = {getattr(f, "operator_name", "") for f in (*REGISTRY.functions.values(), *REGISTRY.methods.values())}
    for place in (clgrad, clgrad.nn.functional, clgrad.linalg, clgrad.special, clgrad.Tensor):
        known |= {getattr(getattr(place, name), "operator_name", "") for name in dir(place)}
    known |= {getattr(member.fget, "operator_name", "") for member in vars(clgrad.Tensor).values()
              if isinstance(member, property)}
    pointwise = {f"{n}_" for n in REGISTRY.pointwise} | {f"special_{n.lstrip('_')}" for n in REGISTRY.pointwise}
    assert set(RULES) - known - pointwise - set(REGISTRY.pointwise) == {"grad"}
