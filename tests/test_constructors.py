"""Making and converting tensors, and what they are to Python and NumPy: the same short programs in both libraries."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from tests.compare import assert_same_outcome

PYTHON = [
    lambda t: t.ones(2).to(float).dtype,
    lambda t: float(t.ones(3)),
    lambda t: t.ones(3).item(),
    lambda t: complex(t.ones(1)),
    lambda t: "a" in t.ones(3),
    lambda t: 1.0 in t.ones(3),
    lambda t: list(reversed(t.arange(3))),
    lambda t: t.tensor(1)[0],
    lambda t: len(t.tensor(1)),
    lambda t: iter(t.tensor(1)),
    lambda t: bool(t.ones(2)),
    lambda t: bool(t.ones(0)),
    lambda t: [1, 2, 3][t.tensor(1.5)],
    lambda t: [1, 2, 3][t.tensor(1)],
    lambda t: [1, 2, 3][t.tensor([1])],
    lambda t: int(t.tensor(2.7)),
    lambda t: int(t.ones(2)),
    lambda t: range(3)[t.tensor([1, 2])],
    lambda t: "%d %.2f %s" % (t.tensor(3), t.tensor(2.5), t.tensor(1)),  # noqa: UP031
    lambda t: f"{t.tensor(2.5):.3f} {t.tensor(3)}",
    lambda t: f"{t.ones(2):.3f}",
    lambda t: f"{t.ones(2)}",
    lambda t: round(t.tensor(2.567), 1),
    lambda t: 2 ** t.tensor([1.0, 2.0]),
    lambda t: t.tensor(True).__index__(),
    lambda t: t.ones(2) == None,  # noqa: E711
    lambda t: t.ones(2) == "a",
    lambda t: t.ones(2) != None,  # noqa: E711
    lambda t: t.ones(2) + "a",
    lambda t: t.ones(2) + None,
    lambda t: t.ones(2) < None,
    lambda t: [1, 2] + t.ones(2),
    lambda t: t.ones(2) + [1, 2],
    lambda t: 5 // t.tensor([2, 3]),
    lambda t: 5 % t.tensor([2, 3]),
    lambda t: 1 << t.tensor([2, 3]),
    lambda t: True & t.tensor([True, False]),
    lambda t: -t.tensor([True]),
    lambda t: ~t.tensor([1.0]),
    lambda t: +t.tensor([1.0]),
    lambda t: abs(t.tensor([-1.0])),
    lambda t: divmod(t.tensor([5]), 2),
    lambda t: t.ones(2, 2) @ np.ones((2, 2), dtype=np.float32),
    lambda t: 3 @ t.ones(2),
    lambda t: t.ones(2).__rsub__(3),
    lambda t: t.ones(2) ** 2.0,
    lambda t: (-2) ** t.tensor([2.0, 3.0]),
    lambda t: 1 / t.tensor([0]),
    lambda t: t.tensor([4]) / 2,
    lambda t: t.tensor([5, -5]) // 2,
    lambda t: t.tensor([5.0, -5.0]) % 3,
]
NUMPY = [
    lambda t: np.add(t.ones(3), 1),
    lambda t: np.isnan(t.ones(3)),
    lambda t: np.array(t.ones(3)),
    lambda t: np.asarray(t.ones(2), dtype=np.int32),
    lambda t: np.sin(t.ones(())),
    lambda t: t.ones(3) * np.ones(3),
    lambda t: np.float64(2) * t.ones(3),
    lambda t: t.ones(3) * np.float64(2),
    lambda t: t.ones(3) + np.float32(2),
    lambda t: t.from_numpy(np.ones(3)[::-1]),
    lambda t: t.from_numpy([1]),
    lambda t: t.from_numpy(np.array(["a"])),
    lambda t: t.from_numpy(np.ones(3, dtype=">f4")),
]
CONVERSION = [
    lambda t: t.ones(2).to("nope"),
    lambda t: t.ones(2).to(t.float64, copy=True),
    lambda t: t.ones(2).to("cpu", t.int32),
    lambda t: t.ones(2).to(t.ones(1, dtype=t.int64)),
    lambda t: t.ones(2).to(device="cpu", dtype=t.half, non_blocking=True),
    lambda t: t.ones(2).to(),
    lambda t: t.ones(2).to(foo=1),
    lambda t: t.ones(1, 2, 2, 2).to(memory_format=t.channels_last).stride(),
    lambda t: (lambda x: x.to(x.dtype) is x)(t.ones(2)),
    lambda t: t.ones(2).type("x"),
    lambda t: t.ones(2).type(t.float64).type(),
    lambda t: t.ones(2).type("torch.IntTensor"),
    lambda t: t.ones(2).type(t.LongTensor),
    lambda t: t.ones(2).type_as(t.ones(1, dtype=t.int8)),
    lambda t: t.ones(2).type(t.FloatTensor).type(),
]
CONSTANTS = [
    lambda t: t.zeros(2, dtype=float),
    lambda t: t.zeros(-1),
    lambda t: t.zeros("a"),
    lambda t: t.zeros(2, foo=1),
    lambda t: t.zeros((2, 3)),
    lambda t: t.zeros(t.Size([2])),
    lambda t: t.zeros(2, out=t.ones(2), dtype=t.int),
    lambda t: t.zeros(2, 3, out=t.ones(2, 3)),
    lambda t: t.zeros(2, layout=t.sparse_coo, out=t.ones(2)),
    lambda t: t.empty(2, layout=t.sparse_coo, out=t.ones(2)),
    lambda t: t.zeros(2, layout=t.strided, out=t.ones(2)),
    lambda t: t.randint(6, (3,), dtype=t.bool),
    lambda t: t.randint(0, 2, (3,), dtype=t.bool).dtype,
    lambda t: t.randint(6, (3,), dtype=t.complex64),
    lambda t: t.zeros(t.tensor(2)),
    lambda t: t.zeros(2.5),
    lambda t: t.zeros([2, t.tensor(3)]),
    lambda t: t.zeros(np.int64(2)),
    lambda t: t.zeros(()),
    lambda t: t.zeros(2, layout=t.strided, pin_memory=False),
    lambda t: t.zeros(size=(1, 2)),
    lambda t: t.zeros(),
    lambda t: t.full((2,)),
    lambda t: t.full((2, 2), True),
    lambda t: t.full((2, 2), 1.5, dtype=t.int),
    lambda t: t.full((2,), 300, dtype=t.uint8),
    lambda t: t.full((2,), float("inf"), dtype=t.int64),
    lambda t: t.full(2, 1),
    lambda t: t.full((2,), t.tensor(3)),
    lambda t: t.full((2,), t.tensor(3.0)),
    lambda t: t.full((2,), 1, requires_grad=True),
    lambda t: t.full((2,), 1.0, requires_grad=True),
    lambda t: t.eye(-1),
    lambda t: t.eye(2, -1),
    lambda t: t.eye(2, 3, dtype=t.int),
    lambda t: t.eye(0),
    lambda t: t.eye(2, out=t.ones(1)),
    lambda t: t.scalar_tensor(3),
    lambda t: t.scalar_tensor(True).dtype,
]
DATA = [
    lambda t: t.tensor([1e-323, 1e-324, 0j, 1e-323j, 1e-324j, 1 + 2j, -1j], dtype=t.bool),
    lambda t: t.tensor("a"),
    lambda t: t.tensor([[1], [1, 2]]),
    lambda t: t.tensor([1, "a"]),
    lambda t: t.tensor(None),
    lambda t: t.tensor([[1, 2], 3]),
    lambda t: t.tensor(2**63),
    lambda t: t.tensor(300, dtype=t.uint8),
    lambda t: t.tensor(-1, dtype=t.uint8),
    lambda t: t.tensor([]),
    lambda t: t.tensor([np.float32(1), np.float32(2)]),
    lambda t: t.tensor([np.ones(2), np.ones(2)]),
    lambda t: t.tensor([t.tensor(1.0, dtype=t.float64)]),
    lambda t: t.tensor([t.ones(2)]),
    lambda t: t.tensor(t.ones(2), dtype=t.int),
    lambda t: t.tensor({1: 2}),
    lambda t: t.tensor([np.int32(1)]),
    lambda t: t.tensor(np.float32(3)),
    lambda t: t.tensor([True, 1]),
    lambda t: t.tensor([1, 2.5]),
    lambda t: t.tensor(True),
    lambda t: t.tensor(1.5, dtype=t.bool),
    lambda t: t.tensor(float("nan")).isnan(),
    lambda t: t.tensor([1.7, -1.7], dtype=t.long),
    lambda t: t.tensor(range(3)),
    lambda t: t.tensor((1, 2)),
    lambda t: t.tensor([[], []]),
    lambda t: t.frombuffer(bytearray(b"abcd"), dtype=t.int32, offset=1),
    lambda t: t.frombuffer(bytearray(b""), dtype=t.int32),
    lambda t: t.frombuffer(bytearray(b"abcd"), dtype=t.int32, offset=4),
    lambda t: t.frombuffer(bytearray(b"abcd"), dtype=t.int32, count=2),
    lambda t: t.frombuffer(bytearray(b"abcdefgh"), dtype=t.int16, count=2, offset=2),
    lambda t: t.frombuffer(bytearray(b"abcd"), dtype=t.bool),
    lambda t: t.asarray([1, 2], copy=False),
    lambda t: t.asarray(np.ones(3), dtype=t.float32),
    lambda t: t.asarray(t.ones(2, requires_grad=True)),
    lambda t: t.asarray(np.ones(3), copy=False, dtype=t.int),
    lambda t: t.asarray(3.0),
    lambda t: t.as_tensor([np.float32(1)]),
    lambda t: t.asarray(t.ones(2), requires_grad=True),
    lambda t: t.asarray(bytearray(b"ab"), dtype=t.uint8),
    lambda t: t.as_tensor(np.ones(2), dtype=t.int32),
    lambda t: t.as_tensor(np.float32(2.0)),
]
RANGES = [
    lambda t: t.arange(3, requires_grad=True),
    lambda t: t.arange(0, float("inf")),
    lambda t: t.arange(0, 5, 0),
    lambda t: t.arange(5, 0),
    lambda t: t.arange(),
    lambda t: t.arange(0, 1, 0.1),
    lambda t: t.arange(t.tensor(3)),
    lambda t: t.arange(3, out=t.ones(1)),
    lambda t: t.arange(0, 3, dtype=t.int8),
    lambda t: t.arange(True),
    lambda t: t.arange(1.0, 3),
    lambda t: t.arange(start=1, end=3),
    lambda t: t.arange(0, -3, -1),
    lambda t: t.arange(2, 2),
    lambda t: t.arange(1, 2, 0.3, dtype=t.float64),
    lambda t: t.arange(t.tensor(0.5), t.tensor(2.0)),
    lambda t: t.arange(3, dtype=t.bool),
    lambda t: t.arange(0, 7, 2),
    lambda t: t.arange(np.float32(3)),
    lambda t: t.linspace(0, 1, -1),
    lambda t: t.linspace(0, 10, 5, dtype=t.int64),
    lambda t: t.logspace(0, 3, 4, dtype=t.int64),
    lambda t: t.linspace(t.tensor(0.0), t.tensor(1.0), 3),
    lambda t: t.linspace(start=0, end=1, steps=3),
    lambda t: t.linspace(0, 1),
    lambda t: t.linspace(1, 2, 1),
    lambda t: t.linspace(1, 2, 0),
    lambda t: t.logspace(0, 2, 3, base=2),
    lambda t: t.linspace(t.ones(2), 1, 3),
    lambda t: t.linspace(0, 1, 3, out=t.ones(1)),
    lambda t: t.logspace(0, 1, 3, 2.0),
    lambda t: t.range(0, 3, 1),
    lambda t: t.range(3, 0),
    lambda t: t.range(0, 1, 0.25),
]
WINDOWS = [
    lambda t: t.hann_window(0),
    lambda t: t.hann_window(1),
    lambda t: t.hann_window(-1),
    lambda t: t.hann_window(3, dtype=t.int),
    lambda t: t.kaiser_window(5, False, 8.0),
    lambda t: t.signal.windows.hann(5, sym=False),
    lambda t: t.hamming_window(5),
    lambda t: t.hamming_window(5, False, alpha=0.5, beta=0.4),
    lambda t: t.blackman_window(6),
    lambda t: t.bartlett_window(7),
    lambda t: t.signal.windows.gaussian(5, std=0.5),
    lambda t: t.signal.windows.gaussian(5, std=-1),
    lambda t: t.signal.windows.exponential(5, center=1, sym=True),
    lambda t: t.signal.windows.exponential(5, center=1, sym=False),
    lambda t: t.bartlett_window(4, requires_grad=True),
    lambda t: t.signal.windows.general_cosine(4, a=[]),
    lambda t: t.signal.windows.cosine(5, sym=False),
    lambda t: t.signal.windows.nuttall(6),
    lambda t: t.signal.windows.bartlett(t.tensor(1.0)),
    lambda t: t.signal.windows.kaiser(t.tensor(0.0)),
    lambda t: t.signal.windows.hann(t.tensor(3)),
]
LIKE = [
    lambda t: tuple(t.ones(2).new(3, 4).shape),
    lambda t: t.ones(2).new([1, 2]),
    lambda t: t.ones(2).new(),
    lambda t: t.ones(2, dtype=t.int64).new([1.5]),
    lambda t: t.ones(2).new_tensor([1, 2], dtype=t.int),
    lambda t: t.ones(2).new_full((2,), 3),
    lambda t: t.ones(2, dtype=t.int).new_full((2,), 3.5),
    lambda t: t.ones(2).new_zeros(2, 3, dtype=t.int),
    lambda t: t.ones(2).new_empty((2, 3), requires_grad=True).requires_grad,
    lambda t: t.ones(2).new_ones(2, 3),
    lambda t: t.ones(2).new_empty_strided((2, 3), (1, 2)).stride(),
    lambda t: t.ones(2).new_tensor(t.ones(2, dtype=t.int)),
    lambda t: t.empty_permuted((2, 3, 4), (0, 2, 1)).stride(),
    lambda t: t.empty_permuted((2, 3, 4), (0, 2, 2)),
    lambda t: t.empty_permuted((2, 3, 4), (0, 2)),
    lambda t: t.empty_strided((2, 3), (1,)),
    lambda t: t.empty_strided((2, 3), (1, 2)).stride(),
    lambda t: t.zeros_like(t.ones(2, 3).t()).stride(),
    lambda t: t.zeros_like(t.ones(2, 3).expand(4, 2, 3)).stride(),
    lambda t: t.zeros_like(t.ones(2, 6)[:, ::2]).stride(),
    lambda t: t.zeros_like(t.ones(2, 3).t(), memory_format=t.contiguous_format).stride(),
    lambda t: t.ones_like(t.ones(1, 2, 2, 2), memory_format=t.channels_last).stride(),
    lambda t: t.full_like(t.ones(2, dtype=t.int), 2.5),
    lambda t: t.empty_like(t.ones(2), dtype=t.int).dtype,
    lambda t: t.zeros_like([1, 2]),
    lambda t: t.ones_like(t.ones(2), requires_grad=True),
    lambda t: t.zeros_like(t.ones(2, requires_grad=True)),
    lambda t: t.full_like(t.ones(2), 3, dtype=t.long),
]
OLD = [
    lambda t: tuple(t.Tensor(2, 3).shape),
    lambda t: tuple(t.Tensor(t.Size([2, 3])).shape),
    lambda t: t.Tensor((2, 3)),
    lambda t: t.Tensor(2.5),
    lambda t: t.Tensor(t.ones(2, dtype=t.int)),
    lambda t: t.IntTensor([1.5, 2]),
    lambda t: t.Tensor(np.ones(2)),
    lambda t: t.Tensor("a"),
    lambda t: t.Tensor([1, 2], device="cpu"),
    lambda t: t.Tensor(),
    lambda t: t.Tensor([[1, 2], [3, 4]]),
    lambda t: t.LongTensor(2, 2).shape == (2, 2),
    lambda t: t.FloatTensor(t.FloatStorage([1, 2, 3])),
    lambda t: t.Tensor(True),
    lambda t: t.Tensor([True, 2]),
    lambda t: t.BoolTensor([0, 2]),
    lambda t: t.Tensor(3, "a"),
    lambda t: isinstance(t.ones(2), t.FloatTensor),
    lambda t: isinstance(t.ones(2), t.LongTensor),
    lambda t: t.ByteTensor(3).dtype,
    lambda t: t.Tensor(t.ones(2).storage()),
    lambda t: t.FloatTensor((2.0, 3.0), device="cpu"),
    lambda t: t.FloatTensor((2.0, 3.0), device="cuda"),
    lambda t: t.LongTensor(size=(2, 3)).shape == (2, 3),
    lambda t: t.ones(2).new(size=(3, 4)).shape == (3, 4),
]


@pytest.mark.parametrize("program", PYTHON)
def test_python(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", NUMPY)
def test_numpy(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", CONVERSION)
def test_conversion(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", CONSTANTS)
def test_constants(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", DATA)
def test_data(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", RANGES)
def test_ranges(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", WINDOWS)
def test_windows(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", LIKE)
def test_like(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("program", OLD)
def test_old(program, torch):
    assert_same_outcome(torch, program)


def test_a_subclass_of_a_tensor_is_a_view_of_it(torch):
    for t in (clgrad, torch):
        class Own(t.Tensor):
            pass
        for requires_grad in (False, True):
            base = t.ones(2, requires_grad=requires_grad)
            made = Own(base)
            assert made._is_view() and made._base is base and type(made) is Own and made.requires_grad == requires_grad
