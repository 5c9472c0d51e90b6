"""Programs with hooks, walks and modes of autograd: the same in both libraries."""

from __future__ import annotations

import pytest

from tests.autograd.programs import leaf
from tests.compare import Programs, assert_same_outcome

programs = Programs()


@programs
def retain_grad(t):
    x = leaf(t)
    y = x * 2
    y.retain_grad()
    y.retain_grad()
    (y * y).sum().backward()
    return (y.grad, y.retains_grad, x.grad, x.retains_grad, y.is_leaf)


@programs
def node_repr(t):
    x = leaf(t)
    y = x + 1
    r = repr(y.grad_fn)
    return (
        r.split(" at ")[0],
        repr(y),
        repr(x),
        str(y.sum()),
        repr(x.exp()),
        type(y.grad_fn).__name__,
        y.grad_fn.metadata,
    )


@programs
def next_functions(t):
    x = leaf(t)
    y = x * t.ones(3)
    a = y.grad_fn.next_functions
    return (len(a), a[0][0].name(), a[0][1], a[1], a[0][0].variable is x, a[0][0].next_functions)


@programs
def tensor_hooks(t):
    x = leaf(t)
    o = []
    h = x.register_hook(lambda g: o.append(g.tolist()))
    x.register_hook(lambda g: g * 2)
    y = x * 3
    y.register_hook(lambda g: g + 1)
    y.sum().backward()
    h.remove()
    h.remove()
    (x * 1).sum().backward()
    return (o, x.grad)


@programs
def post_accumulate_hooks(t):
    x = leaf(t)
    o = []
    h = x.register_post_accumulate_grad_hook(lambda p: o.append(p.grad.tolist()))
    (x * 2).sum().backward()
    (x * 2).sum().backward()
    h.remove()
    (x * 2).sum().backward()
    return o


@programs
def post_accumulate_hooks_come_while_the_pass_goes_on(t):
    o = []

    class Noted(t.autograd.Function):
        @staticmethod
        def forward(ctx, x, number):
            ctx.number = number
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            o.append(("node", ctx.number))
            return grad, None
    leaves = [t.ones(3, requires_grad=True) for _ in range(3)]
    for number, x in enumerate(leaves):
        x.register_post_accumulate_grad_hook(lambda p, number=number: o.append(("leaf", number, p.grad.tolist())))
    y = t.arange(3.0)
    for number, x in enumerate(leaves):
        y = Noted.apply(y * x, number)
    (y * leaves[2]).sum().backward()
    (leaves[0] * 2).sum().backward()
    return o


@programs
def node_hooks(t):
    x = leaf(t)
    y = x * 2
    o = []
    y.grad_fn.register_hook(lambda gi, go: o.append((gi[0].tolist(), go[0].tolist())))
    y.grad_fn.register_prehook(lambda go: (go[0] * 3,))
    y.sum().backward()
    return (o, x.grad)


@programs
def hooks_of_accumulation(t):
    x = leaf(t)
    acc = x.expand_as(x).grad_fn.next_functions[0][0]
    o = []
    acc.register_hook(lambda *a: o.append((len(a[0]), a[1][0].tolist())))
    acc.register_prehook(lambda go: o.append("pre"))
    (x * 2).sum().backward()
    return o


@programs
def multi_grad_hook(t):
    a, b = (leaf(t), leaf(t))
    o = []
    h = t.autograd.graph.register_multi_grad_hook((a, b), lambda gs: o.append([g.tolist() for g in gs]))
    (a * 2 + b * 3).sum().backward()
    h.remove()
    (a + b).sum().backward()
    return o


@programs
def multi_grad_hook_where_not_all_take_part(t):
    a, b, c = (leaf(t), leaf(t), leaf(t))
    o = []
    t.autograd.graph.register_multi_grad_hook((a, b, c), lambda gs: o.append([g is not None for g in gs]))
    t.autograd.graph.register_multi_grad_hook((a, b, c), lambda g: o.append(g.tolist()), mode="any")
    (a * 2 + c * 3).sum().backward()
    b.sum().backward()
    (a * b * c).sum().backward(inputs=(a, b))
    return o


@programs
def callbacks_at_the_end(t):
    x = leaf(t)
    o = []

    def hook(grad):
        t.autograd.Variable._execution_engine.queue_callback(lambda: o.append(x.grad is not None))
        o.append("hook")
    x.register_hook(hook)
    (x * 2).sum().backward()
    return o


@programs
def as_strided_in_place(t):
    x = leaf(t)
    y = x * 2
    y.as_strided_((2,), (1,), 0)
    (y * y).sum().backward()
    return (x.grad, y)


@programs
def save_on_cpu(t):
    x = leaf(t)
    with t.autograd.graph.save_on_cpu():
        y = (x * x).sin()
    (g,) = t.autograd.grad(y.sum(), x, create_graph=True)
    g.sum().backward()
    return (g, x.grad)


@programs
def disabled_hooks(t):
    graph = t.autograd.graph
    with graph.disable_saved_tensors_hooks("nope"), graph.saved_tensors_hooks(lambda a: a, lambda a: a):
        pass


@programs
def unpack_hook_that_gives_no_tensor(t):
    x = leaf(t)
    with t.autograd.graph.saved_tensors_hooks(lambda a: 3, lambda a: a):
        y = x * x
    y.sum().backward()


@programs
def unused_inputs(t):
    x = leaf(t)
    z = leaf(t)
    y = x * 2
    return (
        t.autograd.grad(y.sum(), [x, z], allow_unused=True, retain_graph=True),
        t.autograd.grad(y.sum(), [x, z], materialize_grads=True, retain_graph=True),
        t.autograd.grad(y, x, t.eye(3), is_grads_batched=True),
        t.autograd.grad([y.sum() for _ in range(1)], x, [None]) if False else 0,
    )


@programs
def batched_gradients_of_a_wrong_shape(t):
    x = leaf(t)
    return t.autograd.grad(x * 2, x, t.ones(2, 2), is_grads_batched=True)


@programs
def materialize_without_allow_unused(t):
    x = leaf(t)
    return t.autograd.grad((x * 2).sum(), x, materialize_grads=True, allow_unused=False)


@programs
def gradient_edge(t):
    x = leaf(t)
    y = x * 2
    e = t.autograd.graph.get_gradient_edge(y)
    g = t.autograd.grad((y * 3).sum(), e)
    return g


@programs
def gradient_edge_of_a_constant(t):
    return t.autograd.graph.get_gradient_edge(t.ones(2))


@programs
def backward_to_inputs(t):
    x, z = (leaf(t), leaf(t))
    y = x * 2
    w = y * z
    w.sum().backward(inputs=[x, y])
    return (x.grad, y.grad, z.grad)


@programs
def backward_of_several(t):
    x = leaf(t)
    t.autograd.backward([x * 2, x * 3], [t.ones(3), t.ones(3)])
    return x.grad


@programs
def backward_with_too_few_gradients(t):
    x = leaf(t)
    t.autograd.backward([x * 2, x * 3], [t.ones(3)])


@programs
def backward_twice(t):
    x = leaf(t)
    y = (x * x).sum()
    y.backward()
    y.backward()


@programs
def backward_twice_of_a_sum(t):
    x = leaf(t)
    y = x.sum()
    y.backward()
    y.backward()
    return x.grad


@programs
def retain_graph(t):
    x = leaf(t)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


@programs
def saved_and_changed(t):
    x = leaf(t)
    a = x.exp()
    b = a.exp()
    a.add_(1)
    b.sum().backward()


@programs
def versions(t):
    x = t.ones(2)
    v = x._version
    x.add_(1)
    x[0] = 3
    w = x._version
    y = x.view(2)
    y.mul_(2)
    z = x.detach()
    z.add_(1)
    x.data.add_(1)
    return (v, w, x._version, y._version, z._version)


@programs
def create_graph(t):
    x = leaf(t)
    (g,) = t.autograd.grad((x**3).sum(), x, create_graph=True)
    return (g, g.requires_grad, t.autograd.grad(g.sum(), x))


@programs
def gradient_argument(t):
    x = leaf(t)
    y = x * 2
    y.backward(gradient=t.ones(3))
    return x.grad


@programs
def modes(t):
    x = leaf(t)
    o = []
    with t.no_grad():
        o.append((x * 2).requires_grad)

    @t.no_grad()
    def f():
        return x * 2

    o.append(f().requires_grad)

    @t.no_grad
    def g():
        return x * 2

    o.append(g().requires_grad)
    with t.no_grad(), t.enable_grad():
        o.append((x * 2).requires_grad)
    with t.set_grad_enabled(False):
        o.append(t.is_grad_enabled())
    t.set_grad_enabled(False)
    o.append(t.is_grad_enabled())
    t.set_grad_enabled(True)

    @t.set_grad_enabled(False)
    def h():
        return t.is_grad_enabled()

    o.append((h(), t.is_grad_enabled()))

    @t.inference_mode()
    def k():
        return (t.is_inference_mode_enabled(), t.is_grad_enabled())

    o.append(k())

    @t.inference_mode
    def k():
        return t.is_inference_mode_enabled()

    o.append(k())
    return o


@programs
def generator_under_no_grad(t):

    @t.no_grad()
    def g():
        for _ in range(2):
            r = yield t.is_grad_enabled()
            yield r

    it = g()
    o = [next(it), t.is_grad_enabled(), it.send(5), next(it)]
    it.close()
    return o


@programs
def generator_that_throws(t):

    @t.no_grad()
    def g():
        try:
            yield 1
        except ValueError:
            yield t.is_grad_enabled()
        return 7

    it = g()
    next(it)
    a = it.throw(ValueError())
    try:
        next(it)
    except StopIteration as s:
        return (a, s.value)


@programs
def inference_tensors(t):
    with t.inference_mode():
        x = t.ones(2)
        y = t.ones(2) * 2
    z = t.ones(2)
    with t.inference_mode():
        w = z.view(2)
        q = z[0]
    return (
        x.is_inference(),
        y.is_inference(),
        z.is_inference(),
        w.is_inference(),
        q.is_inference(),
        x.view(2).is_inference(),
        (x + 1).is_inference(),
        x.clone().is_inference(),
        x.detach().is_inference(),
        t.is_inference(x),
    )


@programs
def inference_mode_false(t):
    with t.no_grad(), t.inference_mode(False):
        return t.is_grad_enabled()


@programs
def change_within_inference_mode(t):
    z = t.ones(2)
    with t.inference_mode():
        z.add_(1)
    return (z, z.is_inference(), z._version)


@pytest.mark.parametrize("program", programs, ids=lambda f: f.__name__)
def test_programs(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "relu6", "hardtanh", "softshrink", "hardshrink"])
def test_second_derivatives_of_steps_are_zero(torch, name):
    """The gradient of a network of such layers is one that can be differentiated, by what it was computed from as well."""
    def program(t):
        x = t.tensor([[0.5, -1.5, 2.0]], requires_grad=True)
        w = t.tensor([[1.0, -2.0], [0.5, 1.0], [-1.0, 3.0]], requires_grad=True)
        y = getattr(t.nn.functional, name)(x @ w).sum()
        (slope,) = t.autograd.grad(y, x, create_graph=True)
        return slope, t.autograd.grad(slope.sum(), [x, w])
    assert_same_outcome(torch, program)
