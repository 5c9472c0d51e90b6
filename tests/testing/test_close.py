"""``assert_close`` against PyTorch's: when it complains, and what it says."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import clgrad
from clgrad.testing.close import default_tolerances
from tests.compare import outcome


def T(*values):
    return lambda t: t.tensor(list(values))


def N(value):
    return lambda t: value


def close(actual, expected, **rules):
    return lambda t: t.testing.assert_close(actual(t), expected(t), **rules)


CASES = [
    close(T(1.0, 2.0), T(1.0, 2.0)),
    close(T(1.0, 2.0), T(1.0, 2.5)),
    close(T(1, 2), T(1, 3)),
    close(T(1.0), T(1)),
    close(T(1.0, 2.0), T(1.0)),
    close(N(1.0), N(2.0)),
    close(N(1), N(2)),
    close(lambda t: t.tensor(1.0), lambda t: t.tensor(2.0)),
    close(T(float("nan")), T(float("nan"))),
    close(T(float("nan")), T(float("nan")), equal_nan=True),
    close(lambda t: [t.ones(2), t.ones(1)], lambda t: [t.ones(2), t.zeros(1)]),
    close(lambda t: {"a": t.ones(1)}, lambda t: {"b": t.ones(1)}),
    close(N([1, 2]), N([1])),
    close(N(None), N(3)),
    close(N(True), N(False)),
    close(N("a"), N("a")),
    close(T(1.0), T(1.0), rtol=0.1),
    close(T(1.0, 2.0), T(1.0, 2.1), rtol=0.1, atol=0),
    close(T(1.0, 3.0), T(1.0, 2.1), rtol=0, atol=0),
    close(T(1.0), T(2.0), msg="hi"),
    close(T(1.0), T(2.0), msg=lambda m: "x " + m),
    close(T(1.0), lambda t: np.ones(1)),
    close(T(1.0), N(1.0)),
    close(N(np.ones(2)), N(np.zeros(2))),
    close(T(1.0), lambda t: t.ones(1, dtype=t.float64)),
    close(T(1.0), lambda t: t.ones(1, dtype=t.float64), check_dtype=False),
    close(N(1), N(1.0)),
    close(N(float("inf")), N(float("inf"))),
    close(lambda t: t.ones(2, 3), lambda t: t.ones(3, 2).t(), check_stride=True),
    close(lambda t: {"a": [t.ones(1), t.ones(2)]}, lambda t: {"a": [t.ones(1), t.zeros(2)]}),
    close(lambda t: t.ones(2, 2), lambda t: t.tensor([[1.0, 1.0], [1.0, 5.0]])),
    close(N(1.0), N(1.0 + 1e-09)),
    close(T(True, False), T(True, True)),
    close(T(1.0), lambda t: t.nn.Parameter(t.ones(1)), allow_subclasses=False),
    close(T(1.0), lambda t: t.nn.Parameter(t.ones(1))),
]


def _message(library, program):
    try:
        program(library)
    except (AssertionError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}".replace("clgrad.tensor.Tensor", "torch.Tensor").replace("clgrad.", "torch.")
    return None


@pytest.mark.parametrize("program", CASES)
def test_complaints_are_pytorchs(program, torch):
    found, expected = _message(clgrad, program), _message(torch, program)
    if expected is None or expected.startswith("ValueError"):
        assert outcome(clgrad, program) == outcome(torch, program)
    else:
        assert found == expected


def test_make_tensor():
    x = clgrad.testing.make_tensor(4, 6, dtype=clgrad.float64, device="cpu", low=2, high=3, noncontiguous=True)
    assert x.shape == (4, 6)
    assert not x.is_contiguous()
    assert bool(((x >= 2) & (x < 3)).all())
    assert clgrad.testing.make_tensor((3,), dtype=clgrad.bool, device="cpu").dtype is clgrad.bool
    assert bool(clgrad.testing.make_tensor(99, dtype=clgrad.int8, device="cpu", exclude_zero=True).all())
    with pytest.raises(ValueError, match="must be less"):
        clgrad.testing.make_tensor(2, dtype=clgrad.float32, device="cpu", low=3, high=2)


@pytest.mark.parametrize("kind", ["bool", "uint8", "int8", "int64", "float16", "bfloat16", "float32", "float64"])
def test_make_tensor_keeps_its_limits(kind, torch):
    for t in (clgrad, torch):
        dtype = getattr(t, kind)
        make = functools.partial(t.testing.make_tensor, dtype=dtype, device="cpu")
        x = make(5000, low=0, high=2)
        assert bool((x >= 0).all()) and bool((x < 2).all())
        assert make((1,), noncontiguous=True).is_contiguous() and not make((2, 2), noncontiguous=True).is_contiguous()
        assert make((2, 3, 4, 5), memory_format=t.channels_last).stride() == (60, 1, 15, 3)
        assert make((2, 3), memory_format=t.preserve_format).is_contiguous()
        for wrong in ({"low": float("nan")}, {"low": 2, "high": 1}, {"low": -4 * 10**400, "high": -2 * 10**400},
                      {"noncontiguous": True, "memory_format": t.contiguous_format}):
            with pytest.raises(ValueError):
                make(2, **wrong)
        if dtype.is_floating_point:
            assert make(2, requires_grad=True).requires_grad
            with pytest.warns(FutureWarning, match="low==high"):
                assert make(3, low=1, high=1).tolist() == [1, 1, 1]
            assert bool(make(99, low=-1e400, high=1e400).isfinite().all())
        else:
            with pytest.raises(ValueError, match="requires_grad=True"):
                make(2, requires_grad=True)
            assert bool(make(3, low=1.5 - (kind == "bool"), high=100).all())


def test_what_has_no_values_is_close():
    clgrad.testing.assert_close(clgrad.empty(2, device="meta"), clgrad.empty(2, device="meta"))
    with pytest.raises(AssertionError):
        clgrad.testing.assert_close(clgrad.empty(2, device="meta"), clgrad.empty(3, device="meta"))


def test_large_integers_are_told_apart(torch):
    for t in (clgrad, torch):
        assert not t.isclose(t.tensor(2**53), t.tensor(2**53 + 1), rtol=0, atol=0)


def test_default_tolerances(torch):
    theirs = torch.testing._comparison.default_tolerances
    for names in (("float32",), ("float16", "float64"), ("int64",), ("bfloat16", "int32")):
        ours, other = ([getattr(t, name) for name in names] for t in (clgrad, torch))
        assert default_tolerances(*ours) == theirs(*other)
    assert default_tolerances(clgrad.ones(1), dtype_precisions={clgrad.float32: (1.0, 2.0)}) == (1.0, 2.0)
