"""``out=``: which dtypes it may have, what becomes of its shape and strides. And PyTorch's names of arguments."""

from __future__ import annotations

import pytest

import clgrad
from tests.compare import assert_same, assert_same_outcome

DTYPES = ["float32", "float64", "int64", "uint8", "bool"]


def matrices(t):
    return t.arange(6.0).reshape(2, 3) / 8, t.arange(6.0).reshape(3, 2) / 8


EXACT = [
    lambda t, a, b, o: t.mm(a, b, out=o), lambda t, a, b, o: t.dot(a[0], a[1], out=o),
    lambda t, a, b, o: t.addmm(b[:2], a, b, out=o), lambda t, a, b, o: t.linalg.multi_dot([a, b, a], out=o),
    lambda t, a, b, o: t.argmax(a, 0, out=o), lambda t, a, b, o: t.amax(a, 0, out=o),
    lambda t, a, b, o: t.logcumsumexp(a, 0, out=o), lambda t, a, b, o: t.clamp(a, 0, 1, out=o),
    lambda t, a, b, o: t.index_select(a, 0, t.tensor([1]), out=o), lambda t, a, b, o: t.abs(a, out=o),
    lambda t, a, b, o: t.index_add(a, 0, t.tensor([1]), a[:1], out=o), lambda t, a, b, o: t.log_softmax(a, 1, out=o),
    lambda t, a, b, o: t.conj_physical(a, out=o), lambda t, a, b, o: t.all(a, out=o),
    lambda t, a, b, o: t.isin(a, b, out=o), lambda t, a, b, o: t.argsort(a, stable=True, out=o),
    lambda t, a, b, o: t.tril(a, out=o), lambda t, a, b, o: t.msort(a, out=o), lambda t, a, b, o: t.renorm(a, 2, 0, 1, out=o),
    lambda t, a, b, o: t.take(a, t.tensor([1]), out=o), lambda t, a, b, o: t.quantile(a, 0.5, out=o),
    lambda t, a, b, o: t.transpose_copy(a, 0, 1, out=o), lambda t, a, b, o: t.slice_scatter(a, a[:1], 0, 0, 1, out=o),
    lambda t, a, b, o: t.masked_select(a, a.ge(0), out=o), lambda t, a, b, o: t.nonzero(a, out=o),
    lambda t, a, b, o: t.nan_to_num(a, out=o), lambda t, a, b, o: t.round(a, decimals=1, out=o),
    lambda t, a, b, o: t.take_along_dim(a, t.zeros(2, 3, dtype=t.int64), 0, out=o),
    *[lambda t, a, b, o, n=n: getattr(t, n)(a, 0, out=(o, t.empty(0, dtype=t.int64)))
      for n in ("max", "min", "median", "nanmedian", "mode", "sort")],
    lambda t, a, b, o: t.topk(a, 1, out=(o, t.empty(0, dtype=t.int64))), lambda t, a, b, o: t.where(a > 0, a, a, out=o),
    lambda t, a, b, o: t.linalg.lstsq(b, b, driver="gels", out=(o, *(t.empty(0, dtype=d) for d in (
        t.float32, t.int64, t.float32))))[0].abs().round(decimals=3)]


@pytest.mark.parametrize("call", [
    *EXACT, lambda t, a, b, o: t.cat([a, a], out=o), lambda t, a, b, o: t.logsumexp(a, 0, out=o),
    lambda t, a, b, o: t.cumsum(a, 1, out=o), lambda t, a, b, o: t.cumprod(a, 1, out=o),
    lambda t, a, b, o: t.float_power(a, 2, out=o), lambda t, a, b, o: t.bernoulli(a.ge(0).float(), out=o),
    lambda t, a, b, o: t.cumsum(a, 1, dtype=t.float32, out=o),
    lambda t, a, b, o: t.nn.functional.normalize(a, out=o), lambda t, a, b, o: t.max(a, out=o),
    lambda t, a, b, o: t.sum(a, 0, out=o), lambda t, a, b, o: t.prod(a, 0, out=o), lambda t, a, b, o: t.nansum(a, 0, out=o),
    lambda t, a, b, o: t.nanmean(a, 0, out=o), lambda t, a, b, o: t.sum(a, 0, dtype=t.float32, out=o),
    lambda t, a, b, o: t.clamp(a, t.tensor(0), t.tensor(1), out=o), lambda t, a, b, o: t.clamp(a, t.tensor(0), out=o),
    lambda t, a, b, o: t.clamp(a, min=0, out=o), lambda t, a, b, o: t.clamp_max(a, 1, out=o),
    lambda t, a, b, o: t.nn.functional.softplus(a, out=o), lambda t, a, b, o: t.diff(a, 0, out=o),
    lambda t, a, b, o: t.inner(t.tensor(2), t.tensor([1, 2]), out=o),
    lambda t, a, b, o: t.bitwise_not(a > 0, out=o), lambda t, a, b, o: t.all(a.to(t.uint8), 0, out=o),
    lambda t, a, b, o: t.nn.functional.gelu(a, out=o),
    lambda t, a, b, o: t.nn.functional.softshrink(a, out=o), lambda t, a, b, o: t.nn.functional.logsigmoid(a, out=o)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(call, dtype, torch):
    assert_same_outcome(torch, lambda t: call(t, *matrices(t), t.empty(0, dtype=getattr(t, dtype))))


@pytest.mark.parametrize("call", [
    lambda t, o: t.arange(6, out=o), lambda t, o: t.linspace(0, 7, 6, out=o), lambda t, o: t.logspace(0, 2, 6, out=o),
    lambda t, o: t.arange(4, out=o), lambda t, o: t.eye(2, 3, out=o),
    lambda t, o: t.arange(6, dtype=t.int32, out=o), lambda t, o: t.full((2,), 3, out=o)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_made_in_place(call, dtype, torch):
    assert_same_outcome(torch, lambda t: call(t, t.ones(2, 3, dtype=getattr(t, dtype))))


def test_strides_stay(torch):
    """A result goes where ``out`` says; only another shape gives it other strides."""
    def program(t):
        wide, x = t.zeros(2, 6), t.arange(6.0).reshape(2, 3)
        outs = [wide[:, ::2], t.zeros(3, 2).t(), t.zeros(4)]
        for out in outs:
            t.conj_physical(x, out=out)
            t.cat([x[:1], x[1:]], out=out)
            t.cumsum(x, 0, out=out)
        return wide, [out.stride() for out in outs], outs[1].resize_(2, 3).stride()
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("call", [
    lambda t, x: t.cat([x, x], out=x), lambda t, x: t.cat([x, x], out=t.empty(1).expand(12)),
    lambda t, x: t.cat([x + 1, x], out=x[:2]), lambda t, x: t.gather(x + 1, 0, x[1:].long(), out=x[:1]),
    lambda t, x: t.cat([x, x], out=t.empty(12, requires_grad=True)), lambda t, x: t.cumsum(x, 0, out=x[:1].expand(6))])
def test_memory(call, torch):
    assert_same_outcome(torch, lambda t: call(t, t.arange(6.0)))


@pytest.mark.parametrize("call", [
    lambda t, o: t.add(t.ones(2), 1, out=o), lambda t, o: t.mm(t.eye(2), t.eye(2), out=o),
    lambda t, o: t.sum(t.ones(2, 2), 0, out=o), lambda t, o: t.cat([t.ones(2)], out=o)])
def test_a_result_of_another_shape_warns(call):
    for out in (clgrad.ones(3), clgrad.ones(1, 2, 2)):
        with pytest.warns(UserWarning, match=r"was resized since it had shape \[.*resize_\(0\)"):
            call(clgrad, out)
    call(clgrad, clgrad.empty(0))


# Names of arguments.

@pytest.mark.parametrize("call", [
    lambda t, x: t.clamp_max(x, max=1), lambda t, x: x.clamp_min(min=t.ones(3)), lambda t, x: x.clone().clamp_min_(min=1),
    lambda t, x: t.heaviside(x, values=x), lambda t, x: t.addmv_(input=x.clone(), mat=t.eye(3), vec=x),
    lambda t, x: t.logit_((x / 4).clone(), eps=0.1), lambda t, x: t.fill_(input=x.clone(), value=2),
    lambda t, x: x.clone().copy_(other=x + 1), lambda t, x: t.isin(x, test_element=2),
    lambda t, x: t.isin(element=2, test_elements=x),
    lambda t, x: t.hsplit(x, sections=3), lambda t, x: t.hsplit(x, indices=[1]), lambda t, x: t.hsplit(x),
    lambda t, x: t.vsplit(x.reshape(3, 1), indices=(1, 2)), lambda t, x: t.alpha_dropout(x, p=0.5, train=False),
    lambda t, x: t.feature_alpha_dropout(x, 0.5, False), lambda t, x: t.alpha_dropout(x),
    lambda t, x: t.det(input=t.eye(2)), lambda t, x: t.inverse(input=t.eye(2)), lambda t, x: t.linalg.det(A=t.eye(2)),
    lambda t, x: t.linalg.cholesky(input=t.eye(2)), lambda t, x: t.linalg.lstsq(input=t.eye(3), b=x[:, None]).solution,
    lambda t, x: t.cholesky_inverse(input=t.ones(1, 1)), lambda t, x: t.cholesky_solve(input=x[:, None], input2=t.eye(3)),
    lambda t, x: t.linalg.tensorsolve(input=t.eye(3), other=x)])
def test_names(call, torch):
    assert_same_outcome(torch, lambda t: call(t, t.tensor([1.0, 2.0, 3.0])))


@pytest.mark.parametrize("name", ["atan2", "gcd", "heaviside", "hypot", "igamma", "lcm", "ldexp", "logical_and"])
def test_in_place_with_a_number(name, torch):
    assert_same_outcome(torch, lambda t: getattr(t.ones(3), f"{name}_")(2))


@pytest.mark.parametrize("call", [
    lambda t: t.zeros(2).cauchy_(0, 0), lambda t: t.zeros(2).log_normal_(0, 0),
    lambda t: t.gradient(t.zeros(3, 3), dim=(1, 1)), lambda t: t.linspace(0, 1, 3.0), lambda t: t.logspace(0, 1, True),
    lambda t: t.arange(0, 4, 0.5, dtype=t.int64), lambda t: t.eye(3.0), lambda t: t.arange(3, dtype=t.bool)])
def test_refused(call, torch):
    assert_same_outcome(torch, call)


@pytest.mark.parametrize("name", ["eig", "lstsq", "matrix_rank", "solve", "symeig"])
def test_removed(name, torch):
    matrices = 2 if name in ("lstsq", "solve") else 1
    assert_same_outcome(torch, lambda t: getattr(t, name)(*[t.eye(2)] * matrices))


@pytest.mark.parametrize("call", [
    lambda t, x: t.addmm(x.double(), x, x), lambda t, x: x.double().addmm_(x, x),
    lambda t, x: t.addmv(x[0].double(), x, x[0]),
    lambda t, x: t.addr(x > 0, x[0] > 0, x[1] > 1, beta=3, alpha=2), lambda t, x: t.addr(x > 0, x[0] > 0, x[1] > 1, beta=1.5),
    lambda t, x: t.addbmm(x.byte(), x.byte().expand(3, 2, 2), x.byte().expand(3, 2, 2), beta=2),
    lambda t, x: t.addbmm(x, x.expand(3, 2, 2), x.expand(2, 2, 2)), lambda t, x: t.addbmm(x, x[None, :0, 1:], x[None, 1:]),
    lambda t, x: t.clamp_max(x > 0, x > 1), lambda t, x: t.clamp(x > 0, min=0), lambda t, x: t.clamp(x > 0, x > 0, x > 1)])
def test_mixed_operands(call, torch):
    assert_same_outcome(torch, lambda t: call(t, t.arange(4.0).reshape(2, 2)))


@pytest.mark.parametrize("program", [
    lambda t, x: t.eq(x, 1, out=t.zeros(2, dtype=t.bool)), lambda t, x: t.floor_divide(x, 2, out=t.zeros(2)),
    lambda t, x: t.logical_not(x, out=t.zeros(2, dtype=t.bool))])
def test_what_has_no_gradient_goes_into_out_whatever_its_operands_require(program, torch):
    found = [program(t, t.tensor([1.0, 4.0], requires_grad=True)).tolist() for t in (clgrad, torch)]
    assert found[0] == found[1]


@pytest.mark.parametrize("program", [
    lambda t, x, out: t.exp(x, out=out), lambda t, x, out: t.add(x, t.ones(3, 2), out=out),
    lambda t, x, out: t.add(t.ones(3, 2), x, out=out), lambda t, x, out: t.addcmul(x, x, x, out=out),
    lambda t, x, out: t.clamp(x, 0, out=out), lambda t, x, out: t.mul(x[:, None], t.ones(4, 2), out=out),
    lambda t, x, out: t.sub(x, t.ones(3, 2).half(), out=out), lambda t, x, out: t.special.zeta(x + 2, 2.0, out=out)])
def test_what_is_resized_lies_as_a_new_result_would(program, torch):
    ours, theirs = (program(t, t.arange(6.0).reshape(2, 3).t(), t.empty(0)) for t in (clgrad, torch))
    assert_same(ours, theirs, 1e-6)
    assert ours.stride() == theirs.stride()


@pytest.mark.parametrize("program", [
    lambda t, x, out: t.exp(x, out=out), lambda t, x, out: t.add(x, x, out=out), lambda t, x, out: t.clamp(x, 0, out=out),
    lambda t, x, out: t.sum(x[None], 0, out=out), lambda t, x, out: t.cat([x], out=out),
    lambda t, x, out: t.cumsum(x, 0, out=out), lambda t, x, out: t.mv(x[:, None] * x, x, out=out),
    lambda t, x, out: t.softmax(x, 0, out=out), lambda t, x, out: t.exp(x[:0], out=out[:0])])
def test_an_out_on_another_device_is_refused(program, torch):
    for t in (clgrad, torch):
        with pytest.raises(RuntimeError, match="Attempting to copy from device cpu to device meta, but cross-device copies "
                                               "are not allowed!"):
            program(t, t.ones(3), t.empty(3, device="meta"))


@pytest.mark.parametrize("name", ["add", "hypot", "lt", "eq", "logical_and"])
def test_an_out_that_shares_a_part_of_an_operand_is_refused(name, torch):
    def program(t, first, second):
        x, other = t.arange(6.0), t.ones(3)
        given = (x[first:first + 3], other)
        return getattr(t, name)(*(given[::-1] if second else given), out=x[1:4])
    for second in (False, True):
        for first in (0, 1, 3):
            assert_same_outcome(torch, lambda t: program(t, first, second))  # noqa: B023
