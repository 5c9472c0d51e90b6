"""What nodes of the graph are called, and how they hang together."""

from __future__ import annotations

import pytest

import clgrad


def leaf(*numbers, library=clgrad):
    return library.tensor(list(numbers), dtype=library.float64, requires_grad=True)


NAMED = [
    lambda t, m: m.squeeze(0), lambda t, m: m.squeeze((0, 1)), lambda t, m: t.sub(m, m, alpha=2), lambda t, m: t.rsub(m, m),
    lambda t, m: m.trace(), lambda t, m: m.roll(1), lambda t, m: m[None] @ m, lambda t, m: t.var_mean(m)[0],
    lambda t, m: t.std_mean(m, 0)[1], lambda t, m: t.nansum(m), lambda t, m: m.masked_fill(m > 0, t.tensor(0.0)),
    lambda t, m: m.renorm(2, 0, 1.0), lambda t, m: m.clamp(min=0), lambda t, m: m.clamp(max=t.tensor(1.0)),
    lambda t, m: t.addmm(m, m, m), lambda t, m: t.addmv(m[0], m, m[0]), lambda t, m: t.addr(m, m[0], m[0]),
    lambda t, m: t.baddbmm(m[None], m[None], m[None]), lambda t, m: t.addbmm(m, m[None], m[None]),
    lambda t, m: t.aminmax(m)[0], lambda t, m: t.dist(m, m + 1), lambda t, m: t.cdist(m, m + 1, 1.0),
    lambda t, m: t.mvlgamma(m + 3, 2), lambda t, m: t.matrix_exp(m), lambda t, m: t.cholesky(m @ m.T + t.eye(2)),
    lambda t, m: t.diagonal_scatter(m, m[0]), lambda t, m: t.select_scatter(m, m[0], 0, 1),
    lambda t, m: t.fill(m, 1.0), lambda t, m: t.bernoulli(m * 0), lambda t, m: t.nn.functional.relu6(m),
    lambda t, m: t.nn.functional.celu(m), lambda t, m: t.nn.functional.glu(m), lambda t, m: t.nn.functional.logsigmoid(m),
    lambda t, m: t.nn.functional.gelu(m, approximate="tanh"),
    lambda t, m: t.nn.functional.interpolate(m[None], scale_factor=2),
    lambda t, m: t.nn.functional.interpolate(m[None, None], scale_factor=2, mode="bilinear"),
    lambda t, m: t.nn.functional.interpolate(m[None, None], (1, 1), mode="bilinear", antialias=True),
    lambda t, m: t.nn.functional.adaptive_max_pool2d(t.cat([m, m, m])[None], 2),
    lambda t, m: t.nn.functional.adaptive_avg_pool2d(t.cat([m, m, m])[None], 2),
    lambda t, m: t.nn.functional.conv1d(m[None], t.ones(1, 2, 2)), lambda t, m: t.nn.functional.unfold(m[None], 1),
    lambda t, m: t.nn.functional.conv3d(m[None, None, None], t.ones(1, 1, 1, 2, 2)),
    lambda t, m: t.nn.functional.soft_margin_loss(m, m.detach()),
    lambda t, m: t.nn.functional.l1_loss(m, m * 2, reduction="none"),
    lambda t, m: t.nn.functional.multi_margin_loss(m, t.tensor([0, 1])),
    # In place.
    lambda t, m: (m * 1).addmm_(m, m), lambda t, m: (m * 1).cumsum_(0),
]


@pytest.mark.filterwarnings("ignore:torch.cholesky is deprecated:UserWarning")
@pytest.mark.parametrize("number", range(len(NAMED)))
def test_names_of_nodes_of_several_steps(number, torch):
    names = [NAMED[number](t, t.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True) * 0.5).grad_fn.name()
             for t in (clgrad, torch)]
    assert names[0] == names[1]


def test_the_history_of_a_tensor_that_changed_through_a_view(torch):
    seen = []
    for t in (clgrad, torch):
        x = t.ones(2, 3, requires_grad=True)
        y = x * 1
        y[0] *= 2
        seen.append((y.grad_fn.name(), type(y.grad_fn).__name__, repr(y).rpartition("grad_fn=")[2], repr(y.grad_fn)[:12]))
    assert seen[0] == seen[1]


def test_names_keep_to_what_is_recorded():
    x = leaf(1, 2) * 2
    with clgrad.no_grad():
        x.clamp_(min=0).addmv_(clgrad.ones(2, 2, dtype=x.dtype), x.detach())
    assert x.grad_fn.name() == "MulBackward0"


def test_names_of_derivatives(torch):
    programs = [lambda t, x: x.tanh(), lambda t, x: x.sigmoid(), lambda t, x: x.relu(), lambda t, x: x.sin(),
                lambda t, x: x.exp(), lambda t, x: x.sqrt(), lambda t, x: t.nn.functional.gelu(x),
                lambda t, x: t.nn.functional.softplus(x), lambda t, x: t.nn.functional.relu6(x),
                lambda t, x: t.nn.functional.logsigmoid(x), lambda t, x: x.logit()]
    for number, program in enumerate(programs):
        names = []
        for t in (clgrad, torch):
            x = leaf(0.3, 0.7, library=t)
            (first,) = t.autograd.grad(program(t, x).sum(), x, create_graph=True)
            names.append(first.grad_fn.name())
        assert names[0] == names[1], number


def test_names_and_next_functions(torch):
    programs = [lambda t, x: x.sum(), lambda t, x: x + 1, lambda t, x: x * x, lambda t, x: x.exp(),
                lambda t, x: x.view(2, 1),
                lambda t, x: x.mean(), lambda t, x: x - x, lambda t, x: x / 2, lambda t, x: x**2, lambda t, x: -x,
                lambda t, x: x.relu(), lambda t, x: x.tanh(), lambda t, x: x[0], lambda t, x: x[None],
                lambda t, x: x.clone(), lambda t, x: t.cat([x, x]), lambda t, x: x.softmax(0), lambda t, x: x.sqrt(),
                lambda t, x: x.sigmoid(), lambda t, x: x.expand(3, 2), lambda t, x: x.squeeze(), lambda t, x: x.amax(),
                lambda t, x: x.log(), lambda t, x: x[None].t(), lambda t, x: x[None] @ x[:, None],
                lambda t, x: x % x, lambda t, x: x % 2, lambda t, x: t.lerp(x, x, x), lambda t, x: x.log1p(),
                lambda t, x: x.clamp(0, 1), lambda t, x: x.clamp(x, x), lambda t, x: x.copysign(1),
                lambda t, x: t.xlogy(x, 2), lambda t, x: t.special.i1e(x), lambda t, x: x.frexp()[0],
                lambda t, x: x.div(x, rounding_mode="floor"), lambda t, x: x.div(2, rounding_mode="trunc"),
                lambda t, x: t.special.entr(x), lambda t, x: (x * 1).eq_(x), lambda t, x: (x * 1).lt_(1)]
    for number, program in enumerate(programs):
        names = [program(t, leaf(1, 2, library=t)).grad_fn.name() for t in (clgrad, torch)]
        assert names[0] == names[1], number
    x = leaf(1, 2)
    y = x + 2
    z = y * y * 3
    assert repr(y.grad_fn).startswith("<AddBackward0 object at 0x")
    assert z.grad_fn.next_functions[0][0].next_functions[0][0] == y.grad_fn
    assert y.grad_fn.next_functions[0][0].name().endswith("AccumulateGrad")
    assert y.grad_fn.next_functions[0][0].variable is x
    mixed = x * clgrad.ones(2, dtype=clgrad.float64)
    assert mixed.grad_fn.next_functions[1] == (None, 0)
    assert x.grad_fn is None
    assert mixed.max(0)[0].grad_fn is not None
    node, depth = z.grad_fn, 0
    while node.next_functions:
        node, depth = node.next_functions[0][0], depth + 1
    assert depth == 3
