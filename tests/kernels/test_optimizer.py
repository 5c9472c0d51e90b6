import numpy as np
import pytest

from clgrad import dtypes
from clgrad.kernels import optimizer

from .buffers import download, upload

torch = pytest.importorskip("torch")
SIZES = {"lenet": [450, 6, 2400, 16, 48000, 120, 10080, 84, 840, 10], "many": [5, 4097, 1] * 7 + [9]}


def run(device, sizes, reference, plan, states, scalars):
    """Three steps of ours against three of ``reference``, a function that makes torch's optimizer."""
    generator = np.random.default_rng(0)
    values = [generator.standard_normal(n).astype(np.float32) for n in sizes]
    expected = [torch.from_numpy(v.copy()).requires_grad_() for v in values]
    theirs = reference(expected)
    parameters = [upload(device, v) for v in values]
    state = [tuple(upload(device, np.zeros(n, np.float32)) for _ in range(states)) for n in sizes]
    for step in range(1, 4):
        gradients = [generator.standard_normal(n).astype(np.float32) for n in sizes]
        for parameter, gradient in zip(expected, gradients, strict=True):
            parameter.grad = torch.from_numpy(gradient)
        theirs.step()
        blocks = [upload(device, g) for g in gradients]
        plan([p.buffer for p in parameters], [b.buffer for b in blocks], [tuple(s.buffer for s in t) for t in state],
             scalars(step))
    for parameter, want in zip(parameters, expected, strict=True):
        assert np.allclose(download(device, parameter, want.shape, np.float32), want.detach().numpy(), rtol=1e-5,
                           atol=1e-6)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize(("momentum", "dampening", "nesterov", "maximize"),
                         [(0, 0, False, False), (0.9, 0.1, False, True), (0.9, 0, True, False)])
def test_sgd(device, sizes, momentum, dampening, nesterov, maximize):
    zeros = [0] * len(sizes)
    plan = optimizer.sgd_plan(device, dtypes.float32, sizes, zeros, zeros, momentum=momentum > 0, nesterov=nesterov)
    assert len(plan.bounds) == -(-len(sizes) // 16)
    run(device, sizes,
        lambda p: torch.optim.SGD(p, 0.1, momentum, dampening, 0.01, nesterov, maximize=maximize), plan,
        int(momentum > 0), lambda t: (0.1, 0.01, -1.0 if maximize else 1.0, momentum, 1 - dampening, int(t == 1)))


@pytest.mark.parametrize(("amsgrad", "decoupled"), [(False, False), (True, False), (False, True)])
def test_adam(device, amsgrad, decoupled):
    sizes = SIZES["lenet"]
    zeros = [0] * len(sizes)
    plan = optimizer.adam_plan(device, dtypes.float32, sizes, zeros, zeros, amsgrad=amsgrad, decoupled=decoupled)
    assert len(plan.bounds) == 1
    reference = torch.optim.AdamW if decoupled else torch.optim.Adam
    run(device, sizes, lambda p: reference(p, 0.01, (0.9, 0.99), 1e-8, 0.1, amsgrad), plan, 3 if amsgrad else 2,
        lambda t: (0.01, 0.1, 1.0, 0.9, 0.99, 1e-8, 0.01 / (1 - 0.9**t), 1 / np.sqrt(1 - 0.99**t)))


def test_offsets(device):
    values = upload(device, np.arange(10, dtype=np.float32))
    gradient = upload(device, np.ones(9, np.float32))
    plan = optimizer.sgd_plan(device, dtypes.float32, [3], [4], [2], momentum=False, nesterov=False)
    plan([values.buffer], [gradient.buffer], [()], (0.5, 0.0, 1.0, 0.0, 1.0, 0))
    assert np.array_equal(download(device, values, (10,), np.float32), [0, 1, 2, 3, 3.5, 4.5, 5.5, 7, 8, 9])
