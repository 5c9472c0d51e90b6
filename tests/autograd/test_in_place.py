"""In-place operations: the version counter, leaves, views; small programs with PyTorch's gradients."""

from __future__ import annotations

import pytest

import clgrad
from tests.compare import assert_same, assert_same_error, assert_same_outcome


def start(library):
    return (library.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=library.float64, requires_grad=True),
            library.tensor([0.5, -1.0, 2.0], dtype=library.float64, requires_grad=True))


def base_then_view(t, x, v):
    y = x * 2
    w = y[0]
    y.mul_(3)
    return (w * w).sum() + y.sum()


def view_then_base(t, x, v):
    y = x * 2
    y[1].mul_(v)
    return (y * y).sum()


def view_of_view(t, x, v):
    y = x * 1
    y.t()[1:][0].add_(v[:2])
    return (y * y * y).sum()


def two_views(t, x, v):
    y = x * 1
    a, b = y[0], y[:, 0]
    a.mul_(2)
    b.add_(v[:2])
    return (a * v).sum() + (b * b).sum() + y.sum()


def view_used_before(t, x, v):
    y = x + 0
    a = y[0]
    before = a * 2
    y.add_(v)
    return (before * a).sum()


def copies(t, x, v):
    y = t.zeros(2, 3, dtype=t.float64)
    y[0] = v
    y[1, 1:] = x[0, :2]
    return (y * y).sum()


def fill(t, x, v):
    y = x * x
    y[0].fill_(3.0)
    y[:, 1].zero_()
    return (y * x).sum()


def index_sum(t, x, v):
    y = x * 1
    y[0, 1] += v[0]
    y[1] *= y[0].detach().clone()
    return (y * y).sum()


def chain(t, x, v):
    y = x.clone()
    y.add_(1).mul_(2).sub_(v)
    return (y * y).sum()


def unsaved(t, x, v):
    y = x + 1
    z = y * 2
    y.mul_(5)
    return z.sum() + y.sum()


def reshaped(t, x, v):
    y = x * 2
    y.view(-1)[2:5].mul_(y.new_tensor([1.0, 2.0, 3.0]))
    return (y * y).sum()


def expanded_gradient(t, x, v):
    y = x * 1
    y.t().copy_(v[:, None])
    return (y * x).sum()


def diagonal(t, x, v):
    y = x[:, :2] * 1
    y.diagonal().add_(v[:2])
    return (y * y).sum()


def view_after_change(t, x, v):
    y = x * 1
    y.mul_(v)
    a = y[1]
    a.exp_()
    return (y * v).sum()


def base_gets_history(t, x, v):
    y = t.ones(3, dtype=t.float64)
    w = y[1:]
    w.mul_(v[0])
    return (y * y).sum() + w.sum()


def detached_source(t, x, v):
    y = x * 1
    y[0] = y[1].detach()
    return (y * x).sum()


def unary(t, x, v):
    y = x * 0.1
    y.exp_()
    z = y + 1
    z.sigmoid_()
    y = z * 2
    y.tanh_()
    y = y + 1
    y.mul_(x)
    y.pow_(2)
    return (y * x).sum()


PROGRAMS = [base_then_view, view_then_base, view_of_view, two_views, view_used_before, copies, fill, index_sum,
            chain, unsaved, reshaped, expanded_gradient, diagonal, view_after_change, base_gets_history,
            detached_source, unary]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.__name__)
def test_gradients_are_those_of_pytorch(program, torch):
    results = []
    for t in (clgrad, torch):
        x, v = start(t)
        out = program(t, x, v)
        found = t.autograd.grad(out, (x, v), allow_unused=True, materialize_grads=True)
        results.append((out.detach(), found))
    assert_same(results[0], results[1], 1e-10)


@pytest.mark.parametrize("program", [view_then_base, two_views, chain, index_sum, unary], ids=lambda p: p.__name__)
def test_second_gradients_are_those_of_pytorch(program, torch):
    results = []
    for t in (clgrad, torch):
        x, v = start(t)
        first = t.autograd.grad(program(t, x, v), (x, v), create_graph=True, allow_unused=True, materialize_grads=True)
        total = sum((g * g).sum() for g in first)
        results.append(t.autograd.grad(total, (x, v), allow_unused=True, materialize_grads=True))
    assert_same(results[0], results[1], 1e-10)


def saved_product(t, x, v):
    y = x * 1
    z = y * y
    y.add_(1)
    z.sum().backward()


def saved_result(t, x, v):
    y = x.exp()
    y.add_(1)
    y.sum().backward()


def saved_through_a_view(t, x, v):
    y = x * 1
    z = y * y
    y[0].zero_()
    z.sum().backward()


def leaf(t, x, v):
    x.add_(1)


def view_of_a_leaf(t, x, v):
    x[0].zero_()


def assignment_to_a_leaf(t, x, v):
    x[0, 1] = 3.0


def leaf_fill(t, x, v):
    x.zero_()


def expanded(t, x, v):
    v.detach().expand(2, 3).add_(1)


def partly_overlapping(t, x, v):
    y = v.detach()
    y[1:].add_(y[:-1])


@pytest.mark.parametrize("program", [saved_product, saved_result, saved_through_a_view, leaf, view_of_a_leaf,
                                     assignment_to_a_leaf, leaf_fill, expanded, partly_overlapping],
                         ids=lambda p: p.__name__)
def test_what_would_give_wrong_gradients_is_refused(program, torch):
    assert_same_error(torch, lambda t: program(t, *start(t)))


@pytest.mark.parametrize("name", ["eq_", "ne_", "lt_", "le_", "gt_", "ge_"])
def test_comparisons_take_the_place_of_what_had_a_gradient(name, torch):
    found = []
    for t in (clgrad, torch):
        x, y = (t.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
        z, alone = (x * 2).expand(3, 2).clone(), t.ones(2)
        getattr(z[1:], name)(y)
        getattr(alone, name)(x)
        z.sum().backward()
        found.append([x.grad.tolist(), y.grad.tolist(), z.tolist(), alone.requires_grad])
    assert found[0] == found[1]


def test_the_error_names_what_was_changed():
    x, _ = start(clgrad)
    y = x * 1
    z = y * y
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*\[2, 3\].*version"):
        z.sum().backward()


def test_versions():
    x = clgrad.ones(3)
    before = x._version
    x.add_(1)
    x[0] = 2
    x[1:].mul_(2)
    assert x._version == before + 3
    x.data.add_(1)
    assert x._version == before + 3


def test_leaves_may_change_without_a_graph():
    x, _ = start(clgrad)
    with clgrad.no_grad():
        x.sub_(1)
        x[0] = 0
    assert x.is_leaf
    assert x.requires_grad
    assert x.tolist() == [[0, 0, 0], [3, 4, 5]]
    (x * x).sum().backward()
    assert x.grad.tolist() == [[0, 0, 0], [6, 8, 10]]


def test_a_refused_operation_changes_nothing():
    x, _ = start(clgrad)
    before = x.tolist()
    with pytest.raises(RuntimeError, match="leaf Variable"):
        x.mul_(2)
    with pytest.raises(RuntimeError):
        x.detach().add_(clgrad.ones(5))
    assert x.tolist() == before
    assert x._version == 0


def test_a_constant_joins_the_graph(torch):
    for t in (clgrad, torch):
        x, v = start(t)
        y = t.zeros(2, 3, dtype=t.float64)
        y.add_(x * v)
        assert y.requires_grad
        assert y.grad_fn.name() == "AddBackward0"
        y.sum().backward()
        assert v.grad.tolist() == [5, 7, 9]


def made_unrecorded(t, x, v):
    with t.no_grad():
        view = (x * 2)[0]
    return view.add_(v)


def made_unrecorded_and_changed_by_a_gradient(t, x, v):
    y = t.zeros(3, dtype=t.float64)
    with t.no_grad():
        view = y[:2]
    return view.mul_(v[:2])


def base_of_an_unrecorded_view(t, x, v):
    y = t.zeros(3, dtype=t.float64)
    with t.no_grad():
        view = y[:2]
    y.add_(v)
    return view * 2


def view_of_an_unrecorded_view(t, x, v):
    y = x * 2
    with t.no_grad():
        view = y[0]
    return view.view(-1).mul_(2)


def made_in_inference_mode(t, x, v):
    y = t.zeros(3, dtype=t.float64)
    with t.inference_mode():
        view = y[:3]
    return view.mul_(v)


def one_of_several(t, x, v):
    return (v * 2).split(1)[0].add_(1)


def one_of_rows(t, x, v):
    for row in x * 2:
        row += 1
    return row


def base_of_several(t, x, v):
    y = x * 2
    rows = y.unbind()
    y.add_(1)
    return rows[0] * 2


def from_a_function(t, x, v):
    class Same(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g
    return Same.apply(x * 2).add_(1)


@pytest.mark.parametrize("program", [
    made_unrecorded, made_unrecorded_and_changed_by_a_gradient, base_of_an_unrecorded_view, view_of_an_unrecorded_view,
    made_in_inference_mode, one_of_several, one_of_rows, base_of_several, from_a_function], ids=lambda p: p.__name__)
def test_views_whose_history_would_be_wrong_are_refused(program, torch):
    assert_same_error(torch, lambda t: program(t, *start(t)))


@pytest.mark.parametrize("split", [lambda x: x.unsafe_split(1), lambda x: x.unsafe_chunk(2), lambda x: x.tensor_split(2)])
def test_pieces_that_may_change(split):
    x, _ = start(clgrad)
    pieces = split(x * 2)
    pieces[0].mul_(3)
    pieces[0].sum().backward()
    assert x.grad.tolist() == [[6, 6, 6], [0, 0, 0]]


def test_an_unrecorded_view_asks_for_gradients_and_prints_as_invalid_once_changed(torch):
    for t in (clgrad, torch):
        x, _ = start(t)
        with t.no_grad():
            view = x[0]
            assert view.requires_grad
            assert view.is_leaf
            view.mul_(2)
        assert "grad_fn=<Invalid>" in repr(view)


def test_views_join_the_graph_with_their_base():
    _, v = start(clgrad)
    y = clgrad.zeros(3, dtype=clgrad.float64)
    view = y[:2]
    y.add_(v)
    (view * view).sum().backward()
    assert v.grad.tolist() == [1, -2, 0]


def test_what_a_function_may_mark_as_changed(torch):
    class Bad:
        @staticmethod
        def forward(ctx, x, v):
            x.add_(v)
            ctx.mark_dirty(x)
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            return g, g

    class TwoOfAView(Bad):
        @staticmethod
        def forward(ctx, x, v):
            x.add_(v)
            ctx.mark_dirty(x)
            return x, x + v

    for kind in (Bad, TwoOfAView):
        assert_same_error(torch, lambda t, kind=kind: type("F", (t.autograd.Function,), {
            "forward": kind.__dict__["forward"], "backward": Bad.__dict__["backward"]}).apply(
                (start(t)[1] * 2)[:], start(t)[1]))


def test_inference_tensors_have_no_views():
    with clgrad.inference_mode():
        x = clgrad.ones(2, 3, requires_grad=True)
        view = x.view(-1)
        x.resize_(1, 2)
    assert view.is_inference() and not view.requires_grad and not view._is_view()
    plain = clgrad.ones(2)
    with clgrad.inference_mode():
        c = clgrad.ones(2)
    with pytest.raises(RuntimeError, match="Inplace update to inference tensor outside InferenceMode"):
        clgrad.mul(plain, plain, out=c)


@pytest.mark.parametrize("replace", [lambda t, y: y.zero_(), lambda t, y: y.fill_(3), lambda t, y: y.copy_(t.ones(2)),
                                     lambda t, y: y.__setitem__(slice(None), 1.0), lambda t, y: y[:1].fill_(2)])
def test_what_is_replaced_has_a_gradient_of_zero(torch, replace):
    def program(t):
        x = t.tensor([1.0, 2.0], requires_grad=True)
        y = x * 2
        replace(t, y)
        return t.autograd.grad(y.sum(), x)
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("change", [
    lambda t, v: v.masked_scatter_(v > 4, v.detach() * 10), lambda t, v: v.put_(t.tensor([0, 4]), v.detach()[0, :2] * 3),
    lambda t, v: v.view(-1)[::2].mul_(3), lambda t, v: v.mul_(v.detach() * 2)])
def test_changes_of_a_view_that_lies_otherwise_than_the_gradient(change, torch):
    found = []
    for t in (clgrad, torch):
        x = start(t)[0]
        base = x.mT.clone()  # whose memory is as the view's
        other = base.view_as(base)
        change(t, base.mT)
        (grad,) = t.autograd.grad((other * 2).sum() + (base * base).sum(), x)
        found.append(grad)
    assert_same(*found)


@pytest.mark.parametrize("change", [
    lambda t, y: y.unsqueeze_(0), lambda t, y: y.squeeze_(), lambda t, y: y.t_(), lambda t, y: y.transpose_(0, 1),
    lambda t, y: y.swapaxes_(0, 1), lambda t, y: y.as_strided_((2,), (1,)), lambda t, y: y.detach()[0].mul_(2),
    lambda t, y: y.view(-1).t_(), lambda t, y: y.data.unsqueeze_(0), lambda t, y: y.detach().resize_(1, 1),
    lambda t, y: y.detach().resize_(2, 2)])
def test_changes_of_a_shape_are_counted(change, torch):
    def program(t):
        x = t.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        y = x * 2
        z = y * y
        before = y._version
        change(t, y)
        counted = y._version - before
        return counted or t.autograd.grad(z.sum(), x)
    assert_same_outcome(torch, program)


def test_a_shape_that_changed_since_it_was_saved_is_refused():
    x = clgrad.ones(3, requires_grad=True)
    y = x * 1
    z = (y * y).sum()
    y.unsqueeze_(0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()
