"""``repr`` of tensors: the same text as PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad

NAN, INF = float("nan"), float("inf")

TABLE = {
    "whole": lambda t: t.tensor([1.0, 2.0]),
    "scalar": lambda t: t.tensor(3.5),
    "scalar_whole": lambda t: t.tensor(3.0),
    "scalar_int": lambda t: t.tensor(3),
    "scalar_bool": lambda t: t.tensor(True),
    "empty": lambda t: t.tensor([]),
    "empty_shape": lambda t: t.zeros(0, 3),
    "empty_int": lambda t: t.zeros(0, dtype=t.int32),
    "empty_int64": lambda t: t.zeros(0, dtype=t.int64),
    "matrix": lambda t: t.tensor([[1.5, -2.25], [100.125, 0.0]]),
    "integers": lambda t: t.tensor([[1, -20], [300, 4]]),
    "int32": lambda t: t.tensor([1, 2], dtype=t.int32),
    "uint8": lambda t: t.tensor([1, 200], dtype=t.uint8),
    "bools": lambda t: t.tensor([[True, False], [False, False]]),
    "float64": lambda t: t.tensor([1.0, 2.5], dtype=t.float64),
    "float16": lambda t: t.tensor([1.0, 0.1], dtype=t.float16),
    "bfloat16": lambda t: t.tensor([1.0, 0.1], dtype=t.bfloat16),
    "three": lambda t: t.arange(24.0).reshape(2, 3, 4),
    "four": lambda t: t.arange(16).reshape(2, 2, 2, 2),
    "small": lambda t: t.tensor([1e-5, 1.0]),
    "large": lambda t: t.tensor([1e9, 1.0]),
    "large_whole": lambda t: t.tensor([1e8, 1.0]),
    "wide_range": lambda t: t.tensor([0.001, 2000.5]),
    "thousand": lambda t: t.tensor([1000.5, 1.25]),
    "nan": lambda t: t.tensor([NAN, 1.5]),
    "nan_whole": lambda t: t.tensor([NAN, 1.0]),
    "inf": lambda t: t.tensor([INF, -INF, 1.0]),
    "only_nan": lambda t: t.tensor([NAN, NAN]),
    "only_inf": lambda t: t.tensor(-INF),
    "zeros": lambda t: t.zeros(2, 2),
    "negative_zero": lambda t: t.tensor([-0.0, 0.5]),
    "tiny": lambda t: t.tensor([1e-10]),
    "tiny_zero": lambda t: t.tensor([0.0, 1e-10]),
    "long": lambda t: t.arange(100),
    "long_floats": lambda t: t.arange(40.0) / 4,
    "shortened": lambda t: t.arange(2000.0),
    "shortened_matrix": lambda t: t.arange(10000.0).reshape(100, 100),
    "shortened_rows": lambda t: t.arange(1200).reshape(600, 2),
    "shortened_three": lambda t: t.arange(8000).reshape(20, 20, 20),
    "ones_dims": lambda t: t.ones(1, 1, 1),
    "requires_grad": lambda t: t.tensor([1.0], requires_grad=True),
    "grad_fn": lambda t: t.tensor([1.0, 2.0], requires_grad=True) * 2,
    "grad_fn_sum": lambda t: t.tensor([1.0, 2.0], requires_grad=True).sum(),
    "grad_fn_float64": lambda t: t.tensor([1.0], dtype=t.float64, requires_grad=True).exp(),
    "wide_suffix": lambda t: t.arange(14.0, requires_grad=True) * 1.5,
    "transposed": lambda t: t.arange(6.0).reshape(2, 3).t(),
    "expanded": lambda t: t.ones(1).expand(3),
    "one_over_seven": lambda t: t.arange(30.0) / 7,
    "half_tenths": lambda t: t.ones(3, dtype=t.half) * 0.1,
    "large_and_half": lambda t: t.tensor([100000.0, 0.5]),
    "negative_and_tiny": lambda t: t.tensor([-1.5, 2.25e-05]),
    "grad_fn_of_parameter": lambda t: t.nn.Parameter(t.ones(2, 2)).exp(),
    "big_int": lambda t: t.tensor([2**62, -1]),
}


@pytest.mark.parametrize("name", TABLE)
def test_repr_is_that_of_pytorch(name, torch):
    assert repr(TABLE[name](clgrad)) == repr(TABLE[name](torch))
    assert str(TABLE[name](clgrad)) == str(TABLE[name](torch))


def test_parameters_say_so(torch):
    assert repr(clgrad.nn.Parameter(clgrad.ones(2))) == repr(torch.nn.Parameter(torch.ones(2)))


@pytest.mark.parametrize("given", [
    {"precision": 2}, {"threshold": 5}, {"threshold": 5, "edgeitems": 1}, {"linewidth": 30}, {"sci_mode": True},
    {"sci_mode": False}, {"profile": "short"}, {"profile": "full"}, {"precision": 8},
    {"linewidth": 10}])
def test_options(given, torch):
    data = np.random.default_rng(0).normal(size=(8, 5)).astype(np.float32) * 10
    before = clgrad.get_printoptions()
    try:
        for library in (clgrad, torch):
            library.set_printoptions(**given)
        for array in (data, data[0], data.astype(np.int64), data * 1e-6, data > 0, np.array(3.14159265),
                      np.array([NAN, 1, INF]), np.array([1e10, 1.0])):
            assert repr(clgrad.tensor(array)) == repr(torch.tensor(array))
    finally:
        for library in (clgrad, torch):
            library.set_printoptions(profile="default")
    assert clgrad.get_printoptions() == before


def test_random_values_of_all_sizes(torch):
    draws = np.random.default_rng(1)
    for exponent in range(-8, 10):
        for shape in [(3,), (2, 3)]:
            data = draws.normal(size=shape) * 10.0 ** exponent
            assert repr(clgrad.tensor(data)) == repr(torch.tensor(data))


def test_format(torch):
    for library in (clgrad, torch):
        assert f"{library.tensor(3.14159):.3f}" == "3.142"
        assert "%d %5s %.3f" % (  # noqa: UP031  (the old form is what is tested)
            library.tensor(3), library.tensor(2).item(), library.tensor(0.5)) == "3     2 0.500"
        assert f"{library.tensor([1.0])}" == "tensor([1.])"
        assert f"{library.tensor(2)}" == "2"


def test_a_tensor_without_data_is_formatted_as_it_is_printed():
    x = clgrad.empty((), device="meta")
    assert f"{x}" == repr(x)
