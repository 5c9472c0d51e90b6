import numpy as np
import pytest

from clgrad import dtypes
from clgrad.kernels import cross_entropy

from .buffers import call, download, poisoned, upload

torch = pytest.importorskip("torch")


def run(device, x, target, weight, g, logits, **options):
    """Loss, gradient and whether bad targets were told of, for [N, C, inner]."""
    kind = dtypes.from_numpy(x.dtype)
    samples, classes, inner = x.shape
    rows = samples * inner
    args = dict(logits=logits, weighted=weight is not None, **options)
    plan = cross_entropy.plan(device, kind, *x.shape, **args, message="bad")
    item = x.itemsize
    source, targets = upload(device, x), upload(device, target)
    weights = (source if weight is None else upload(device, weight)).buffer
    loss, lse, total = poisoned(device, (rows + 2) * item), poisoned(device, rows * item), poisoned(device, item)
    call(plan, source.buffer, 0, targets.buffer, 0, weights, 0, loss.buffer, 2, lse.buffer, 0, total.buffer, 0)
    bad = False
    try:
        device.synchronize()
    except IndexError as error:
        bad = str(error) == "bad"
    out = poisoned(device, x.nbytes)
    call(cross_entropy.backward_plan(device, kind, *x.shape, **args), upload(device, g).buffer, 0, source.buffer, 0,
         targets.buffer, 0, weights, 0, lse.buffer, 0, total.buffer, 0, out.buffer, 0)
    count = rows if options["reduction"] == "none" else 1
    return download(device, loss, (count,), x.dtype, 2), download(device, out, x.shape, x.dtype), bad


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", [(4, 10, 1), (300, 37, 1), (3, 5, 50), (2, 3, 7), (1000, 3, 1)])
@pytest.mark.parametrize("logits", [True, False])
def test_against_torch(device, shape, reduction, logits):
    generator = np.random.default_rng(0)
    x = generator.standard_normal(shape).astype(np.float32)
    target = generator.integers(0, shape[1], (shape[0], shape[2]))
    target.reshape(-1)[::5] = -100
    for weighted in (False, True):
        for smoothing in (0.0, 0.1) if logits else (0.0,):
            weight = generator.random(shape[1]).astype(np.float32) + 0.5 if weighted else None
            tx = torch.from_numpy(x.copy()).requires_grad_()
            tw = None if weight is None else torch.from_numpy(weight)
            function = torch.nn.functional.cross_entropy if logits else torch.nn.functional.nll_loss
            options = {"label_smoothing": smoothing} if logits else {}
            expected = function(tx, torch.from_numpy(target), tw, reduction=reduction, **options)
            g = torch.randn(expected.shape)
            expected.backward(g)
            loss, grad, bad = run(device, x, target, weight, g.numpy().reshape(-1), logits, reduction=reduction,
                                     smoothing=smoothing)
            assert np.allclose(loss, expected.detach().numpy().reshape(-1), rtol=3e-6, atol=1e-6)
            assert np.allclose(grad, tx.grad.numpy(), rtol=1e-5, atol=1e-6) and not bad


def test_bad_targets_are_reported_and_touch_nothing(device):
    x = np.zeros((4, 3, 1), np.float32)
    target = np.array([[0], [3], [-1], [1 << 40]])
    loss, grad, bad = run(device, x, target, None, np.ones(4, np.float32), True, reduction="none")
    assert bad
    assert np.allclose(loss, [np.log(3), 0, 0, 0]) and not grad[1:].any()


def test_ignored_rows_have_no_gradient_even_if_infinite(device):
    x = np.zeros((2, 20, 1), np.float32)
    x[0] = np.inf
    loss, grad, _ = run(device, x, np.array([[-100], [2]]), None, np.ones(1, np.float32), True, reduction="mean")
    assert np.allclose(loss, np.log(20)) and not grad[0].any() and np.isfinite(grad).all()


def test_float64(device):
    x = np.random.default_rng(1).standard_normal((5, 9, 1))
    loss, grad, _ = run(device, x, np.full((5, 1), 2), None, np.ones(1), True, reduction="mean")
    tx = torch.from_numpy(x).requires_grad_()
    expected = torch.nn.functional.cross_entropy(tx, torch.full((5, 1), 2))
    expected.backward()
    assert np.allclose(loss, expected.item(), rtol=1e-14) and np.allclose(grad, tx.grad.numpy(), rtol=1e-13)
