"""``torch.func`` against PyTorch's: levels within each other, batches, and what is refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

import clgrad
from tests.compare import assert_same_error, assert_same_outcome


def vectors(t):
    return t.tensor([[0.5, 1.5, -1.0], [2.0, 0.25, 3.0]])


def grad_of_a_product(t):
    x, y = t.tensor(0.3), t.tensor(0.7)
    _, product = t.func.vjp(t.sin, x)
    return t.func.grad(lambda v: product(v)[0])(y)


def products_and_modes(t):
    x, one = t.tensor(3.0, requires_grad=True), t.tensor(1.0)
    out, product = t.func.vjp(lambda v: v**2, x)
    with t.no_grad():
        (quiet,) = product(one)
        silent, later = t.func.vjp(lambda v: v**2, x)
    (loud,) = later(one)
    return out, quiet, silent, loud, t.autograd.grad(out, x), t.autograd.grad(loud, x)


PROGRAMS = {
    "a gradient of a product": grad_of_a_product,
    "products where nothing is recorded": products_and_modes,
    "a product of a gradient": lambda t: t.func.vjp(t.func.grad(t.sin), t.tensor(0.3))[1](t.tensor(2.0)),
    "a batch in nested results": lambda t: t.func.vmap(lambda x: (x.sin(), (x, x.cos())), out_dims=(0, (0, 1)))(vectors(t)),
    "one dimension for a part": lambda t: t.func.vmap(lambda x: (x, (x, [x])), out_dims=(0, 1))(vectors(t)),
    "results in a dictionary": lambda t: t.func.vmap(lambda x: {"a": x, "b": x.sum()})(vectors(t)),
    "dimensions of a dictionary": lambda t: t.func.vmap(lambda x: {"a": x}, out_dims={"a": 1})(vectors(t)),
    "one result": lambda t: t.func.vmap(lambda x: x, out_dims=(1,))(vectors(t)),
    "what is no tensor": lambda t: t.func.vmap(lambda x: (x, "name"), out_dims=(0, None))(vectors(t)),
    "a constant": lambda t: t.func.vmap(lambda x: t.arange(3), out_dims=None)(vectors(t)),
    "besides": lambda t: t.func.grad(lambda x: (x.sum(), {"twice": x * 2}), has_aux=True)(vectors(t)),
    "names": lambda t: (t.func.grad(products_and_modes).__name__, t.func.vmap(products_and_modes).__name__),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(torch, name):
    assert_same_outcome(torch, PROGRAMS[name])


@pytest.mark.parametrize("program", [
    *[lambda t, n=n: t.func.grad(t.mul, argnums=n)(t.tensor(1.0), t.tensor(2.0)) for n in (
        [0], ("0",), (0, 0), (0, -2), (), 0.0, 2, -3)],
    lambda t: t.func.grad(lambda x: [x.sum(), x], has_aux=True)(t.ones(2)),
    lambda t: t.func.grad(lambda x: (x.sum(), x, x), has_aux=True)(t.ones(2)),
    lambda t: t.func.grad(lambda x: (x.sum(), 1.0), has_aux=True)(t.ones(2)),
    lambda t: t.func.vjp(lambda x: (x, (x, x)), t.ones(2))[1](((t.ones(2), (t.ones(2), t.ones(2))),)),
    *[lambda t, v=v: t.func.vjp(lambda x: v, t.ones(2)) for v in (None, (), 1, "abc")],
    *[lambda t, v=v: t.func.jvp(lambda x: v, (t.ones(2),), (t.ones(2),)) for v in (None, (), True)],
    *[lambda t, v=v: t.func.jacrev(lambda x: v)(t.ones(2)) for v in (None, (), 1.5)],
    lambda t: t.func.jvp(t.sin, (), ()), lambda t: t.func.jvp(t.sin, t.ones(2), (t.ones(2),)),
    lambda t: t.func.jvp(t.sin, (t.ones(2),), t.ones(2)), lambda t: t.func.jvp(t.sin, (t.ones(2),), (t.ones(2), t.ones(2))),
    lambda t: t.func.grad(lambda p: (p["a"] * p["b"]).sum())({"a": t.ones(2), "b": t.tensor([1, 2])}),
    lambda t: t.func.jacfwd(t.sin)(t.tensor([1, 2])), lambda t: t.func.vjp(t.mul, t.ones(2), t.tensor([1, 2])),
    lambda t: t.func.grad(lambda a: (a * 2).sum())(2.0),
    lambda t: t.func.jvp(t.sin, (1.0,), (t.ones(2),)), lambda t: t.func.jvp(t.sin, (t.ones(2),), (1.0,)),
    lambda t: t.func.jacrev(t.sin, chunk_size=0), lambda t: t.func.vmap(t.sin, chunk_size=-1)(t.ones(2)),
    lambda t: t.func.vmap(t.mul, [0, 0])(t.ones(2), t.ones(2)), lambda t: t.func.vmap(t.mul, (0,))(t.ones(2), t.ones(2)),
    lambda t: t.func.vmap(lambda: t.ones(2))(), lambda t: t.func.vmap(lambda x: x, out_dims="lol")(t.ones(2)),
    lambda t: t.func.vmap(lambda x: x, out_dims=("lol",))(t.ones(2)),
    lambda t: t.func.vmap(lambda x: x, out_dims=(0, 0))(t.ones(2)),
    lambda t: t.func.vmap(lambda x: (x, x), out_dims=(0,))(t.ones(2)),
    lambda t: t.func.vmap(lambda x: (x, x, x), out_dims=(0, 0))(t.ones(2)), lambda t: t.func.vmap(lambda x: 1.5)(t.ones(2)),
    lambda t: t.func.stack_module_state([t.nn.Linear(1, 1), t.nn.Linear(1, 1).eval()]),
    lambda t: t.func.stack_module_state([t.nn.Linear(1, 1), t.nn.Linear(1, 1).requires_grad_(False)])])
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")  # what PyTorch's jvp loads
def test_refusals(torch, program):
    assert_same_error(torch, program)


def doubled(x):
    return x.mul_(2).square().sum()


def first_from_second(x):
    x[0] = x[1] * 2
    return x.sum()


@pytest.mark.parametrize("function", [doubled, first_from_second])
@pytest.mark.parametrize("call", [
    lambda t, f, x: t.func.jvp(f, (x,), (t.tensor([1.0, 0.5, 2.0]),))[0], lambda t, f, x: t.func.jacfwd(f)(x),
    lambda t, f, x: t.func.jacfwd(lambda a, b: f(b) * a.sum(), argnums=1)(x.clone(), x)])
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_functions_that_change_their_argument(torch, function, call):
    def program(t):
        x = t.tensor([1.0, 2.0, 3.0])
        return call(t, function, x), x
    assert_same_outcome(torch, program)


def test_the_tangent_of_a_changed_argument():
    x = clgrad.tensor([1.0, 2.0, 3.0])
    assert clgrad.func.jvp(doubled, (x,), (clgrad.tensor([1.0, 0.0, 2.0]),))[1].item() == 8.0 * (1 + 6)
    assert x.tolist() == [2.0, 4.0, 6.0] and not x.requires_grad


@pytest.mark.parametrize("transform", ["grad", "jacrev"])
def test_backward_modes_take_no_changed_argument(torch, transform):
    assert_same_error(torch, lambda t: getattr(t.func, transform)(doubled)(t.ones(3)))


CHANGES = [lambda c, x: c.add_(x.detach()), lambda c, x: c.add_(1), lambda c, x: c.copy_(x), lambda c, x: c.fill_(2),
           lambda c, x: c.__setitem__(0, 5.0), lambda c, x: c[1:].mul_(2), lambda c, x: c.data.zero_(),
           lambda c, x: c.normal_()]


def changing_what_it_captured(t, change, call):
    captured, x = t.ones(3), t.tensor([1.0, 2.0, 3.0])

    def function(a):
        change(captured, a)
        return a * captured
    with pytest.raises(RuntimeError):
        call(t, function, x)
    assert captured.tolist() == [1, 1, 1]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("call", [lambda t, f, x: t.func.grad(lambda a: f(a).sum())(x), lambda t, f, x: t.func.vjp(f, x),
                                  lambda t, f, x: t.func.jvp(f, (x,), (x,))])
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_captured_tensors_are_not_changed(torch, change, call):
    for t in (torch, clgrad):
        changing_what_it_captured(t, change, call)


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_mapped_is_changed_once_by_what_is_not(torch, change):
    def outcome(t):
        captured, x = t.ones(3), t.tensor([1.0, 2.0, 3.0])

        def function(a):
            change(captured, a)
            return a * captured
        try:
            result = t.func.vmap(function)(t.stack([x, x])).tolist()
        except RuntimeError:
            result = "refused"
        return result, captured.tolist()
    assert outcome(clgrad) == outcome(torch)


def test_what_is_given_or_made_inside_may_be_changed():
    grad, vmap = clgrad.func.grad, clgrad.func.vmap
    x, c = clgrad.tensor([1.0, 2.0, 3.0]), clgrad.ones(3)
    assert grad(lambda a, b: (a * b.add_(1)).sum())(x, c).tolist() == [2, 2, 2] and c.tolist() == [2, 2, 2]
    assert grad(lambda a: clgrad.zeros(3).add_(a).sum())(x).tolist() == [1, 1, 1]

    def nested(a):
        made = clgrad.ones(3)
        inner = grad(lambda b, other: (b * other.add_(1)).sum())(a, made)
        made.add_(1)
        return (inner * a * made).sum()
    assert grad(nested)(x).tolist() == [6, 6, 6]
    assert vmap(lambda row: row.add_(1))(clgrad.zeros(2, 2)).tolist() == [[1, 1], [1, 1]]
    many = vmap(grad(lambda a, b: (a * b.add_(1)).sum()), in_dims=(0, None))(clgrad.ones(2, 3), c)
    assert many.tolist() == [[3, 3, 3], [3, 3, 3]] and c.tolist() == [3, 3, 3]


def test_layers_with_spectral_norm_may_be_differentiated(torch):
    for t in (torch, clgrad):
        layer = t.nn.utils.parametrizations.spectral_norm(t.nn.Linear(3, 3))
        assert t.func.grad(lambda x, layer=layer: layer(x).sum())(t.ones(3)).shape == (3,)


def test_threads_differentiate_side_by_side():
    def work(_):
        x = clgrad.tensor([1.0, 2.0, 3.0])
        return [clgrad.func.grad(lambda a: clgrad.zeros(3).add_(a * a).sum())(x).tolist() for _ in range(20)]
    with ThreadPoolExecutor(4) as pool:
        assert all(found == [[2, 4, 6]] * 20 for found in pool.map(work, range(4)))
