"""Backward passes like one before, whose launches are made again: as if every node had run, in every bit."""

import functools
import threading

import numpy as np
import pytest

import clgrad
from clgrad.autograd import walks
from clgrad.autograd.graph import Node
from clgrad.nn import functional as F


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr(walks, "known", walks._Known())
    monkeypatch.setattr(walks, "FEWEST", 0)


@pytest.fixture
def ran(monkeypatch):
    """The names of the nodes that have run."""
    names, run = [], Node.run

    def noting(self, grads):
        names.append(self.name())
        return run(self, grads)
    monkeypatch.setattr(walks, "_PLAIN", (*walks._PLAIN, noting))
    monkeypatch.setattr(Node, "run", noting)
    return names


def _mlp():
    w, b, v = clgrad.randn(8, 5), clgrad.randn(8), clgrad.randn(3, 8)
    return [w, b, v], lambda x, w, b, v: F.cross_entropy(F.linear(F.relu(F.linear(x, w, b)), v), clgrad.arange(4) % 3)


def _convolutions():
    w, b, scale, shift = clgrad.randn(4, 1, 3, 3), clgrad.randn(4), clgrad.rand(4), clgrad.randn(4)

    def program(x, w, b, scale, shift):
        x = F.conv2d(x.view(4, 1, 1, 5).expand(4, 1, 6, 5), w, b, padding=1)
        x = F.batch_norm(x, x.new_zeros(4), x.new_ones(4), scale, shift, True)
        return F.avg_pool2d(F.max_pool2d(F.gelu(x), 2, 1), 2).flatten(1).pow(2).mean()
    return [w, b, scale, shift], program


def _pieces():
    w = clgrad.randn(5, 6)

    def program(x, w):
        a, b, c = (x @ w).chunk(3, 1)
        joined = clgrad.cat([a.sin() * b, c[:, :1]], 1)
        return (joined[1:, 1:] ** 2).sum() + clgrad.stack([a, b]).amax() + w.t()[2].dot(w[:, 3])
    return [w], program


def _attention():
    w = clgrad.randn(5, 24)

    def program(x, w):
        q, k, v = F.layer_norm(x @ w, (24,)).view(1, 4, 3, 2, 4).unbind(2)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).tanh().sum()
    return [w], program


def _tables():
    table = clgrad.randn(7, 5)

    def program(x, table):
        found = F.embedding(clgrad.tensor([[1, 2], [6, 2]]), table)
        return (found.flatten(0, 1) * x).softmax(1).log().gather(1, clgrad.tensor([[0], [4], [1], [1]])).sum()
    return [table], program


def _recurrent():
    weights = [clgrad.randn(12, 5), clgrad.randn(12, 3), clgrad.randn(12), clgrad.randn(12)]

    def program(x, *weights):
        h = c = x.new_zeros(4, 3)
        for _ in range(3):
            h, c = clgrad.lstm_cell(x, (h, c), *weights)
        return (h * c).sum() + F.dropout(h, 0.5).sum()
    return weights, program


def _shared():
    w = clgrad.randn(5, 5)
    return [w], lambda x, w: ((x @ w).tanh() @ w + x @ w.t()).square().sum() + 0 * w.sum() + (w * -0.0).sum()


PROGRAMS = {made.__name__.strip("_"): made for made in (
    _mlp, _convolutions, _pieces, _attention, _tables, _recurrent, _shared)}


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("kind, parts", [(clgrad.float32, False), (clgrad.float64, False), (clgrad.float32, True)])
def test_gradients_are_those_of_the_nodes(name, kind, parts, ran, monkeypatch):
    """``parts``: the batches are parts of one tensor; then where they lie is learned from another recorded pass."""
    if kind is clgrad.float64 and not clgrad.device("cpu").compute.limits.fp64:
        pytest.skip("the device has no float64")
    clgrad.manual_seed(3)
    given, program = PROGRAMS[name]()
    leaves = [t.to(kind).requires_grad_() for t in given]
    data, learned = clgrad.randn(24, 5, dtype=kind), parts and name != "convolutions"  # whose first node keeps a copy
    for number in range(6):
        x = data[4 * number:4 * number + 4] if parts else clgrad.randn(4, 5, dtype=kind)
        found = []
        for read in (walks.known.read, lambda edges, grads: None):
            with monkeypatch.context() as patch:
                patch.setattr(walks.known, "read", read)
                clgrad.manual_seed(number)
                loss = program(x, *leaves)
                ran.clear()
                loss.backward()
                found.append([leaf.grad for leaf in leaves])
                for leaf in leaves:
                    leaf.grad = None
            assert bool(ran) == (number < 2 + learned or len(found) == 2), (number, ran)
        for repeated, expected in zip(*found, strict=True):
            assert repeated.stride() == expected.stride() and clgrad.equal(repeated, expected)
        with clgrad.no_grad():
            for leaf, value in zip(leaves, found[1], strict=True):
                leaf -= 0.01 * value


def passes(program, count, *leaves):
    """Runs a program and its backward pass some times."""
    for _ in range(count):
        program(*leaves).backward()


def test_classes_that_override_operators_do_not_matter(ran):
    class Own(clgrad.Tensor):
        @classmethod
        def __torch_function__(cls, function, types, args=(), kwargs=None):
            return super().__torch_function__(function, types, args, kwargs or {})
    assert isinstance(clgrad.ones(2).as_subclass(Own) + 1, Own)
    x = clgrad.tensor([1., 2.], requires_grad=True)
    passes(lambda x: F.gelu(x).sum(), 4, x)
    assert len(ran) == 2 * 2


def test_autocast_around_a_pass(ran):
    x = clgrad.ones(2, 2, requires_grad=True)
    for _ in range(4):
        with clgrad.autocast("cpu", clgrad.bfloat16):
            x.mm(x).sum().backward()
    assert len(ran) > 2 * 4


def test_gradients_add_up(ran):
    x = clgrad.tensor([1., 2.], requires_grad=True)
    passes(lambda x: (x * x).sum(), 4, x)
    assert x.grad.tolist() == [8., 16.]
    assert len(ran) == 2 * 2


def test_gradients_have_memory_of_their_own():
    a, b = clgrad.ones(3, requires_grad=True), clgrad.ones(3, requires_grad=True)
    for _ in range(4):
        a.grad = b.grad = None
        seed = clgrad.full((3,), 2.)
        (a + b).backward(seed)  # one gradient for both, which is the caller's
        a.grad.add_(1)
        assert (a.grad.tolist(), b.grad.tolist(), seed.tolist()) == ([3.] * 3, [2.] * 3, [2.] * 3)


def test_numbers_that_are_equal_and_not_the_same():
    x = clgrad.tensor([1.], requires_grad=True)
    for factor, sign in ((0.0, 1), (0.0, 1), (0.0, 1), (-0.0, -1), (-0.0, -1), (-0.0, -1), (0.0, 1)):
        x.grad = None
        (x * factor).backward()
        assert np.copysign(1, x.grad.item()) == sign


@pytest.mark.parametrize("change", [
    lambda x, y: y.register_hook(lambda g: g * 3), lambda x, y: x.register_hook(lambda g: g * 3),
    lambda x, y: y.grad_fn.register_hook(lambda into, out: (into[0] * 3, *into[1:])),
    lambda x, y: y.grad_fn.register_prehook(lambda out: (out[0] * 3,)),
    lambda x, y: clgrad.autograd.graph.get_gradient_edge(x).node.register_prehook(lambda out: (out[0] * 3,))])
def test_hooks_are_called(change):
    x = clgrad.ones(3, requires_grad=True)
    for number in range(5):
        x.grad = None
        y = x * 2
        handle = change(x, y) if number > 2 else None
        (y * 2).sum().backward()
        assert x.grad.tolist() == [12. if handle else 4.] * 3
        if handle:
            handle.remove()


def test_gradients_of_what_is_between_are_kept():
    x = clgrad.ones(3, requires_grad=True)
    for _ in range(4):
        y = x * 2
        y.retain_grad()
        (y * y).sum().backward()
        assert y.grad.tolist() == [4.] * 3


def test_hooks_after_a_leaf_has_its_gradient(ran):
    x, seen = clgrad.ones(3, requires_grad=True), []
    x.register_post_accumulate_grad_hook(lambda leaf: seen.append(leaf.grad.tolist()))
    passes(lambda x: (x * 2).sum(), 3, x)
    assert seen == [[2.] * 3, [4.] * 3, [6.] * 3] and len(ran) == 2 * 2


def test_a_second_pass_over_a_graph():
    x = clgrad.tensor([2.], requires_grad=True)
    for _ in range(4):
        x.grad = None
        y = x * x
        y.backward(retain_graph=True)
        y.backward()
        assert x.grad.item() == 8
        with pytest.raises(RuntimeError, match="second time"):
            y.backward()
        assert x.grad.item() == 8


def test_what_changed_in_place_is_found():
    x = clgrad.tensor([2.], requires_grad=True)
    for number in range(5):
        x.grad, y = None, x * 1
        z = y * y
        if number < 4:
            z.backward()
            continue
        y += 1
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.backward()
        assert x.grad is None


class _Double(clgrad.autograd.Function):
    calls = 0

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        _Double.calls += 1
        return g * 2


def test_functions_of_programs_run():
    x, _Double.calls = clgrad.ones(2, requires_grad=True), 0
    passes(lambda x: _Double.apply(x * x).sum(), 5, x)
    assert _Double.calls == 5 and x.grad.tolist() == [20., 20.]


def test_gradients_that_are_recorded():
    x = clgrad.tensor([3.], requires_grad=True)
    for _ in range(4):
        x.grad = None
        (x ** 3).backward(create_graph=True)
        (second,) = clgrad.autograd.grad(x.grad, x)
        assert second.item() == 18
        x.grad = None


def test_anomalies_are_told_of():
    x = clgrad.tensor([0.], requires_grad=True)
    passes(lambda x: x.sqrt() * 0, 3, x)
    with pytest.warns(UserWarning), clgrad.autograd.detect_anomaly(), pytest.raises(RuntimeError, match="nan"):
        (x.sqrt() * 0).backward()


def test_parts_of_larger_tensors():
    w, whole = clgrad.randn(3, requires_grad=True), clgrad.randn(8, 3)
    for start in (0, 2, 4, 0, 2, 4, 0, 2, 4):
        x, w.grad = whole[start:start + 2], None
        (x @ w).sum().backward()
        assert clgrad.allclose(w.grad, x.sum(0))


def test_memory_of_numpy():
    array, w = np.ones((2, 3), np.float32), clgrad.ones(3, requires_grad=True)
    x = clgrad.from_numpy(array)
    for number in range(5):
        array[:] = number
        w.grad = None
        (x * w).sum().backward()
        assert w.grad.tolist() == [2. * number] * 3


def test_several_roots():
    x, w = clgrad.tensor([1., 2.], requires_grad=True), clgrad.tensor([3.], requires_grad=True)
    for _ in range(4):
        x.grad = w.grad = None
        clgrad.autograd.backward([x * w, w ** 2], [clgrad.tensor([1., 10.]), clgrad.tensor([5.])])
        assert x.grad.tolist() == [3., 30.] and w.grad.tolist() == [51.]


def test_a_pass_that_needs_less_memory_than_all_gradients_together():
    x = clgrad.randn(1 << 18, requires_grad=True)
    pool, peaks = clgrad.device("cpu").compute.pool, []
    for _ in range(4):
        x.grad, y = None, x
        for _ in range(8):
            y = y.sin()
        y = y.sum()
        before, pool.peak = pool.in_use, 0
        y.backward()
        peaks.append(pool.peak - before)
    assert max(peaks[1:]) <= peaks[0]


def test_threads_of_one_program():
    found = {}

    def work(number):
        w = clgrad.full((50,), float(number), requires_grad=True)
        for _ in range(30):
            w.grad = None
            (w * w).exp().sum().backward()
        found[number] = w.grad
    threads = [threading.Thread(target=work, args=(n / 10,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, grad in found.items():
        assert clgrad.allclose(grad, 2 * clgrad.full((50,), number) * clgrad.full((50,), number).square().exp())


def test_programs_whose_passes_all_differ_are_not_read_for_ever(monkeypatch):
    read = []
    monkeypatch.setattr(walks, "Reading", lambda *given: read.append(1) or walks_reading(*given))
    x = clgrad.ones(2, requires_grad=True)
    for number in range(4 * walks.PATIENCE):
        (x * float(number)).sum().backward()
    assert len(read) <= walks.PATIENCE + 4
    for _ in range(4 * walks.PATIENCE):
        (x * 2.0).sum().backward()
    assert len(read) > walks.PATIENCE + 4 and walks.known.in_vain < walks.PATIENCE


walks_reading = walks.Reading


def test_passes_of_few_nodes_run_node_by_node(ran, monkeypatch):
    monkeypatch.setattr(walks, "FEWEST", 4)
    x = clgrad.ones(2, requires_grad=True)
    passes(lambda x: x.exp().sin().sum(), 5, x)
    assert len(ran) == 5 * 3
    passes(lambda x: x.exp().sin().tanh().sum(), 5, x)
    assert len(ran) == 5 * 3 + 2 * 4


def test_long_passes_run_node_by_node(ran):
    if clgrad.device("cpu").compute.here is None:
        pytest.skip("no launch runs in the caller's thread")
    x = clgrad.randn(600, 600, requires_grad=True)
    for _ in range(5):
        ran.clear()
        x.mm(x).sum().backward()
        assert ran


@pytest.mark.parametrize("pads", [((1, 1), (2, 0)), ((2, 0), (1, 1))])
def test_methods_of_what_never_changes(pads):
    x = clgrad.arange(4.).view(1, 4).requires_grad_()
    for pad in pads:
        for _ in range(4):
            x.grad = None
            padded = F.pad(x, pad, "reflect")
            padded.backward(clgrad.arange(6.).view(1, 6))
        places = padded[0].long()
        assert clgrad.equal(x.grad[0], clgrad.zeros(4).index_add(0, places, clgrad.arange(6.)))


def test_looks_at_values_are_taken_again(ran):
    x = clgrad.ones(3, requires_grad=True)
    for zeros in range(4):
        x.grad = None
        with clgrad.no_grad():
            x.copy_(clgrad.tensor([2.] * (3 - min(zeros, 3)) + [0.] * min(zeros, 3)))
        x.prod().backward()
        assert x.grad.tolist() == [[4.] * 3, [0., 0., 4.], [0.] * 3, [0.] * 3][zeros]


def test_what_no_class_speaks_for_is_unknown():
    class Box:
        """Something that may change."""
    with pytest.raises(walks._Unknown):
        walks._reader(Box)
    x = clgrad.ones(2, requires_grad=True)
    for factor in (2., 3., 5., 7.):
        x.grad, box = None, Box()
        box.factor = factor
        y = x * 1
        y.grad_fn.backward = functools.partial(lambda box, g: (g * box.factor, None), box)
        y.sum().backward()
        assert x.grad.tolist() == [factor] * 2


class Asked(clgrad.Tensor):
    """Answers for operators by computing with plain tensors."""

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return func(*[a.as_subclass(clgrad.Tensor) if isinstance(a, Asked) else a for a in args], **(kwargs or {}))


def test_classes_that_answer_for_tensors_do_not_matter_where_there_are_none(ran):
    w = clgrad.randn(3, requires_grad=True)
    gradient = clgrad.Tensor._make_subclass(Asked, clgrad.ones(3))
    for number in range(5):
        (w.sin() * 2).backward(clgrad.ones(3))
        assert bool(ran) == (number < 2)
        ran.clear()
    for _ in range(5):
        (w.sin() * 2).backward(gradient)
        assert len(ran) == 2
        ran.clear()
    np.testing.assert_allclose(w.grad.numpy(), 20 * np.cos(w.detach().numpy()), 1e-5)
