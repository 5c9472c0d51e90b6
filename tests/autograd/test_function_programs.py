"""Programs with users' functions, functional derivatives and errors: the same in both libraries."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest

import clgrad
from tests.autograd.programs import leaf, made
from tests.compare import Programs, assert_same_outcome

programs = Programs()


@programs
def function_node(t):
    a = made(t).apply(leaf(t))
    return (
        repr(a.grad_fn).split(" at")[0],
        a.grad_fn.foo,
        a.grad_fn.saved_tensors,
        a.grad_fn.name(),
        repr(a),
        a.grad_fn.needs_input_grad,
    )


@programs
def function_setup_context(t):

    class F(t.autograd.Function):
        @staticmethod
        def forward(x, y):
            return (x * y, x + y)

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, y = inputs
            ctx.save_for_backward(x, y)
            ctx.set_materialize_grads(False)
            ctx.o = len(output)

        @staticmethod
        def backward(ctx, g, h):
            x, y = ctx.saved_tensors
            return (g * y if g is not None else None, h is None and g * x or None)

    x, y = (leaf(t, 2.0), leaf(t, 3.0))
    a, b = F.apply(x, y)
    a.sum().backward()
    return (x.grad, y.grad, a.grad_fn.o)


@programs
def function_non_differentiable(t):

    class F(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            i = x.argmax()
            ctx.mark_non_differentiable(i)
            return (x.max(), i)

        @staticmethod
        def backward(ctx, g, gi):
            return g * t.ones(3)

    x = leaf(t)
    a, i = F.apply(x)
    a.backward()
    return (x.grad, i, i.requires_grad)


@programs
def function_mark_dirty(t):

    class F(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            x.mul_(2)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(t)
    y = x * 1
    z = F.apply(y)
    z.sum().backward()
    return (x.grad, z is y, z)


@programs
def function_once_differentiable(t):
    from_ = t.autograd.function.once_differentiable

    class F(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * x

        @staticmethod
        @from_
        def backward(ctx, g):
            return g * 2

    x = leaf(t)
    (g,) = t.autograd.grad(F.apply(x).sum(), x, create_graph=True)
    g.sum().backward()


@programs
def function_that_saves_its_result(t):

    class F(t.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    x = leaf(t)
    (g,) = t.autograd.grad(F.apply(x).sum(), x, create_graph=True)
    (h,) = t.autograd.grad(g.sum(), x)
    return (g, h, t.autograd.gradcheck(F.apply, (t.ones(2, dtype=t.float64, requires_grad=True),)))


@programs
def function_saved_tensors_after_backward(t):
    y = made(t).apply(leaf(t))
    y.sum().backward()
    return y.grad_fn.saved_tensors


@programs
def anomaly_switches(t):
    with t.autograd.set_detect_anomaly(True):
        a = (t.is_anomaly_enabled(), t.is_anomaly_check_nan_enabled())
    return (a, t.is_anomaly_enabled())


@programs
def variable(t):
    V = t.autograd.Variable
    x = V(t.ones(2), requires_grad=True)
    return (isinstance(t.ones(1), V), x.requires_grad, V(t.ones(2), volatile=True), x.is_leaf)


@programs
def data_assignment(t):
    x = leaf(t)
    x.data = t.ones(2)
    x.grad = t.ones(2)
    x.data.mul_(5)
    x.grad.data.zero_()
    return (x, x.grad)


@programs
def deepcopy(t):
    x = leaf(t)
    x.grad = t.ones(3)
    y = copy.deepcopy(x)
    p = t.nn.Parameter(t.ones(2))
    q = copy.deepcopy(p)
    return (y, y.grad, type(q).__name__, q.requires_grad, copy.copy(x) is x)


@programs
def pickle_keeps_strides(t):
    x = leaf(t)
    y = pickle.loads(pickle.dumps(x))
    z = pickle.loads(pickle.dumps(t.ones(2, 3).t()))
    return (y, y.is_leaf, z.stride(), z)


@programs
def parameters(t):
    p = t.nn.Parameter(t.ones(2))
    return (
        repr(p),
        (p * 2).requires_grad,
        type(p * 2).__name__,
        isinstance(p, t.Tensor),
        p.is_leaf,
        type(p.data).__name__,
        type(p.detach()).__name__,
        t.nn.Parameter(t.ones(2, dtype=t.int), requires_grad=False),
    )


@programs
def parameter_of_integers(t):
    return t.nn.Parameter(t.ones(2, dtype=t.int))


@programs
def subclass(t):

    class M(t.Tensor):
        pass

    m = t.ones(2).as_subclass(M)
    n = M([1, 2])
    return (type(m).__name__, type(n).__name__, isinstance(n, t.Tensor), n.tolist(), m.shape)


@programs
def leaves(t):
    x = leaf(t)
    return (
        x.is_leaf,
        (x * 2).is_leaf,
        x.detach().is_leaf,
        (x * 2).detach().requires_grad,
        t.ones(2).is_leaf,
        x.grad_fn,
        x.output_nr,
        x.view(3)._base is x,
        x.view(3)._is_view(),
    )


@programs
def functional(t):
    F = t.autograd.functional
    x = t.tensor([1.0, 2.0])
    y = t.tensor([3.0, 4.0])

    def f(x):
        return x**2

    def g(x, y):
        return (x * y).sum()

    def h(x, y):
        return (x * y, x + y)

    return (
        F.jacobian(f, x),
        F.jacobian(h, (x, y)),
        F.jacobian(g, (x, y)),
        F.hessian(lambda x: (x**3).sum(), x),
        F.hessian(g, (x, y)),
        F.vjp(f, x, t.ones(2)),
        F.vjp(g, (x, y)),
        F.jvp(f, x, t.ones(2)),
        F.jvp(h, (x, y), (x, y)),
        F.hvp(lambda x: (x**3).sum(), x, t.ones(2)),
        F.vhp(g, (x, y), (x, y)),
        F.jacobian(f, x, vectorize=True),
        F.jacobian(lambda x: x.exp(), x.clone().requires_grad_(), create_graph=True),
    )


@programs
def func(t):
    F = t.func
    x = t.tensor([1.0, 2.0])
    y = t.tensor([3.0, 4.0])
    s = t.tensor(2.0)
    return (
        F.grad(lambda x: x.sin().sum())(x),
        F.grad(F.grad(t.sin))(s),
        F.grad(lambda x, y: (x * y).sum(), argnums=(0, 1))(x, y),
        F.grad_and_value(lambda x: (x * x).sum())(x),
        F.grad(lambda x: ((x * x).sum(), {"a": x}), has_aux=True)(x),
        F.vjp(lambda x: x * 2, x)[1](t.ones(2)),
        F.jvp(lambda x: x * x, (x,), (t.ones(2),)),
        tuple(F.jvp(lambda x: x.sort(), (y,), (x,))[1]),
        F.jvp(lambda x: x.logcumsumexp(0), (x,), (y,)),
        F.jacrev(lambda x: x**2)(x),
        F.jacfwd(lambda x: x**2)(x),
        F.hessian(lambda x: (x**3).sum())(x),
        F.jacrev(lambda x, y: (x * y, x), argnums=(0, 1))(x, y),
        F.vmap(lambda x: x * 2)(x),
        F.vmap(t.dot)(t.ones(2, 3), t.ones(2, 3)),
        F.vmap(lambda x, y: x + y, in_dims=(0, None))(t.ones(2, 3), t.ones(3)),
        F.vmap(lambda x: x, out_dims=1)(t.ones(2, 3)),
        F.vmap(F.grad(lambda x: x.sin()))(x),
        F.vmap(lambda d: d["a"] * 2, in_dims=({"a": 0},))({"a": x}),
        F.vmap(lambda x: (x, x + 1))(x),
        F.grad(lambda p: (p["w"] * x).sum())({"w": y}),
        F.grad(lambda x: F.grad(lambda y: (x * y * y).sum())(y).sum())(x),
    )


@programs
def functional_call(t):
    m = t.nn.Linear(2, 1)
    p = {k: t.ones_like(v) for k, v in m.named_parameters()}
    x = t.ones(1, 2)
    a = t.func.functional_call(m, p, (x,))
    b = t.func.functional_call(m, p, x)
    g = t.func.grad(lambda p: t.func.functional_call(m, p, x).sum())(p)
    s = t.func.stack_module_state([t.nn.Linear(2, 1), t.nn.Linear(2, 1)])
    return (a, b, g, [v.shape for v in s[0].values()], [v.requires_grad for v in s[0].values()])


ERRORS = [
    lambda t: made(t, bw=lambda ctx, g: (g, g)).apply(leaf(t)).sum().backward(),
    lambda t: made(t, bw=lambda ctx, g: t.ones(5)).apply(leaf(t)).sum().backward(),
    lambda t: made(t, bw=lambda ctx, g: 3).apply(leaf(t)).sum().backward(),
    lambda t: made(t, fw=lambda ctx, x: (ctx.save_for_backward(3), x)[1]).apply(leaf(t)).sum(),
    lambda t: made(t, fw=lambda ctx, x: (ctx.save_for_backward(3), x * 2)[1]).apply(t.ones(3)),
    lambda t: made(t, fw=lambda ctx, x: (ctx.mark_dirty(x), x.add_(1))[1]).apply(leaf(t)).sum(),
    lambda t: t.autograd.Function.apply(leaf(t)),
    lambda t: made(t)()(leaf(t)),
    lambda t: made(t, bw=lambda ctx, g: None).apply(leaf(t)).sum().backward(),
    lambda t: made(t, bw=lambda ctx, g: (g, None)).apply(leaf(t)).sum().backward(),
    lambda t: made(t, fw=lambda ctx, x: 3).apply(leaf(t)),
    lambda t: made(t, fw=lambda ctx, x: (x * 2, "a", None)).apply(leaf(t)),
    lambda t: made(t, fw=lambda ctx, x: [x * 2]).apply(leaf(t)),
    lambda t: made(t, fw=lambda ctx, x: x).apply(leaf(t)) is None,
    lambda t: made(t, fw=lambda ctx, x: x.view(3, 1)).apply(leaf(t)),
    lambda t: made(t, bw=lambda ctx, g: (g,)).apply(leaf(t) * 2).sum().backward(),
    lambda t: (lambda x, y: (y.register_hook(lambda g: 3), y.sum().backward()))(leaf(t), leaf(t) * 2),
    lambda t: (lambda x: (x.register_hook(lambda g: t.ones(5)), (x * 2).sum().backward()))(leaf(t)),
    lambda t: (leaf(t) * 2).register_post_accumulate_grad_hook(print),
    lambda t: t.ones(2).register_post_accumulate_grad_hook(print),
    lambda t: (leaf(t) * 2).add_(1).mul_(2),
    lambda t: leaf(t).view(3).add_(1),
    lambda t: t.ones(3).expand(2, 3).add_(1),
    lambda t: t.ones(2, 3)[0].add_(leaf(t)),
    lambda t: t.autograd.functional.jacobian(lambda x: x, 3),
    lambda t: t.autograd.functional.jacobian(lambda x: 3, t.ones(2)),
    lambda t: t.autograd.functional.vjp(lambda x: x * 2, t.ones(2)),
    lambda t: t.autograd.functional.vjp(lambda x: x * 2, t.ones(2), t.ones(3)),
    lambda t: t.autograd.functional.hessian(lambda x: x * 2, t.ones(2)),
    lambda t: t.autograd.functional.jacobian(lambda x: t.ones(2), t.ones(2), strict=True),
    lambda t: t.autograd.functional.jacobian(lambda x: t.ones(2), t.ones(2)),
    lambda t: t.autograd.functional.jvp(lambda x: x * 2, (t.ones(2), 3)),
    lambda t: t.autograd.functional.hvp(lambda x: x.sum(), t.ones(2)),
    lambda t: t.autograd.functional.hvp(lambda x: x.sum(), t.ones(2), t.ones(2)),
    lambda t: t.autograd.functional.hvp(lambda x: (x * 2).sum(), t.ones(2), t.ones(2), strict=True),
    lambda t: t.func.grad(lambda x: x)(t.ones(2)),
    lambda t: t.func.vmap(lambda x: x)(3),
    lambda t: t.func.vmap(lambda x, y: x)(t.ones(2), t.ones(3)),
    lambda t: t.func.vmap(lambda x: x, in_dims=None)(t.ones(2)),
    lambda t: t.func.vmap(lambda x: x, in_dims=3)(t.ones(2)),
    lambda t: t.func.grad(lambda x: 3)(t.ones(2)),
    lambda t: t.vmap(lambda x: x.sum(), in_dims=1)(t.ones(2, 3)),
]


@pytest.mark.parametrize("program", programs, ids=lambda f: f.__name__)
def test_programs(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", ERRORS)
def test_errors(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpoint_computes_again_with_the_same_random_numbers(reentrant):
    calls = []

    def noisy(x):
        calls.append(clgrad.rand(3))
        return (x * calls[-1]).exp()

    x = leaf(clgrad)
    y = clgrad.utils.checkpoint.checkpoint(noisy, x, use_reentrant=reentrant)
    after = clgrad.random.get_rng_state()
    y.sum().backward()
    assert len(calls) == 2
    assert bool((calls[0] == calls[1]).all())
    assert bool((after == clgrad.random.get_rng_state()).all())
    expected = calls[0] * (x.detach() * calls[0]).exp()
    clgrad.testing.assert_close(x.grad, expected)


def test_checkpoint_has_second_derivatives():
    x = leaf(clgrad)
    y = clgrad.utils.checkpoint.checkpoint(lambda a, b: (a * b).exp(), x, b=2, use_reentrant=False)
    (first,) = clgrad.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = clgrad.autograd.grad(first.sum(), x)
    clgrad.testing.assert_close(second, 4 * (2 * x.detach()).exp())


def test_checkpoint_sequential():
    layers = clgrad.nn.Sequential(clgrad.nn.Tanh(), clgrad.nn.Sigmoid(), clgrad.nn.Tanh())
    x, z = leaf(clgrad), leaf(clgrad)
    clgrad.utils.checkpoint.checkpoint_sequential(layers, 2, x, use_reentrant=False).sum().backward()
    layers(z).sum().backward()
    clgrad.testing.assert_close(x.grad, z.grad)


def test_saved_tensor_hooks_see_each_saved_tensor():
    shapes = []

    def pack(tensor):
        shapes.append(tuple(tensor.shape))
        return tensor.tolist()

    x = leaf(clgrad)
    with clgrad.autograd.graph.saved_tensors_hooks(pack, clgrad.tensor):
        y = (x * x).exp()
    y.sum().backward()
    assert shapes == [(3,)] * 3
    clgrad.testing.assert_close(x.grad, 2 * x.detach() * (x.detach() ** 2).exp())


def test_a_function_keeps_nothing_of_its_inputs_that_it_does_not_save():
    class Sum(clgrad.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.sum()

        @staticmethod
        def backward(ctx, g):
            return g.expand(3)

    x = leaf(clgrad)
    inner = x * 1
    reference = weakref.ref(inner.memory)
    y = Sum.apply(inner)
    del inner
    gc.collect()
    assert reference() is None
    y.backward()
    assert x.grad.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", ["jacobian", "hessian", "vjp", "jvp", "vhp", "hvp"])
def test_derivatives_are_recorded_when_asked_for_even_within_no_grad(name):
    x = clgrad.tensor([1.0, 2.0], requires_grad=True)
    vectors = () if name in ("jacobian", "hessian") else (clgrad.ones(()),) if name == "vjp" else (clgrad.ones(2),)
    with clgrad.no_grad():
        found = getattr(clgrad.autograd.functional, name)(lambda x: (x ** 3).sum(), x, *vectors, create_graph=True)
    for tensor in found if isinstance(found, tuple) else (found,):
        assert tensor.grad_fn is not None


def test_batch_norms_without_running_statistics(torch):
    def program(library):
        module = library.nn.Sequential(library.nn.BatchNorm2d(3), library.nn.BatchNorm1d(2, track_running_stats=False))
        same = library.func.replace_all_batch_norm_modules_(module) is module
        mapped = library.func.vmap(module[0], randomness="error")(library.arange(48.).reshape(2, 2, 3, 2, 2))
        return same, [(m.running_mean, m.num_batches_tracked, m.track_running_stats) for m in module], mapped.detach()
    assert_same_outcome(torch, program)
