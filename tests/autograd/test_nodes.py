"""Nodes of a graph, as programs meet them: their hooks, calls of them, which gradients they give."""

from __future__ import annotations

import pytest

import clgrad


def test_hooks_on_nodes():
    x = clgrad.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    seen = {}
    y.grad_fn.register_hook(lambda inputs, outputs: seen.update(inputs=inputs[0].tolist(), outputs=outputs[0].tolist()))
    y.grad_fn.register_prehook(lambda outputs: (outputs[0] * 5,))
    y.sum().backward()
    assert seen == {"inputs": [10, 10], "outputs": [5, 5]}
    assert x.grad.tolist() == [10, 10]


def test_nodes_can_be_called(torch):
    for library in (clgrad, torch):
        x = library.tensor([2.0, 3.0], requires_grad=True)
        node, several = (x**2).grad_fn, x.unbind()[0].grad_fn
        assert node(library.tensor([1.0, 10.0])).tolist() == [4, 60]
        assert several(library.tensor(5.0), library.tensor(7.0)).tolist() == [5, 7]
        for arguments in ((), (x, x)):
            with pytest.raises(TypeError, match="expected 1 arguments, got . instead"):
                node(*arguments)


WITH_SEVERAL_INPUTS = {
    "product": lambda t, x, w: x * w, "quotient": lambda t, x, w: w / x, "matrices": lambda t, x, w: x @ w,
    "matrix and vector": lambda t, x, w: x @ w[0],
    "linear": lambda t, x, w: t.nn.functional.linear(x, w, w[0]),
    "convolution": lambda t, x, w: t.nn.functional.conv2d(x[None, None], w[None, None], w[0, :1])}


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("name", WITH_SEVERAL_INPUTS)
def test_nodes_give_no_gradients_that_nobody_asks_for(name, create, torch):
    found = []
    for t in (clgrad, torch):
        x, w = t.full((3, 3), 2.0, requires_grad=True), t.full((3, 3), 3.0, requires_grad=True)
        y, seen = WITH_SEVERAL_INPUTS[name](t, x, w), []
        y.grad_fn.register_hook(lambda grads, _: seen.append([g is None for g in grads]))  # noqa: B023
        for asked in ((x,), (w,), (x, w)):
            seen.append([g.tolist() for g in t.autograd.grad(y.sum(), asked, retain_graph=True, create_graph=create)])
        found.append(seen)
    assert found[0] == found[1]


def test_a_node_that_a_program_calls_gives_all_gradients(torch):
    x, w = clgrad.ones(2, 2, requires_grad=True), clgrad.ones(2, 2, requires_grad=True)
    y = clgrad.nn.functional.scaled_dot_product_attention(x[None, None], w[None, None], w[None, None])
    inner = (x * w).grad_fn
    given = []
    z = (x * 2).sum()
    z.grad_fn.register_hook(lambda grads, _: given.append(inner(clgrad.ones(2, 2))))
    clgrad.autograd.grad(z, x)
    assert [g.tolist() for g in given[0]] == [[[1.0, 1.0]] * 2] * 2
    assert all(g is not None for g in y.grad_fn(clgrad.ones(1, 1, 2, 2)))
