"""``vmap`` itself: batches within batches, chunks, randomness, what differentiates, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, stack_module_state, vjp, vmap
from tests.compare import assert_same_error, assert_same_outcome

WEIGHT = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
ROWS = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)


def hidden(t):
    """A function of a vector that gives a vector."""
    weight = t.tensor(WEIGHT)
    return lambda x: t.tanh(weight @ x)


PROGRAMS = {
    "pairs": lambda t, f, x: f.vmap(f.vmap(t.dot, in_dims=(None, 0)), in_dims=(0, None))(x, x),
    "columns to columns": lambda t, f, x: f.vmap(lambda c: c * 2 + c.sum(), in_dims=1, out_dims=1)(x),
    "chunks": lambda t, f, x: f.vmap(lambda r: (r.sum(), r * 2), chunk_size=2)(x),
    "nothing of the batch": lambda t, f, x: f.vmap(lambda r: t.ones(2))(x),
    "gradients": lambda t, f, x: f.vmap(f.grad(lambda r: hidden(t)(r).sum()))(x),
    "gradients of what all share": lambda t, f, x: f.vmap(f.grad(lambda w, r: (w @ r).pow(2).sum()), in_dims=(None, 0))(
        t.tensor(WEIGHT), x),
    "a gradient around": lambda t, f, x: f.grad(lambda a: f.vmap(hidden(t))(a).pow(2).sum())(x),
    "a gradient around gradients": lambda t, f, x: f.grad(
        lambda a: f.vmap(f.grad(lambda r: hidden(t)(r).prod()))(a).sum())(x),
    "jacrev": lambda t, f, x: f.vmap(f.jacrev(hidden(t)))(x),
    "jacfwd": lambda t, f, x: f.vmap(f.jacfwd(hidden(t)))(x),
    "hessians": lambda t, f, x: f.vmap(f.hessian(lambda r: hidden(t)(r).prod()))(x),
    "jacfwd of jacrev of several": lambda t, f, x: f.jacfwd(f.jacrev(lambda a, b: (a * b).sum(0) * b[0], argnums=(0, 1)))(
        x[:2], x[2:4]),
    "directions": lambda t, f, x: f.vmap(lambda r: f.jvp(hidden(t), (r,), (t.ones(3),))[1])(x),
    "directions of one point": lambda t, f, x: f.vmap(lambda d: f.jvp(hidden(t), (x[0],), (d,))[1])(x),
    "rows of a Jacobian": lambda t, f, x: f.vmap(f.vjp(hidden(t), x[0])[1])(t.eye(4))[0],
    "a product with each Hessian": lambda t, f, x: f.vmap(
        lambda r: f.jvp(f.grad(lambda a: hidden(t)(a).prod()), (r,), (r,))[1])(x),
    "batches of batches of gradients": lambda t, f, x: f.vmap(lambda w: f.vmap(f.grad(lambda r: (w * r).sin().sum()))(x))(x),
    "made inside": lambda t, f, x: f.vmap(lambda r: (r.new_zeros(3).add_(r), t.zeros(3) + r, t.arange(3) * r))(x),
    "form in place": lambda t, f, x: f.vmap(lambda r: (r[None] * 2).t_().squeeze_().unsqueeze_(0))(x),
    "forms": lambda t, f, x: f.vmap(lambda r: r * r.dim() * r.numel() * len(r) * r.shape[0] * r.stride(0))(x),
    "gradients between pairs": lambda t, f, x: f.vmap(f.vmap(f.grad(lambda a, b: (a - b).square().sum().neg().exp()),
                                                            (None, 0)), (0, None))(x, x),
    "gradients between pairs, by the second": lambda t, f, x: f.vmap(f.vmap(
        f.grad(lambda a, b: (a * b).sin().sum(), 1), (0, None)), (None, 0))(x, x[:2]),
    "Jacobians between pairs": lambda t, f, x: f.vmap(f.vmap(f.jacfwd(f.jacrev(lambda a, b: (a * b).sin().prod()), 1),
                                                            (None, 0)), (0, None))(x, x[:1]),
    "tangents of an outer batch": lambda t, f, x: f.vmap(f.vmap(
        lambda n, r: f.jvp(t.sin, (r,), (r * 2,))[1] * n, (0, None)))(x, x),
    "gradients by what three levels hold": lambda t, f, x: f.vmap(f.vmap(f.vmap(
        f.grad(lambda a, b, c: (a * b * c).sum().sin()), (None, None, 0)), (0, None, None)), (None, 0, None))(
            x, x[:2], x[:1]),
    "nested containers": lambda t, f, x: f.vmap(lambda d: {"s": d["a"][0] + d["b"]}, in_dims=({"a": (0,), "b": None},))(
        {"a": (x,), "b": x[0]})["s"],
    "a loss that is no mean": lambda t, f, x: f.vmap(f.grad_and_value(lambda r: (r**2).sum()))(x),
}


@pytest.mark.parametrize("label", PROGRAMS)
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_programs(torch, label):
    def leaves(value):
        return [leaf for part in value for leaf in leaves(part)] if isinstance(value, (tuple, list)) else [value]
    expected, found = (leaves(PROGRAMS[label](t, t.func, t.tensor(ROWS))) for t in (torch, clgrad))
    for f, e in zip(found, expected, strict=True):
        assert f.shape == tuple(e.shape) and str(f.dtype) == str(e.dtype) and f.requires_grad == e.requires_grad
        np.testing.assert_allclose(f.numpy(), e.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("function", [
    lambda t: t.vmap(lambda r: r if r.sum() > 0 else -r)(t.ones(2, 3)),
    lambda t: t.vmap(lambda r: r * r.sum().item())(t.ones(2, 3)),
    lambda t: t.vmap(lambda r: t.zeros(3).add_(r))(t.ones(2, 3)), lambda t: t.vmap(lambda r: t.rand(3) + r)(t.ones(2, 3)),
    lambda t: t.vmap(lambda r: r.normal_())(t.ones(2, 3)), lambda t: t.vmap(lambda r: r, out_dims=2)(t.ones(2, 3)),
    lambda t: t.vmap(lambda r: r, out_dims=None)(t.ones(2, 3)), lambda t: t.vmap(lambda r: 2)(t.ones(2, 3)),
    lambda t: t.vmap(lambda r: r.sum().backward())(t.ones(2, 3, requires_grad=True)),
    lambda t: t.vmap(t.nn.BatchNorm1d(3))(t.ones(2, 4, 3)), lambda t: t.vmap(lambda r: t.mm(r, r))(t.ones(2, 3)),
    lambda t: t.vmap(lambda r: t.zeros(3).uniform_() + r, randomness="different")(t.ones(2, 3)),
    lambda t: t.vmap(lambda w: t.nn.functional.embedding(t.tensor([0, 3]), w))(t.ones(2, 3, 2)).sum().item(),
    lambda t: t.vmap(lambda r: t.where(r)[0])(t.tensor([[1, 0, 1], [0, 0, 1]]))])
def test_what_is_refused(torch, function):
    assert_same_error(torch, function)


def test_random_numbers():
    x = clgrad.zeros(4, 100)
    for draw in (lambda r: clgrad.rand(100), lambda r: clgrad.rand_like(r), lambda r: clgrad.bernoulli(r + 0.5),
                 lambda r: clgrad.nn.functional.dropout(r + 1), lambda r: clgrad.normal(r, 1.0),
                 lambda r: clgrad.nn.functional.dropout(clgrad.ones(100)) + r):
        different = vmap(draw, randomness="different")(x)
        assert all(not clgrad.equal(different[0], row) for row in different[1:])
        same = vmap(draw, randomness="same")(x)
        assert all(clgrad.equal(same[0], row) for row in same[1:])
    assert vmap(lambda r: clgrad.nn.functional.dropout(r, 0.5, False))(x).shape == (4, 100)


def test_the_function_is_called_once():
    calls = []

    def function(r):
        calls.append(r.shape)
        return (r**3).sum()
    vmap(function)(clgrad.ones(5, 3))
    jacfwd(function)(clgrad.ones(3))
    hessian(function)(clgrad.ones(3))
    assert calls == [(3,)] * 3


def test_an_ensemble_in_training(torch):
    """Buffers of single models are changed in place, each model's own."""
    def program(t):
        t.manual_seed(0)
        models = [t.nn.Sequential(t.nn.Linear(3, 4), t.nn.BatchNorm1d(4), t.nn.Linear(4, 1)) for _ in range(2)]
        for n, model in enumerate(models):
            with t.no_grad():
                for m, p in enumerate(model.parameters()):
                    p.copy_(t.linspace(-1, 1 + n, p.numel()).view(p.shape).sin() + m)
        parameters, buffers = t.func.stack_module_state(models)
        x = t.tensor(ROWS)
        call = t.vmap(lambda p, b: t.func.functional_call(models[0], (p, b), (x,)), randomness="same")
        losses = call(parameters, buffers).pow(2).mean((1, 2))
        gradients = t.autograd.grad(losses.sum(), list(parameters.values()))
        return [v.detach().numpy().round(3).tolist() for v in (losses, *gradients, *buffers.values())]
    for found, expected in zip(program(clgrad), program(torch), strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)


def test_gradients_of_single_samples():
    model = clgrad.nn.Sequential(clgrad.nn.Conv2d(1, 4, 3), clgrad.nn.ReLU(), clgrad.nn.MaxPool2d(2), clgrad.nn.Flatten(),
                                 clgrad.nn.Linear(36, 3))
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    x, y = clgrad.randn(6, 1, 8, 8), clgrad.randint(0, 3, (6,))

    def loss(p, sample, target):
        return clgrad.nn.functional.cross_entropy(functional_call(model, p, (sample[None],)), target[None])
    found = vmap(grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
    for n in range(len(x)):
        model.zero_grad()
        clgrad.nn.functional.cross_entropy(model(x[n:n + 1]), y[n:n + 1]).backward()
        for name, p in model.named_parameters():
            assert clgrad.allclose(found[name][n], p.grad, atol=1e-5)


class Cube(clgrad.autograd.Function):
    asked = []

    @staticmethod
    def forward(x):
        return x**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        return 3 * ctx.saved_tensors[0]**2 * g


class CubeOfBatches(Cube):
    @staticmethod
    def vmap(info, in_dims, x):
        Cube.asked.append((info.batch_size, info.randomness, in_dims, tuple(x.shape)))
        return Cube.apply(x), 0


@pytest.mark.parametrize("kind", [Cube, CubeOfBatches])
def test_functions_of_users(kind):
    Cube.asked.clear()
    x = clgrad.tensor(ROWS)
    assert clgrad.allclose(vmap(kind.apply)(x), x**3)
    assert clgrad.allclose(vmap(grad(lambda r: kind.apply(r).sum()))(x), 3 * x**2)
    assert clgrad.allclose(vmap(vmap(kind.apply))(x), x**3)
    assert Cube.asked[:1] == ([(5, "error", (0,), (5, 3))] if kind is CubeOfBatches else [])


def test_autograd_within(torch):
    """A graph that all entries share is walked for each."""
    def program(t):
        x = t.tensor([1.0, 2.0, 3.0], requires_grad=True)
        y = x**3
        return t.vmap(lambda v: t.autograd.grad(y, x, v, retain_graph=True)[0])(t.eye(3))
    assert_same_outcome(torch, program)


def test_a_batch_that_leaves_its_function_is_refused():
    kept = []
    vmap(lambda r: (kept.append(r), r)[1])(clgrad.ones(2, 3))
    for use in (lambda r: r + 1, lambda r: r.tolist(), lambda r: r.add_(1), lambda r: r.sum()):
        with pytest.raises(RuntimeError, match="where vmap cannot see it"):
            use(kept[0])


def test_what_is_computed_is_what_differentiates():
    x = clgrad.tensor(ROWS, requires_grad=True)
    result = vmap(lambda r: (r * r).sum())(x)
    result.sum().backward()
    assert clgrad.allclose(x.grad, 2 * x)
    (row,), _ = jvp(lambda a: vmap(lambda r: r.sum())(a), (x.detach(),), (clgrad.ones(5, 3),))[1:], None
    assert row.tolist() == [3.0] * 5
    output, product = vjp(lambda a: vmap(lambda r: r.prod())(a), x.detach())
    assert product(clgrad.ones(5))[0].shape == (5, 3) and output.shape == (5,)
    assert jacrev(lambda a: vmap(lambda r: r.sum())(a))(x.detach()).shape == (5, 5, 3)
    assert stack_module_state([clgrad.nn.Linear(2, 2)] * 2)[0]["weight"].shape == (2, 2, 2)


@pytest.mark.parametrize("call", [
    lambda t, x: t.unsqueeze(input=x, dim=0), lambda t, x: t.squeeze(input=x, dim=0),
    lambda t, x: t.reshape(input=x, shape=(3, 2)),
    lambda t, x: t.zeros_like(input=x), lambda t, x: t.add(input=x, other=x), lambda t, x: t.flip(input=x, dims=(0,)),
    lambda t, x: t.nn.functional.dropout(input=x, training=False), lambda t, x: t.matmul(input=x, other=x.mT),
    lambda t, x: t.linalg.solve(A=x @ x.mT + t.eye(2), B=x), lambda t, x: t.diag_embed(input=x), lambda t, x: t.tril(input=x),
    lambda t, x: t.transpose(input=x, dim0=0, dim1=1), lambda t, x: t.clone(input=x, memory_format=t.preserve_format),
    lambda t, x: t.max(input=x, other=x * 2), lambda t, x: t.sum(x, axis=0)])
def test_arguments_by_name(torch, call):
    values = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    expected, found = (t.vmap(lambda x, t=t: call(t, x))(t.tensor(values)) for t in (torch, clgrad))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("program", [
    lambda t, x: t.func.vmap(t.mul, (0,))(x, x), lambda t, x: t.func.vmap(t.mul, (0, 0, 0))(x, x),
    lambda t, x: t.func.vmap(lambda z: z[0] + z[1], ([0],))([x, x]),
    lambda t, x: t.func.vmap(lambda z: z[0] + z[1], ((0, 0),))([x, x]),
    lambda t, x: t.func.vmap(lambda z: z["a"], ({"b": 0},))({"a": x}),
    lambda t, x: t.func.vmap(t.sum, ((0,),))(x),
])
def test_in_dims_of_another_structure_than_the_inputs_raise_pytorchs_errors(program, torch):
    with pytest.raises(ValueError, match="not compatible with the structure"):
        program(torch, torch.ones(3))
    with pytest.raises(ValueError, match="not compatible with the structure"):
        program(clgrad, clgrad.ones(3))
