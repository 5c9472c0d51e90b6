"""``assert_close`` against PyTorch's: when it complains, and what it says."""

from __future__ import annotations

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


def test_default_tolerances(torch):
    theirs = torch.testing._comparison.default_tolerances
    for names in (("float32",), ("float16", "float64"), ("int64",), ("bfloat16", "int32")):
        ours, other = ([getattr(t, name) for name in names] for t in (clgrad, torch))
        assert default_tolerances(*ours) == theirs(*other)
    assert default_tolerances(clgrad.ones(1), dtype_precisions={clgrad.float32: (1.0, 2.0)}) == (1.0, 2.0)
