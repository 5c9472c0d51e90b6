"""`torch.nn.grad`: gradients of convolutions as functions, against PyTorch's."""

import numpy as np
import pytest

import clgrad

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("walk", [(1, 0, 1, 1), (2, 1, 1, 2), (2, 2, 2, 1)])
def test_gradients_of_convolutions(rank, walk):
    stride, padding, dilation, groups = walk
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 4, 7, 8, 9)[:2 + rank])
    w = rng.standard_normal((6, 4 // groups, 3, 2, 3)[:2 + rank])
    convolved = getattr(torch.nn.functional, f"conv{rank}d")(torch.tensor(x), torch.tensor(w), None, *walk)
    dy = rng.standard_normal(convolved.shape)
    for name, operands in (("input", lambda t: (x.shape, t(w), t(dy))), ("weight", lambda t: (t(x), w.shape, t(dy)))):
        found = getattr(clgrad.nn.grad, f"conv{rank}d_{name}")(*operands(clgrad.tensor), *walk)
        expected = getattr(torch.nn.grad, f"conv{rank}d_{name}")(*operands(torch.tensor), *walk)
        assert found.shape == expected.shape and not found.requires_grad
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-9, atol=1e-9)


def test_they_are_differentiable():
    x, w = clgrad.randn(1, 2, 5, 5), clgrad.randn(3, 2, 2, 2, requires_grad=True)
    dy = clgrad.randn(1, 3, 4, 4, requires_grad=True)
    clgrad.nn.grad.conv2d_input(x.shape, w, dy).sum().backward()
    expected = dy.detach().numpy().sum((0, 2, 3))[:, None, None, None] * np.ones(w.shape)
    np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-4, atol=1e-5)
    with clgrad.no_grad():
        assert not clgrad.nn.grad.conv2d_weight(x, w.shape, dy).requires_grad


def test_functional_names_them_too():
    assert clgrad.nn.functional.grad is clgrad.nn.grad
