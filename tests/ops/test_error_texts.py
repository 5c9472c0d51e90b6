"""What errors say: PyTorch's words for the most usual mistakes, which programs and tests look for."""

from __future__ import annotations

import re

import pytest

import clgrad

PROGRAMS = [
    "torch.cat([x, torch.ones(2, 4)], 0)", "torch.cat()", "torch.cat([v, v], 'a')", "torch.mm(v, x)", "torch.mm(x, v)",
    "torch.bmm(x, x)", "torch.bmm(torch.ones(2, 2, 3), x)", "torch.addmm(x, v, x)", "torch.outer(x, v)", "torch.gather(x, 0)",
    "torch.transpose(x)", "torch.transpose(x, 0, 'a')", "torch.unsqueeze(x, 1.5)", "torch.cumsum(x)",
    "torch.select(x, 'a', 0)",
    "x.permute(0, 0)", "x.expand(4, 3)", "x.expand(-1, -1, 3)", "torch.einsum(3, x)", "torch.linalg.norm(v, 'fro')",
    "torch.linalg.norm(v, 'abc')", "torch.cholesky_inverse(torch.zeros(3, 3))",
    "torch.cholesky_inverse(torch.zeros(2, 3, 3))",
    "torch.ormqr(torch.ones(3, 3), torch.ones(5), torch.ones(3, 3))",
    "torch.ormqr(torch.ones(3, 3), torch.ones(3), torch.ones(2, 3))", "x.masked_fill(torch.ones(2, 3).long(), 1)",
    "torch.masked_select(v, v)", "torch.linspace(v, 1, 3)", "torch.nn.functional.embedding(torch.tensor([0]), v)",
    "torch.multinomial(torch.tensor([-1., 2.]), 1)", "torch.multinomial(torch.tensor([-1., 2.]), 2, True)",
    "torch.lerp(v, v.long(), .5)", "torch.Size([1.5])", "torch.iinfo(torch.float32)", "torch.finfo(torch.int8)",
    "torch.Size([1]) + [2]", "torch.set_num_threads(1 << 65)", "torch.set_num_interop_threads('a')",
    "torch.histogramdd(v, [2, 2])", "torch.ones(2, 1).dim_order(ambiguity_check=True)", "v.dim_order(ambiguity_check='a')",
    "v.__setitem__(0, [1.])", "v.long().__setitem__(0, None)",
    "torch.nn.functional.conv1d(torch.ones(1, 1, 3), torch.ones(1, 1, 2, dtype=torch.float64))",
    "torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3).long(), torch.ones(1, 1, 2, 2))",
    "torch.ones(1).set_(torch.ones(1).untyped_storage(), 5, (1,), (1,))",
    "x.split(0)", "x.unflatten(1, (2, 2))", "torch.tensor([None])", "torch.bincount(v)",
    "torch.nn.functional.glu(x, 5)", "torch.nn.functional.instance_norm(v)",
    "torch.nn.functional.nll_loss(torch.tensor(1.), torch.tensor([0]))",
    "torch.nn.functional.binary_cross_entropy(x, x.double())",
    "torch.distributions.TransformedDistribution(torch.distributions.Normal(0., 1.), 5)",
    "x.type_as(5)", "torch.is_floating_point(5)", "x.add(x, alpha='a')", "x.addcmul(x, x, value='a')",
    "x.as_strided((2, 2), (1, 1), -1)",
    "torch.finfo('a')", "torch.iinfo(torch.bool)", "torch.ones(0, 2).index_select(0, torch.tensor([0]))",
    "torch._check_tensor_all(torch.ones(1))", "torch.use_deterministic_algorithms(1)", "torch.arange(1e-38, 3e38)",
    "torch.ones(1, dtype=torch.int32, requires_grad=True)", "v.long().requires_grad_()",
    "setattr(v.long(), 'requires_grad', True)",
    "torch.asarray(v, dtype=torch.float64, copy=False)", "torch.asarray(v, device='meta', copy=False)",
    "torch.unravel_index(v, (2, 2))", "torch.unravel_index(v.long(), (2., 2))", "torch.unravel_index(v.long(), 2.)",
    "torch.unravel_index(v.long(), (2, -2))", "torch.tensor_split(v, torch.tensor(1.1))",
    "torch.tensor_split(v, torch.tensor([[1]]))", "torch.nonzero(v, out=torch.ones(3))",
    "v.long().index_put_((torch.tensor([0, 1]),), x)", "v.long().index_put_((torch.tensor([0, 1]),), v[:2])",
    "v.long().index_put_((v > 0,), torch.tensor([]))",
    "torch.nn.functional.max_unpool1d(x, torch.tensor([[0, -1, 1], [0, 1, 2]]), 2)",
    "torch.nn.functional.max_unpool2d(x[None], torch.tensor([[[0, 99, 1], [0, 1, 2]]]), 2)",
    "torch.nn.functional.embedding_bag(torch.tensor([[0]]), x, mode='sum', padding_idx=5)",
    "torch.nn.functional.embedding_bag(torch.tensor([[0]]), x, mode='sum', per_sample_weights=torch.ones(1, 1).double())",
    "torch.nn.functional.embedding_bag(torch.tensor([[7]]), x, mode='sum', padding_idx=0)",
    "torch.nn.functional.adaptive_avg_pool1d(torch.ones(2, 3, 4, requires_grad=True), 0).sum().backward()",
    "torch.nn.functional.adaptive_max_pool1d(torch.ones(2, 3, requires_grad=True), 0).sum().backward()",
    "torch.nn.functional.adaptive_avg_pool2d(torch.ones(2, 3, 3, requires_grad=True), 0).sum().backward()",
    "torch.amax(x, 0, out=torch.ones(3).long())", "torch.amin(x, out=torch.ones(3).bool())", "torch.narrow_copy(x, -3, 0, 1)",
    "torch.narrow_copy(x, 0, 0, -1)", "torch.narrow_copy(torch.tensor(1.), 0, 0, 1)", "torch._chunk_cat([x, v], -1, 2)",
    "torch._chunk_cat([x, x.T], 1, 2)", "torch.gradient(v, spacing=[torch.ones(3, device='meta')])",
    "torch.chunk(torch.tensor(1.), 2)", "torch.lu_unpack(torch.tensor(1.), v.int())", "torch.cholesky_solve(v, x[:, :2])",
    "torch.cholesky_solve(x[:, :2], v)", "torch.addr(torch.ones(3, 3), v, v, beta='x')",
    # Dtypes that an operator does not take.
    "torch.bernoulli(v * 1.5)", "torch.bernoulli(-v)", "torch.bernoulli(v / 0 - v / 0)", "v.bernoulli_(v * 2)",
    "torch.bernoulli(v.long())", "v.bool().geometric_(.5)", "v.long().cauchy_()", "v.long().exponential_()",
    "torch.topk(v.bool(), 1)", "torch.argmax(v.bool())", "torch.argmin(v.bool(), 0)", "torch.kthvalue(v.bool(), 1)",
    "torch.median(v.bool(), 0)", "torch.searchsorted(v.bool(), v.bool())", "torch.bucketize(v.bool(), v.bool())",
    "torch.isin(v.bool(), v)", "torch.trace(x.bool())", "torch.cdist(x.int(), x)", "torch.cdist(x, x.bool())",
    "torch.dist(v.int(), v.int())", "torch.logcumsumexp(v.int(), 0)", "torch.histc(v.int())",
    "torch.cumulative_trapezoid(v.bool())", "torch.gradient(v.byte())",
    "torch.std(v.int())", "torch.var(v.bool(), 0)", "torch.frexp(v.int())", "torch.round(v.int(), decimals=1)",
    "torch.mvlgamma(v.bool(), 1)", "torch.linalg.vecdot(v.int(), v.int())", "torch.cross(v.bool(), v.bool(), 0)",
    "torch.div(v.bool(), v.bool(), rounding_mode='trunc')", "torch.div(v.bool(), v.bool(), rounding_mode='floor')",
    "torch.relu(v.bool())", "torch.nn.functional.hardtanh(v.bool())", "torch.nn.functional.relu6(v.bool())",
    "torch.grid_sampler(x[None, None].int(), torch.ones(1, 1, 1, 2).int(), 0, 0, False)",
    "torch.nn.functional.grid_sample(torch.ones(1, 1, 2, 2, 2).int(), torch.ones(1, 1, 1, 1, 3).int(), align_corners=True)",
    "torch.linalg.lu(x.int())", "torch.linalg.eigh(x[:, :2].int())", "torch.geqrf(x.int())", "torch.gcd(v, v)",
    "torch.linalg.lu_factor(x.half())", "torch.linalg.solve_triangular(x[:, :2].int(), x.int(), upper=True)",
    "torch.bitwise_and(v, v)", "v.long() << v", "torch.ceil(v.bool())", "torch.frac(v.long())",
    "torch.hypot(v.int(), v.int())", "torch.nn.functional.softplus(v.int())", "torch.nn.functional.gelu(v.int())",
    "torch.nn.functional.mse_loss(v.int(), v.int())",
    "torch.addcmul(v.bool(), v.bool(), v.bool())", "torch.fmod(v.bool(), v.bool())",
    "torch.floor_divide(v.bool(), v.bool())", "torch.nn.functional.multi_margin_loss(x.int(), v[:2].long())",
    "torch.nn.functional.multilabel_margin_loss(x.int(), x.long())",
    "torch.nn.functional.multi_margin_loss(x, v[:2], weight=torch.ones(4))",
    "torch.stack([v], out=torch.ones(1, 3).long())", "torch._chunk_cat([v], 0, 1, out=v.long())",
    "torch.normal(v, v, out=v.long())", "torch.normal(v.int(), 1.)",
    # Losses of what is not floating-point.
    "torch.nn.functional.binary_cross_entropy_with_logits(v, v.long())",
    "torch.nn.functional.binary_cross_entropy_with_logits(v, v.bool())",
    "torch.nn.functional.binary_cross_entropy_with_logits(v.long(), v)",
    "torch.nn.functional.kl_div(v, v.long(), reduction='sum')", "torch.nn.functional.kl_div(v.bool(), v, reduction='sum')",
    "torch.nn.functional.l1_loss(v, v.bool())", "torch.nn.functional.huber_loss(v.long(), v)",
    "torch.nn.functional.soft_margin_loss(v.long(), v)", "torch.nn.functional.soft_margin_loss(v.long(), v.long())",
    "torch.nn.functional.soft_margin_loss(v.bool(), v)",
    # Sequences without a batch, whose lengths do not fit.
    "torch.nn.functional.ctc_loss(x, torch.tensor([1, 2]), (3,), (2,))",
    "torch.nn.functional.ctc_loss(x, torch.tensor([1, 2]), (2, 2), (2,))",
    "torch.nn.functional.ctc_loss(x, torch.tensor([1, 2]), (2,), (3,))",
    "torch.nn.functional.ctc_loss(x, torch.tensor([1, 2]), (2,), (-1,))",
    "torch.nn.functional.ctc_loss(x, torch.tensor([[1, 2]]), (2,), (3,))",
    "torch.nn.functional.ctc_loss(x[:, None], torch.tensor([[1], [2]]), (2,), (1,))",
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_texts(torch, program):
    errors = []
    for library in (torch, clgrad):
        with pytest.raises(Exception) as caught:
            eval(program, {"torch": library, "x": library.ones(2, 3), "v": library.ones(3)})
        errors.append((caught.type.__name__.removeprefix("_"), str(caught.value).splitlines()[0]))
    (kind, text), (own_kind, own_text) = errors
    assert own_kind == kind
    # Ours may name the operator before it, and say more behind it.
    assert re.sub(r"[.]$|, but got start.*|, got 1-D tensor$|, but got 2-D$|  [(]Could this error message.*", "",
                  text) in own_text


def test_rank_of_symmetric_matrices_by_position():
    assert clgrad.linalg.matrix_rank(clgrad.eye(3), .1, True).item() == 3


def test_a_sequence_that_cannot_be_read():
    class Sequence:
        def __len__(self):
            return 2

        def __getitem__(self, item):
            raise TypeError
    with pytest.raises(ValueError, match="could not determine the shape"):
        clgrad.tensor(Sequence())


def test_mapped_values_are_numbers():
    with pytest.raises(TypeError):
        clgrad.arange(3).apply_(lambda value: "text")


# Here the words are clgrad's own, for arguments of another kind than the operator takes.
OF_ANOTHER_KIND = {
    "x.sum('a')": r"sum\(\): argument 'dim' \(position 2\) must be int, not str",
    "x.any(dim='a')": r"any\(\): argument 'dim' must be int, not str",
    "x.view()": r"view\(\) received an invalid combination",
    "x.view(2.5)": r"view\(\): argument 'size' must be tuple of ints, not \(float\)",
    "x.repeat('a', 2)": r"repeat\(\): argument 'repeats' must be tuple of ints",
    "torch.tile(x, 'a')": r"tile\(\): argument 'dims' must be", "x.tril('a')": r"tril\(\): argument 'diagonal' must be int",
    "torch.round(x, decimals='a')": r"round\(\): argument 'decimals' must be int", "x.softmax()": r"missing 1 .*\"dim\"",
    "torch.stack(3)": r"argument 'tensors' \(position 1\) must be tuple of Tensors, not int",
    "torch.arange('a')": r"arange\(\): argument 'end' must be Number, not str",
    "x.fill_('a')": r"argument 'value' must be Number",
    "torch.linspace('a', 1, 5)": r"linspace\(\): argument 'start' must be Number", "x.copy_('a')": r"must be Tensor, not str",
    "torch.nn.functional.pad(x, 'a')": r"argument 'pad' \(position 2\) must be tuple of ints, not str",
    "torch.quantile(x, 'a')": r"argument 'q' must be float", "torch.isin(x)": r"isin\(\) missing 1 required positional",
    "x.normal_('x')": r"normal_\(\): argument 'mean' must be Number, not str",
    "torch.addmm(x, torch.ones(2, 2), x, alpha='x')": r"addmm\(\): argument 'alpha' must be Number, not str",
    "torch.hsplit(x, 'abc')": r"hsplit\(\) received an invalid combination of arguments - got \(Tensor, str\)",
    "torch.clone(2.5)": r"argument 'input' must be Tensor, not float",
    "torch.numel(5)": r"argument 'input' \(position 1\) must be Tensor, not int",
    "x.resize_('a')": r"resize_\(\): argument 'size' must be tuple of ints",
    "torch.sum(x, dtype='a')": r"argument 'dtype' must be torch.dtype, not str",
    "torch.bernoulli(x, generator=5)": r"argument 'generator' must be torch.Generator, not int",
    "torch.clamp(x, 1, 'b')": r"^clamp\(\): argument must be Tensor or Number"}


@pytest.mark.parametrize("program", OF_ANOTHER_KIND)
def test_arguments_of_another_kind(torch, program):
    for library in (torch, clgrad):
        with pytest.raises(TypeError, match=OF_ANOTHER_KIND[program] if library is clgrad else None):
            eval(program, {"torch": library, "x": library.ones(2, 3)})
