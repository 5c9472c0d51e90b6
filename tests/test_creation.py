"""Making tensors, compared with PyTorch: values, dtypes, shapes, errors."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from tests.compare import assert_same, assert_same_error, assert_same_outcome, values

PROGRAMS = {
    "tensor_float": lambda t: t.tensor([5.5, 3]),
    "tensor_int": lambda t: t.tensor([[1, 2], [3, 4]]),
    "tensor_bool": lambda t: t.tensor([True, False]),
    "tensor_mixed": lambda t: t.tensor([True, 2, 3.5]),
    "tensor_scalar": lambda t: t.tensor(3.14159),
    "tensor_empty": lambda t: t.tensor([]),
    "tensor_empty_rows": lambda t: t.tensor([[], []]),
    "tensor_dtype": lambda t: t.tensor([[1, 2]], dtype=t.float64),
    "tensor_truncates": lambda t: t.tensor([1.7, -1.7], dtype=t.int64),
    "tensor_of_array": lambda t: t.tensor(np.arange(3)),
    "tensor_of_float64_array": lambda t: t.tensor(np.ones(2)),
    "tensor_of_scalar": lambda t: t.tensor(np.float32(2.5)),
    "tensor_of_tensors": lambda t: t.tensor([t.tensor(1.0), t.tensor(2.0)]),
    "tensor_of_tuple": lambda t: t.tensor(((1, 2), (3, 4))),
    "tensor_of_range": lambda t: t.tensor(range(3)),
    "tensor_strided_array": lambda t: t.tensor(np.arange(12.0).reshape(3, 4)[1:, ::2]),
    "tensor_big_int": lambda t: t.tensor([2**62, -2**63]),
    "tensor_nan": lambda t: t.tensor([float("nan"), float("inf"), -float("inf")]),
    "as_tensor": lambda t: t.as_tensor([1, 2], dtype=t.float32),
    "asarray": lambda t: t.asarray([1.0, 2.0]),
    "zeros": lambda t: t.zeros(2, 3),
    "zeros_long": lambda t: t.zeros(5, 3, dtype=t.long),
    "zeros_size": lambda t: t.zeros(size=(2, 2)),
    "zeros_list": lambda t: t.zeros([2, 3]),
    "zeros_empty": lambda t: t.zeros(0, 3),
    "zeros_scalar": lambda t: t.zeros(()),
    "ones": lambda t: t.ones((2, 3), dtype=t.float16),
    "ones_bfloat16": lambda t: t.ones(3, dtype=t.bfloat16),
    "full": lambda t: t.full((2, 2), 7),
    "full_float": lambda t: t.full([2], 2.5),
    "full_bool": lambda t: t.full((2,), True),
    "full_dtype": lambda t: t.full((2,), 3, dtype=t.float64),
    "zeros_like": lambda t: t.zeros_like(t.ones(2, 3, dtype=t.int32)),
    "ones_like_dtype": lambda t: t.ones_like(t.ones(2, 3), dtype=t.uint8),
    "full_like": lambda t: t.full_like(t.ones(2, 3), 4),
    "new_ones": lambda t: t.zeros(1).new_ones(5, 3, dtype=t.double),
    "new_zeros": lambda t: t.zeros(1, dtype=t.int64).new_zeros((2, 2)),
    "new_full": lambda t: t.zeros(1).new_full((2,), 5),
    "new_tensor": lambda t: t.zeros(1, dtype=t.float64).new_tensor([1, 2]),
    "arange": lambda t: t.arange(5),
    "arange_step": lambda t: t.arange(1, 6, 2),
    "arange_float": lambda t: t.arange(0, 1, 0.1),
    "arange_down": lambda t: t.arange(5, 0, -2),
    "arange_dtype": lambda t: t.arange(3, dtype=t.float32),
    "arange_end": lambda t: t.arange(end=3),
    "arange_named": lambda t: t.arange(start=1.0, end=2.5, step=0.5),
    "arange_empty": lambda t: t.arange(0),
    "arange_floats": lambda t: t.arange(1.0, 11.0),
    "linspace": lambda t: t.linspace(1, 10, 3),
    "linspace_many": lambda t: t.linspace(-1, 1, 101),
    "linspace_one": lambda t: t.linspace(3, 10, steps=1),
    "linspace_none": lambda t: t.linspace(3, 10, steps=0),
    "linspace_of_integers": lambda t: t.linspace(0.9, 3.7, 4, dtype=t.int32),
    "logspace_of_integers": lambda t: t.logspace(2, 1.2, 2, dtype=t.int64),
    "linspace_double": lambda t: t.linspace(0, 1, 7, dtype=t.float64),
    "logspace": lambda t: t.logspace(0, 2, 5),
    "eye": lambda t: t.eye(3),
    "eye_not_square": lambda t: t.eye(2, 3, dtype=t.int),
    "eye_of_tensors": lambda t: t.eye(t.tensor(2), t.tensor(3)),
    "eye_tall": lambda t: t.eye(4, 2),
    "scalar_tensor": lambda t: t.scalar_tensor(3),
    "Tensor": lambda t: t.Tensor([[1, 2], [3, 4]]),
    "Tensor_tuple": lambda t: t.Tensor((2, 3)),
    "Tensor_empty": lambda t: t.Tensor(),
    "LongTensor": lambda t: t.LongTensor([1, 2]),
    "DoubleTensor": lambda t: t.DoubleTensor([[1.5]]),
    "ByteTensor": lambda t: t.ByteTensor([1, 0]),
    "HalfTensor": lambda t: t.HalfTensor([0.5]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_values_and_dtypes(name, torch):
    found, expected = PROGRAMS[name](clgrad), PROGRAMS[name](torch)
    assert_same(found, expected, 1e-6, 1e-7)
    assert found.is_contiguous()
    assert not found.requires_grad


@pytest.mark.parametrize("program", [
    lambda t: t.empty(2, 3), lambda t: t.Tensor(2, 3, 4), lambda t: t.FloatTensor(t.Size([2, 3])),
    lambda t: t.empty_like(t.zeros(2, 2, dtype=t.int8)), lambda t: t.empty_strided((2, 3), (1, 2)),
    lambda t: t.IntTensor(3), lambda t: t.zeros(1).new_empty(4, 2)])
def test_uninitialised(program, torch):
    found, expected = program(clgrad), program(torch)
    assert (found.shape, found.stride(), str(found.dtype)) == (tuple(expected.shape), expected.stride(),
                                                               str(expected.dtype))


def test_tensor_copies_its_data():
    data = np.zeros(3)
    t = clgrad.tensor(data)
    data[:] = 1
    assert t.tolist() == [0, 0, 0]
    source = clgrad.zeros(2)
    assert source.new_tensor(source) is not source


def test_as_tensor_shares_where_it_can():
    data = np.zeros(3, np.float32)
    t = clgrad.as_tensor(data)
    data[0] = 5
    assert t.tolist() == [5, 0, 0]
    assert clgrad.as_tensor(t) is t
    assert clgrad.as_tensor(t, dtype=clgrad.float64).dtype is clgrad.float64
    buffer = bytearray(np.arange(4, dtype=np.float32).tobytes())
    assert clgrad.frombuffer(buffer, dtype=clgrad.float32, offset=4).tolist() == [1, 2, 3]


def test_requires_grad_and_out():
    assert clgrad.ones(2, requires_grad=True).requires_grad
    assert clgrad.tensor([1.0], requires_grad=True).is_leaf
    out = clgrad.empty(0)
    assert clgrad.zeros(2, 2, out=out) is out
    assert out.tolist() == [[0, 0], [0, 0]]


def test_a_range_warns_before_it_resizes_out():
    out = clgrad.zeros(5)
    with pytest.warns(UserWarning, match="The out tensor will be resized"):
        assert clgrad.arange(0, 6, 3, out=out) is out
    assert out.tolist() == [0, 3]


def test_an_identity_with_a_gradient_is_a_leaf():
    x = clgrad.eye(2, requires_grad=True)
    (x * 2).sum().backward()
    assert x.is_leaf
    assert values(x.grad).tolist() == [[2, 2], [2, 2]]


def test_default_dtype(torch):
    clgrad.set_default_dtype(clgrad.float64)
    try:
        assert clgrad.tensor(1.0).dtype is clgrad.zeros(1).dtype is clgrad.arange(1.0).dtype is clgrad.float64
        assert (clgrad.tensor([1]) / 2).dtype is clgrad.float64
        assert clgrad.tensor([1]).exp().dtype is clgrad.float64
    finally:
        clgrad.set_default_dtype(clgrad.float32)
    assert clgrad.tensor([1]).exp().dtype is clgrad.float32
    with pytest.raises(TypeError):
        clgrad.set_default_dtype(clgrad.int64)


def test_devices_by_name():
    assert clgrad.zeros(2, device="cpu").device == clgrad.device("cpu")
    assert clgrad.ones(1, device=clgrad.device("cpu", 0)).device.type == "cpu"
    with clgrad.device("cl:0"):
        assert clgrad.zeros(1).device == clgrad.device("cl:0")
    assert clgrad.zeros(1).device == clgrad.device("cpu")


def test_range_includes_its_end_and_warns():
    with pytest.warns(UserWarning, match="deprecated"):
        assert clgrad.range(1, 4).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("program", [
    lambda t: t.zeros(-1),
    lambda t: t.zeros(2.5),
    lambda t: t.zeros("a"),
    lambda t: t.zeros(2, wrong=1),
    lambda t: t.zeros(2, dtype="float32"),
    lambda t: t.tensor([[1], [1, 2]]),
    lambda t: t.tensor("abc"),
    lambda t: t.tensor(["a"]),
    lambda t: t.tensor(np.array([1 + 2j]).astype("U")),
    lambda t: t.arange(0, 5, 0),
    lambda t: t.arange(0, 5, -1),
    lambda t: t.arange(0, float("inf")),
    lambda t: t.eye(-1),
    lambda t: t.linspace(0, 1, -1), lambda t: t.logspace(0, float("nan"), 4, dtype=t.int64),
    lambda t: t.linspace(0, float("inf"), 4, dtype=t.int64), lambda t: t.linspace(0, 1j, 3, dtype=t.float32),
    lambda t: t.logspace(t.tensor(1j), 2, 3, dtype=t.float64), lambda t: t.arange(0, 1j),
    lambda t: t.from_numpy([1, 2]),
    lambda t: t.from_numpy(np.arange(4)[::-1]),
    lambda t: t.from_numpy(np.array(["a"])),
    lambda t: t.arange(3, requires_grad=True),
    lambda t: t.device("gpu9x"),
    lambda t: t.tensor(object()),
])
def test_errors(program, torch):
    assert_same_error(torch, program)


@pytest.mark.parametrize("program", [
    lambda t: t.randint(0, 6, (3,), out=t.empty(3, dtype=t.float32)).dtype.is_floating_point,
    lambda t: list(t.randint(0, 6, (3,), out=t.empty((), dtype=t.int64)).shape),
    lambda t: t.randint(0, 6, (3,), dtype=t.float32, out=t.empty(3, dtype=t.int64)),
    lambda t: t.randint(-2 ** 63, 2 ** 63 - 1, (400,)).min().item() < -2 ** 60,
    lambda t: t.empty(3, dtype=t.bool).random_(0, 3),
    lambda t: t.empty(3, dtype=t.int8).random_(-129, 3),
    lambda t: t.empty(300, dtype=t.int8).random_(-128, None).min().item() < 0,
    lambda t: t.empty(3).uniform_(-3e38, 3e38),
    lambda t: t.randperm(257, out=t.empty(0, dtype=t.uint8)),
    lambda t: list(t.randperm(256, out=t.empty(0, dtype=t.uint8)).shape),
    lambda t: (lambda z: (z.append(z), t.tensor(z)))([0]),
    lambda t: t.tensor((float("nan"), 0, -2 ** 63 - 1), dtype=t.bool),
    lambda t: t.tensor(2 ** 64, dtype=t.float32),
    lambda t: t.tensor([2 ** 64]),
    lambda t: t.tensor([2 ** 64, 1.5]),
    lambda t: t.asarray(t.ones(2, requires_grad=True) * 1).requires_grad,
    lambda t: t.asarray(t.ones(2, requires_grad=True) * 1, requires_grad=False).requires_grad,
    lambda t: t.asarray(np.float64(1), copy=False),
    lambda t: t.frombuffer([1, 2], dtype=t.int8),
    lambda t: list(t.cat([t.empty(0), t.empty(0)], dim=1).shape),
    lambda t: t.cat([t.ones(2, 3, 4, 5).to(memory_format=t.channels_last)] * 2, 1).stride(),
    lambda t: t.cat([t.ones(2, 3, 4, 5).to(memory_format=t.channels_last), t.ones(2, 3, 4, 5)], 1).stride(),
    lambda t: t.ones(2, 3).topk(1, True),
    lambda t: (t.ones(2, 3).softmax(1), t.ones(2, 3).softmax(True)),
])
def test_limits_of_what_is_made(program, torch):
    assert_same_outcome(torch, program)


@pytest.mark.parametrize("kind", ["int16", "int32", "int64", "uint8"])
@pytest.mark.parametrize("limits", [(0., -8.000001, -4.), (.5, 7.9, 2.5), (1.5, 1.6, 2.), (-2.5, 2.5), (0, 1.6, 1),
                                    (0., 8., 4.)])
def test_ranges_of_integers_between_floats(torch, limits, kind):
    if kind == "uint8" and min(limits) < 0:
        limits = tuple(abs(limit) for limit in limits)
    expected, found = (library.arange(*limits, dtype=getattr(library, kind)) if limits[0] <= limits[1] or limits[-1] < 0 else
                       library.zeros(0) for library in (torch, clgrad))
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("program", [lambda t: t.arange(1 << 41), lambda t: t.linspace(0, 1, 1 << 41)])
def test_more_numbers_than_memory_holds(program, torch):
    for t in (clgrad, torch):
        with pytest.raises(RuntimeError):
            program(t)
