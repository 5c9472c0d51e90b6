"""The backward walk: accumulation, retained and created graphs, grad(), hooks, depth, modes."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import clgrad
from clgrad import autograd
from tests.compare import assert_same, assert_same_error, values


def leaf(*numbers, library=clgrad):
    return library.tensor(list(numbers), dtype=library.float64, requires_grad=True)


def test_gradients_accumulate():
    x = leaf(1, 2)
    for count in (1, 2, 3):
        (x * 3).sum().backward()
        assert x.grad.tolist() == [3 * count, 3 * count]
    x.grad.data.zero_()
    (x * x + x).sum().backward()
    assert x.grad.tolist() == [3, 5]
    x.grad = None
    y = x.sum()
    for _ in range(3):
        y.backward()
    assert x.grad.tolist() == [3, 3], "a sum saves nothing: it can be walked again"


def test_seeds():
    x = leaf(1, 2, 3)
    z = x * x
    z.backward(clgrad.tensor([1.0, 10.0, 100.0], dtype=clgrad.float64))
    assert x.grad.tolist() == [2, 40, 600]
    x.grad = None
    autograd.backward([x.sum(), (x * 2)[0]], [None, clgrad.tensor(5.0, dtype=clgrad.float64)])
    assert x.grad.tolist() == [11, 1, 1]
    with pytest.warns(FutureWarning):
        autograd.backward([x.sum()], grad_variables=[clgrad.tensor(2.0, dtype=clgrad.float64)])
    assert x.grad.tolist() == [13, 3, 3]


@pytest.mark.parametrize("program", [
    lambda t, x: (x * x).backward(),
    lambda t, x: t.ones(1).backward(),
    lambda t, x: x.sum().backward(t.ones(2, dtype=t.float64)),
    lambda t, x: x.sum().backward(t.ones(1, dtype=t.float64)),
    lambda t, x: t.autograd.grad(x.sum(), t.ones(2)),
    lambda t, x: t.autograd.grad(x.sum(), t.ones(2, requires_grad=True)),
    lambda t, x: x.sum().backward(inputs=[]),
    lambda t, x: t.ones(2).register_hook(print),
    lambda t, x: t.ones(2).retain_grad(),
])
def test_errors(program, torch):
    assert_same_error(torch, lambda t: program(t, leaf(1, 2, library=t)))


def test_a_freed_graph_says_so():
    x = leaf(1, 2)
    y = (x * x).exp().sum()
    y.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time.*retain_graph=True"):
        y.backward()
    z = (x * x).exp().sum()
    z.backward(retain_graph=True)
    z.backward()
    with pytest.raises(RuntimeError, match="second time"):
        z.backward()


def test_parts_of_a_graph_that_share_a_freed_node():
    x = leaf(2)
    y = x * x
    (y * 2).backward()
    with pytest.raises(RuntimeError, match="second time"):
        (y * 3).backward()


def test_higher_derivatives():
    x = leaf(2.0)
    y = x**4
    orders = []
    for _ in range(4):
        (y,) = autograd.grad(y.sum(), x, create_graph=True)
        orders.append(y.item())
    np.testing.assert_allclose(orders, [32, 48, 48, 24])
    (first,) = autograd.grad((2**x).sum(), x, create_graph=True)
    (second,) = autograd.grad(first.sum(), x)
    np.testing.assert_allclose(second.item(), 4 * np.log(2) ** 2)
    x.grad = None
    (x**3).sum().backward(create_graph=True)
    first = x.grad
    assert first.requires_grad
    x.grad = None
    first.sum().backward()
    assert x.grad.item() == 12


def test_grad_with_all_its_arguments(torch):
    for t in (clgrad, torch):
        x, y, unused = (leaf(*v, library=t) for v in ((1, 2), (3, 4), (5, 6)))
        z = x * y
        assert t.autograd.grad(z.sum(), x)[0].tolist() == [3, 4]
        assert x.grad is None
        found = t.autograd.grad((x * y).sum(), (x, unused), allow_unused=True)
        assert (found[0].tolist(), found[1]) == ([3, 4], None)
        found = t.autograd.grad((x * y).sum(), [unused, y], allow_unused=True, materialize_grads=True)
        assert [f.tolist() for f in found] == [[0, 0], [1, 2]]
        seeds = t.tensor([1.0, 2.0], dtype=t.float64)
        assert t.autograd.grad(x * y, y, grad_outputs=seeds)[0].tolist() == [1, 4]
        assert t.autograd.grad([x.sum(), (x * x).sum()], [x])[0].tolist() == [3, 5]
        w = x * y
        v = w.exp()
        (dw,) = t.autograd.grad(v.sum(), w)
        assert dw.tolist() == v.tolist()
        assert t.autograd.grad(x.sum(), [x, x])[1].tolist() == [1, 1]
        s = x.sum()
        assert t.autograd.grad(s, s)[0].item() == 1
        named = {"x": x, "y": y}
        for several in (iter([x, y]), (place for place in (x, y)), named.values()):
            assert [g.tolist() for g in t.autograd.grad((x * y).sum(), several)] == [y.tolist(), x.tolist()]
        t.autograd.backward(iter([(x * y).sum()]), inputs=named.values())
        assert x.grad.tolist() == y.tolist() and y.grad.tolist() == x.tolist()


@pytest.mark.parametrize("create", [False, True])
def test_gradients_of_means_can_be_viewed_and_written_to(create, torch):
    def program(library):
        x = library.linspace(-1, 1, 24, dtype=library.float64).reshape(2, 3, 4).requires_grad_()
        found = []
        for y in (x.mean(), x.mean(1), (x * x).mean((0, 2)), library.nn.functional.adaptive_avg_pool2d(x, 1)):
            (g,) = library.autograd.grad(y, x, library.ones_like(y), create_graph=create)
            assert g.is_contiguous()
            found += [g.view(-1).tolist(), g.detach().view(6, 4).mul_(library.arange(4)).tolist()]
        return found
    for own, expected in zip(program(clgrad), program(torch), strict=True):
        np.testing.assert_allclose(own, expected)


def test_backward_with_inputs():
    x, y = leaf(1, 2), leaf(3, 4)
    h = x * y
    h.retain_grad()
    (h * h).sum().backward(inputs=[x])
    assert x.grad.tolist() == [18, 64]
    assert y.grad is None
    (x * y).sum().backward(inputs=y)
    assert y.grad.tolist() == [1, 2]
    h = x * 2
    (h * h).sum().backward(inputs=[h])
    assert h.grad.tolist() == [4, 8]


def test_hooks_on_leaves_and_others():
    x = leaf(1, 2)
    seen = []
    handle = x.register_hook(lambda g: seen.append(g.tolist()))
    second = x.register_hook(lambda g: g * 10)
    (x * 3).sum().backward()
    assert (seen, x.grad.tolist()) == ([[3, 3]], [30, 30])
    handle.remove()
    handle.remove()
    second.remove()
    x.grad = None
    h = x * 2
    h.retain_grad()
    with h.register_hook(lambda g: g + 1):
        (h * h).sum().backward(retain_graph=True)
    assert h.grad.tolist() == [5, 9]
    assert x.grad.tolist() == [10, 18]
    (h * 1).sum().backward()
    assert x.grad.tolist() == [12, 20]
    assert seen == [[3, 3]]


def test_a_hook_sees_a_leafs_complete_gradient_once():
    x = leaf(1)
    calls = []
    x.register_hook(lambda g: calls.append(g.item()))
    (x * 2 + x * 3 + x).sum().backward()
    assert calls == [6]


def test_retain_grad(torch):
    for t in (clgrad, torch):
        x = leaf(1, 2, library=t)
        y = x * 3
        y.retain_grad()
        z = y * y
        z.sum().backward()
        assert y.retains_grad
        assert y.grad.tolist() == [6, 12]
        x.retain_grad()
        assert not x.retains_grad


def test_a_deep_graph_needs_no_recursion():
    x = clgrad.ones(1, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = -y
    y.backward()
    assert x.grad.item() == 1
    (g,) = autograd.grad((-y * 0 + x).sum(), x)
    assert g.item() == 1
    del y
    gc.collect()


def test_a_graph_is_freed_without_the_collector():
    x = clgrad.ones(3, requires_grad=True)
    y = (x * 2).exp().tanh()
    reference = weakref.ref(y.grad_fn)
    gc.collect()
    gc.disable()
    try:
        y.sum().backward()
        del y
        assert reference() is None
        y = (x * 2).exp().softmax(0)
        reference = weakref.ref(y.grad_fn)
        del y
        assert reference() is None, "a graph that was never walked is no circle either"
    finally:
        gc.enable()


def test_data_dependent_loops(torch):
    results = []
    for t in (clgrad, torch):
        x = leaf(0.5, -0.3, library=t)
        y, steps = x * 2, 0
        while y.data.norm() < 1000 if hasattr(y, "norm") else (y.data * y.data).sum().sqrt() < 1000:
            y, steps = y * 2, steps + 1
        y.backward(t.tensor([0.1, 1.0], dtype=t.float64))
        results.append((steps, x.grad))
    assert results[0][0] == results[1][0]
    assert_same(results[0][1], results[1][1])


@pytest.mark.parametrize("program", [
    lambda x, y: x + y, lambda x, y: x - y * 1, lambda x, y: (x + 0) + (y + 0), lambda x, y: x.view(2) + y.reshape(2),
    lambda x, y: clgrad.cat([x, y]), lambda x, y: clgrad.stack([x.t(), y])])
@pytest.mark.parametrize("create", [False, True])
def test_leaves_never_share_a_gradient(program, create):
    """Each leaf has memory of its own: what is done to one gradient leaves the other alone."""
    x, y = leaf(1, 2), leaf(3, 4)
    seed = clgrad.ones(program(x, y).shape, dtype=clgrad.float64)
    program(x, y).backward(seed, create_graph=create)
    before = y.grad.tolist()
    with clgrad.no_grad():
        x.grad.mul_(100)
    assert y.grad.tolist() == before
    assert (seed == 1).all(), "the caller's gradient is no one's"
    assert x.grad.memory is not y.grad.memory


def test_modes_as_contexts_and_decorators(torch):
    for t in (clgrad, torch):
        x = t.ones(2, requires_grad=True)

        @t.no_grad()
        def without(x=x):
            return x * 2

        @t.no_grad
        def also_without(x=x):
            return x * 2

        @t.enable_grad()
        def within(x=x):
            return x * 2

        @t.inference_mode()
        def inferred(x=x):
            return x * 2

        @t.set_grad_enabled(False)
        def switched(x=x):
            return x * 2

        @t.no_grad()
        def generated(x=x):
            for _ in range(2):
                yield x * 2
        assert [f().requires_grad for f in (without, also_without, within, inferred, switched)] == [
            False, False, True, False, False]
        assert [y.requires_grad for y in generated()] == [False, False]
        assert t.is_grad_enabled()
        with t.no_grad():
            assert not t.is_grad_enabled()
            assert not (x * 2).requires_grad
            assert within().requires_grad
            with t.set_grad_enabled(True):
                assert (x * 2).requires_grad
            assert not (x * 2).requires_grad
            assert t.ones(1, requires_grad=True).requires_grad
        with t.inference_mode():
            assert t.is_inference_mode_enabled()
        with pytest.raises(KeyError), t.no_grad():
            raise KeyError
        assert t.is_grad_enabled()
        t.set_grad_enabled(False)
        assert not (x * 2).requires_grad
        t.set_grad_enabled(True)
        assert (x * 2).requires_grad


def test_the_mode_belongs_to_a_thread():
    found = []
    with clgrad.no_grad():
        thread = threading.Thread(target=lambda: found.append(clgrad.is_grad_enabled()))
        thread.start()
        thread.join()
    assert found == [True]


def test_nothing_is_kept_without_a_graph():
    x = clgrad.ones(1000, requires_grad=True)
    with clgrad.no_grad():
        y = x.exp()
    assert y.grad_fn is None
    reference = weakref.ref(y.memory)
    z = y * 2
    del y
    assert reference() is None
    assert not z.requires_grad


def test_detach_and_data():
    x = leaf(1, 2)
    y = x.detach()
    assert (y.requires_grad, y.is_leaf, y.grad_fn) == (False, True, None)
    y[0] = 7
    assert x.tolist() == [7, 2]
    z = x * x
    x.data.mul_(2)
    z.sum().backward()
    assert x.grad.tolist() == [28, 8], "changes of .data are not noticed: the gradient uses what is there now"
    w = x * x
    x.detach().mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        w.sum().backward()
    h = x * 2
    h.detach_()
    assert not h.requires_grad
    with pytest.raises(RuntimeError, match="views"):
        (x * 2)[0].detach_()


def test_variable():
    x = autograd.Variable(clgrad.ones(2), requires_grad=True)
    (x * 2).sum().backward()
    assert isinstance(x, autograd.Variable)
    assert x.grad.tolist() == [2, 2]


def test_mixed_dtypes():
    x = clgrad.ones(2, requires_grad=True)
    y = clgrad.ones(2, dtype=clgrad.float64, requires_grad=True)
    (x * y).sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == (clgrad.float32, clgrad.float64)
    h = clgrad.ones(2, requires_grad=True)
    h.half().float().sum().backward()
    assert (h.grad.dtype, values(h.grad).tolist()) == (clgrad.float32, [1, 1])


def test_anomaly_detection_names_the_forward_call():
    x = clgrad.tensor([0.0], requires_grad=True)
    with pytest.warns(UserWarning) as warned, autograd.detect_anomaly():
        y = (x * 0).sqrt() * 0
        with pytest.raises(RuntimeError, match="SqrtBackward0.*nan values"):
            y.sum().backward()
    entered, told = warned
    assert "Anomaly" in str(entered.message)
    assert "SqrtBackward0" in str(told.message)
    assert "test_anomaly_detection_names_the_forward_call" in str(told.message)
    z = (x * 0).sqrt() * 0
    z.sum().backward()
    assert np.isnan(x.grad.item())
    with autograd.set_detect_anomaly(True):
        pass
    assert (x * 2).grad_fn.trace is None


def test_anomaly_detection_names_what_induced_the_call():
    x = clgrad.tensor([0.0], requires_grad=True)
    with pytest.warns(UserWarning) as warned, autograd.detect_anomaly():
        (g,) = autograd.grad((x ** 2.5).sum() + x.sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="nan values"):
            (g.sqrt() * (x - x)).sqrt().sum().backward()
    assert len(warned) >= 2


def ordered(t):
    log = []
    a = t.tensor(1.0, requires_grad=True)
    b = a.clone()
    b.grad_fn.register_prehook(lambda gs: log.append("node of b"))
    b.register_hook(lambda g: log.append("b") or g * 3)
    a.register_hook(lambda g: log.append("a"))
    end = b.grad_fn.next_functions[0][0]
    end.register_prehook(lambda gs: log.append("end"))
    end.register_hook(lambda gs, outs: log.append("after the end"))
    a.register_post_accumulate_grad_hook(lambda leaf: log.append("accumulated"))
    b.sum().backward(retain_graph=True)
    log.append("grad")
    t.autograd.grad(b.sum(), a, retain_graph=True)
    log.append("inputs=a")
    b.sum().backward(inputs=(a,), retain_graph=True)
    log.append("inputs=b")
    b.sum().backward(inputs=(b,))
    return log, b.grad.item(), a.grad.item()


def retained(t):
    results = []
    for change in (lambda a: a.mul_(2), lambda a: a[:].mul_(3), lambda a: a.mul_(2).add_(a.detach())):
        a = t.tensor([1.0, 2.0], requires_grad=True).clone()
        a.retain_grad()
        change(a)
        (a * a).sum().backward()
        results.append(a.grad.tolist())
    base = t.tensor([1.0], requires_grad=True).clone()
    views = base[:], base[:]
    for view in views:
        view.retain_grad()
    views[0].mul_(2)
    (views[0] + views[1]).sum().backward()
    return results, [view.grad.tolist() for view in views]


@pytest.mark.parametrize("program", [ordered, retained])
def test_hooks_run_in_order_and_retained_gradients_belong_to_the_last_place(program, torch):
    assert program(clgrad) == program(torch)


def test_the_gradient_of_what_is_no_leaf_warns():
    x = clgrad.ones(2, requires_grad=True) * 2
    with pytest.warns(UserWarning, match="not a leaf Tensor"):
        assert x.grad is None
    x.retain_grad()
    assert x.grad is None


def test_hooks_after_accumulation_return_nothing():
    x = clgrad.ones(2, requires_grad=True)
    x.register_post_accumulate_grad_hook(lambda leaf: leaf.grad)
    with pytest.raises(RuntimeError, match="should return None"):
        x.sum().backward()


def test_threads_add_to_one_leaf():
    x = clgrad.ones(4, requires_grad=True)

    def work():
        for _ in range(10):
            autograd.grad((x * 3).exp().sum(), x)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3, 3, 3, 3]


FORMAL = {
    "max_pool1d": lambda F, x: F.max_pool1d(x[0], 2), "max_pool2d": lambda F, x: F.max_pool2d(x, 2),
    "max_pool3d": lambda F, x: F.max_pool3d(x, 2), "avg_pool1d": lambda F, x: F.avg_pool1d(x[0], 2),
    "avg_pool2d": lambda F, x: F.avg_pool2d(x, 2), "avg_pool3d": lambda F, x: F.avg_pool3d(x, 2),
    "adaptive_avg_pool2d": lambda F, x: F.adaptive_avg_pool2d(x, 3),
    "adaptive_max_pool2d": lambda F, x: F.adaptive_max_pool2d(x, 3),
    "reflect": lambda F, x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "replicate": lambda F, x: F.pad(x, (1, 1, 1, 1), mode="replicate"),
    "nll_loss": lambda F, x: F.nll_loss(x[:, :, 0, 0], x[:, 0, 0, 0].detach().long()),
}


@pytest.mark.parametrize("name", FORMAL)
def test_gradients_that_depend_on_inputs_in_form_alone(name, torch, rng):
    values = rng.uniform(0, 2, (2, 2, 6, 6))
    for t in (clgrad, torch):
        x = t.tensor(values, requires_grad=True)
        y = FORMAL[name](t.nn.functional, x)
        seed = t.ones_like(y)
        (g,) = t.autograd.grad(y, x, seed, create_graph=True)
        assert g.requires_grad and not seed.requires_grad
        (second,) = t.autograd.grad(g.sum(), x)
        assert second.shape == x.shape and not second.any()
        (again,) = t.autograd.grad(y.square().sum(), x, retain_graph=True)
        assert not again.requires_grad and again.any()
        seed.requires_grad_()
        (g,) = t.autograd.grad(y, x, seed, create_graph=True)
        second, of_seed = t.autograd.grad(g.sum(), [x, seed])
        assert second.shape == x.shape and not second.any() and of_seed.any()


RELATED = {
    "attention": lambda t, x: t.nn.functional.scaled_dot_product_attention(*[x.reshape(-1)[:32].view(1, 1, 2, 16)] * 3),
    "grid_sample": lambda t, x: t.nn.functional.grid_sample(x, x[..., :2].tanh(), align_corners=False),
    "layer_norm": lambda t, x: t.nn.functional.layer_norm(x, (3,), x.sum((0, 1, 2)), x.mean((0, 1, 2))),
    "batch_norm": lambda t, x: t.nn.functional.batch_norm(x, None, None, x.sum((0, 2, 3)), training=True),
    "lstm": lambda t, x: t.lstm(x[0], (x[:1, 0, :, :2].sin(), x[:1, 0, :, 1:].cos()), [
        x.reshape(-1)[:24].view(8, 3), x.reshape(-1)[:16].view(8, 2)], False, 1, 0.0, False, False, False)[0],
    "gru_cell": lambda t, x: t.gru_cell(
        x[0, 0], x[0, 0, :, :2], x.reshape(-1)[:18].view(6, 3), x.reshape(-1)[:12].view(6, 2)),
}


@pytest.mark.parametrize("name", RELATED)
def test_second_derivatives_where_one_operand_comes_from_another(torch, name):
    results = []
    for t in (clgrad, torch):
        x = t.linspace(-1, 1, 36, dtype=t.float64).sin().reshape(2, 2, 3, 3).requires_grad_()
        with t.nn.attention.sdpa_kernel(t.nn.attention.SDPBackend.MATH):
            (g,) = t.autograd.grad((RELATED[name](t, x * 1) ** 2).sum(), x, create_graph=True)
        (g ** 3).sum().backward()
        results.append([g, x.grad])
    assert_same(*results)


def test_recorded_gradients_of_distances_of_related_points():
    x = clgrad.randn(3, 2, dtype=clgrad.float64, requires_grad=True)
    found = clgrad.cdist(x, x.exp(), p=3.0).sum()
    plain, recorded = (autograd.grad(found, x, retain_graph=True, create_graph=create)[0] for create in (False, True))
    assert_same(recorded, plain)


def test_hooks_of_a_tensor_can_be_looked_at(torch):
    for library in (clgrad, torch):
        x = library.ones(2, requires_grad=True)
        y = x * 2
        assert x._backward_hooks is None and y._backward_hooks is None and library.ones(1)._backward_hooks is None
        for tensor in (x, y):
            tensor.register_hook(print)
            assert list(tensor._backward_hooks.values()) == [print]
        assert (y + 1)._backward_hooks is None
        for tensor in (x, y):
            tensor._backward_hooks = None
            assert tensor._backward_hooks is None
