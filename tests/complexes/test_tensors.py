"""What complex tensors are: dtypes, memory, conversions, text, files, and training with complex parameters."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest

import clgrad
from clgrad.autograd import gradcheck, gradgradcheck
from clgrad.errors import warn_once
from tests.compare import assert_same

KINDS = ["bool", "uint8", "int64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128"]


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", ["complex64", "complex128"])
def test_promotion(torch, first, second):
    def kinds(t):
        a, b = getattr(t, first), getattr(t, second)
        x, y = t.ones(2, dtype=a), t.ones(2, dtype=b)
        found = [t.promote_types(a, b), (x * y).dtype, (x[0] * y).dtype, t.can_cast(a, b), t.can_cast(b, a)]
        if first != "float16":  # then it would be complex32
            found += [(x * 1j).dtype, t.result_type(x, 1j), (x * y[0]).dtype]
        return [str(kind) for kind in found]
    assert kinds(clgrad) == kinds(torch)


def test_default_dtype(torch):
    for t in (clgrad, torch):
        t.set_default_dtype(t.float64)
    try:
        assert str(clgrad.tensor(1j).dtype) == str(torch.tensor(1j).dtype)
    finally:
        for t in (clgrad, torch):
            t.set_default_dtype(t.float32)


@pytest.mark.parametrize("program", [
    lambda t: t.zeros(2, 2, dtype=t.cfloat), lambda t: t.ones(3, dtype=t.cdouble), lambda t: t.full((2,), 1 - 2j),
    lambda t: t.tensor([[1, 2j], [0.5, 3]]), lambda t: t.tensor(2 + 1j), lambda t: t.eye(2, dtype=t.complex64),
    lambda t: t.linspace(0, 1j, 4), lambda t: t.arange(3).to(t.complex128), lambda t: t.tensor([1j]).to(t.complex128),
    lambda t: t.tensor([1 + 1j]).new_zeros(3),
    lambda t: t.zeros_like(t.tensor([1j])), lambda t: t.full_like(t.tensor([1j]), 3j), lambda t: t.tensor([1.5]).cfloat(),
    lambda t: t.tensor([2j, 0]).bool(), lambda t: t.tensor([1j]).fill_(2 - 1j), lambda t: t.tensor([1j, 2]).zero_(),
    lambda t: t.tensor([1j, 0, 2]).nonzero(), lambda t: t.tensor([1j, 0]).any(), lambda t: t.tensor([1j, 0]).count_nonzero(),
    lambda t: t.allclose(t.tensor([1j]), t.tensor([1j + 1e-9])), lambda t: t.equal(t.tensor([1j]), t.tensor([1j])),
    lambda t: t.tensor([1j, 2]).eq(t.tensor([1j, 3])), lambda t: t.empty(0, dtype=t.complex64).sum(),
    lambda t: t.tensor([1 + 2j]).item(), lambda t: t.tensor([[1 + 2j]]).tolist(), lambda t: complex(t.tensor(1 + 2j)),
    lambda t: t.tensor([1j]).is_complex(),
    lambda t: t.is_complex(t.ones(1)), lambda t: str(t.complex64.to_real()),
    lambda t: str(t.float64.to_complex()), lambda t: t.complex128.itemsize, lambda t: t.finfo(t.complex64).bits,
    lambda t: t.tensor([1j]).type(), lambda t: t.tensor([3 + 4j]).abs(),
])
def test_making_and_reading(torch, program):
    assert_same(program(clgrad), program(torch))


@pytest.mark.parametrize("values", [[1 + 2j], [1.5 - 0.25j, -3 + 1e-3j], [], 2j, [[1j, 2], [3, -4j]],
                                    [complex(np.nan, np.inf)], list(np.arange(2000) * 1j), [1e10j, 1]])
def test_text(torch, values):
    assert repr(clgrad.tensor(values, dtype=clgrad.complex64)) == repr(torch.tensor(values, dtype=torch.complex64))
    assert repr(clgrad.tensor(values, dtype=clgrad.complex128)) == repr(torch.tensor(values, dtype=torch.complex128))


@pytest.mark.parametrize("size", [3, 1000, 70000])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_fills_of_all_sizes(size, dtype):
    for value in (0, 1, 2.5 - 3j):
        made = clgrad.full((size,), value, dtype=getattr(clgrad, dtype))
        made[1:2].mul_(2)
        expected = np.full(size, value, dtype)
        expected[1] *= 2
        np.testing.assert_array_equal(made.numpy(), expected)


def test_parts_share_memory():
    z = clgrad.tensor([1 + 2j, 3 + 4j])
    z.real[0] = 5
    z.imag = clgrad.tensor([6.0, 7.0])
    clgrad.view_as_real(z)[1, 0] = 8
    assert z.tolist() == [5 + 6j, 8 + 7j]
    assert z.real.data_ptr() == z.data_ptr() and z.imag.stride() == (2,) and z.imag.storage_offset() == 1
    pairs = clgrad.zeros(3, 2)
    clgrad.view_as_complex(pairs)[1] = 1 + 2j
    assert pairs.tolist() == [[0, 0], [1, 2], [0, 0]]
    array = np.array([1j, 2])
    clgrad.from_numpy(array).mul_(2)
    assert array.tolist() == [2j, 4] and clgrad.tensor(array).numpy().dtype == np.complex128


def test_imaginary_parts_are_lost_with_a_warning():
    z = clgrad.tensor([1 + 2j])
    for program in (lambda: z.float(), lambda: clgrad.zeros(1).copy_(z)):
        warn_once.cache_clear()
        with pytest.warns(UserWarning, match="discards the imaginary part"):
            assert program().tolist() == [1]


def test_files_and_copies(torch, tmp_path):
    z = clgrad.tensor([[1 + 2j, 3]], dtype=clgrad.complex128)
    for again in (copy.deepcopy(z), pickle.loads(pickle.dumps(z))):
        assert again.dtype is clgrad.complex128 and again.tolist() == z.tolist()
    memory = io.BytesIO()
    clgrad.save({"z": z, "p": clgrad.nn.Parameter(z.to(clgrad.complex64))}, memory)
    memory.seek(0)
    theirs = torch.load(memory)
    assert theirs["z"].dtype is torch.complex128 and theirs["z"].tolist() == z.tolist() and theirs["p"].requires_grad
    path = tmp_path / "z.pt"
    torch.save(torch.tensor([1j, 2]), path)
    assert clgrad.load(path).tolist() == [1j, 2]
    clgrad.safetensors.save_file({"z": z.to(clgrad.complex64)}, tmp_path / "z.safetensors")
    assert clgrad.safetensors.load_file(tmp_path / "z.safetensors")["z"].tolist() == z.tolist()


def test_random_numbers():
    clgrad.manual_seed(0)
    z = clgrad.randn(20000, dtype=clgrad.complex64)
    assert abs(z.mean().item()) < 0.03 and abs(z.abs().square().mean().item() - 1) < 0.03
    assert abs(z.real.var().item() - 0.5) < 0.02 and abs((z.real * z.imag).mean().item()) < 0.02
    u = clgrad.rand(1000, dtype=clgrad.complex128)
    assert u.real.min() >= 0 and u.imag.max() < 1


OPTIMIZERS = {"Adagrad": {"initial_accumulator_value": 0.1}, **dict.fromkeys(
    ("SGD", "Adam", "AdamW", "RMSprop", "Adadelta", "NAdam", "RAdam", "Adamax", "Rprop", "ASGD"), {})}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_complex_parameters(torch, optimizer):
    rng = np.random.default_rng(0)
    w = (rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2))).astype(np.complex64)
    x = (rng.normal(size=(5, 3)) + 1j * rng.normal(size=(5, 3))).astype(np.complex64)
    found = []
    for t in (clgrad, torch):
        model = t.nn.Module()
        model.weight, model.bias = t.nn.Parameter(t.tensor(w)), t.nn.Parameter(t.zeros(2))
        steps = getattr(t.optim, optimizer)(model.parameters(), lr=0.05, **OPTIMIZERS[optimizer])
        for _ in range(4):
            steps.zero_grad()
            loss = ((t.tensor(x) @ model.weight + model.bias).abs() - 1).square().mean()
            loss.backward()
            t.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            steps.step()
        found.append([loss.detach(), model.weight.detach(), model.bias.detach(), model.weight.grad])
    assert_same(found[0], found[1], 1e-4, 1e-5)


def test_gradients_pass_between_real_and_complex():
    x = clgrad.tensor([1.0, 2.0], requires_grad=True)
    z = clgrad.tensor([1 + 2j, 3j], requires_grad=True)
    (x * z).abs().sum().backward()
    assert x.grad.dtype is clgrad.float32 and z.grad.dtype is clgrad.complex64
    np.testing.assert_allclose(x.grad.numpy(), np.abs([1 + 2j, 3j]), 1e-6)
    np.testing.assert_allclose(z.grad.numpy(), np.array([1, 2]) * np.array([1 + 2j, 3j]) / np.abs([1 + 2j, 3j]), 1e-6)


def test_vmap(torch):
    rng = np.random.default_rng(1)
    a = rng.normal(size=(4, 3, 3)) + 1j * rng.normal(size=(4, 3, 3))
    for function in (lambda t: lambda x: (x @ x.conj()).sum(), lambda t: lambda x: x.abs().sum(0) + x.real[0]):
        found, expected = (t.func.vmap(function(t))(t.tensor(a)) for t in (clgrad, torch))
        assert_same(found, expected.resolve_conj(), 1e-10, 1e-10)


def test_gradcheck():
    rng = np.random.default_rng(2)
    z = clgrad.tensor(rng.normal(size=3) + 1j * rng.normal(size=3), requires_grad=True)
    x = clgrad.tensor(rng.normal(size=3), requires_grad=True)
    for function in (lambda z, x: z * z.conj() + z.exp() * x, lambda z, x: (z.abs() + x, z.angle()),
                     lambda z, x: (x * 1j).exp()):
        assert gradcheck(function, (z, x))
        assert gradgradcheck(function, (z, x))
        assert gradcheck(function, (z, x), check_forward_ad=True)
    wrong = _Wrong.apply
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        gradcheck(wrong, (z,))


class _Wrong(clgrad.autograd.Function):
    """A square whose gradient forgets the conjugate."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z * z

    @staticmethod
    def backward(ctx, g):
        (z,) = ctx.saved_tensors
        return 2 * z * g


@pytest.mark.parametrize("other", [[1j, 2], [1j, 2.1], [1j, complex(2, 1e-9)], [1j, complex(np.nan, 0)]])
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_assert_close(torch, other, dtype):
    def verdict(t):
        try:
            t.testing.assert_close(t.tensor([1j, 2], dtype=getattr(t, dtype)), t.tensor(other, dtype=getattr(t, dtype)))
        except AssertionError as error:
            return str(error).split("\n")[:3]
        return "close"
    assert verdict(clgrad) == verdict(torch)


def _base_first(t, a):
    c = a.clone()
    part = t.view_as_real(c)[..., 0]
    c *= 2
    return part


def _pairs_first(t, a):
    r = t.view_as_real(a).clone()
    z = t.view_as_complex(r)
    r *= 2
    return z


VIEWS_CHANGED = {
    "a real part": lambda t, a: a.clone().real.mul_(2),
    "an imaginary part": lambda t, a: a.clone().imag[1:].add_(a.real[1:]),
    "pairs, turned": lambda t, a: t.view_as_real(a.clone()).transpose(0, 1).mul_(3),
    "pairs, in part": lambda t, a: t.view_as_real(a.clone()).view(9, 2)[2:5].add_(1),
    "complex numbers over pairs": lambda t, a: t.view_as_complex(t.view_as_real(a).clone()).mul_(2j),
    "the numbers below a part": _base_first,
    "the pairs below the numbers": _pairs_first,
}


@pytest.mark.parametrize("label", VIEWS_CHANGED)
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_through_views_of_another_dtype_that_change_in_place(torch, label, create_graph):
    values = np.random.default_rng(2).normal(size=(3, 3)) + 1j * np.random.default_rng(3).normal(size=(3, 3))
    found = []
    for t in (clgrad, torch):
        a = t.tensor(values, requires_grad=True)
        made = VIEWS_CHANGED[label](t, a)
        found.append([made.detach(), *t.autograd.grad(made.abs().pow(3).sum(), a, create_graph=create_graph)])
        if create_graph:
            found[-1] += t.autograd.grad(found[-1][1].abs().pow(2).sum(), a)
            found[-1][1] = found[-1][1].detach()
    assert_same(found[0], found[1], 1e-10, 1e-10)
