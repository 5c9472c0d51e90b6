"""Drawing from given probabilities: frequencies, zeros, errors."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
from clgrad.ops.registry import FUNCTIONS
from tests.compare import assert_same_error


def test_frequencies():
    p = clgrad.tensor([[1.0, 0.0, 3.0, 4.0], [0.0, 1.0, 0.0, 0.0]])
    drawn = clgrad.multinomial(p, 4000, replacement=True)
    counts = clgrad.bincount(drawn[0], minlength=4).numpy() / 4000
    np.testing.assert_allclose(counts, [0.125, 0, 0.375, 0.5], atol=0.03)
    assert drawn[1].eq(1).all() and drawn.dtype is clgrad.int64


def test_without_replacement():
    p = clgrad.tensor([[1.0, 0.0, 3.0, 4.0]]).expand(2000, 4)
    drawn = clgrad.multinomial(p, 3)
    assert drawn.sort(1).values.eq(clgrad.tensor([0, 2, 3])).all()
    assert abs(drawn[:, 0].eq(3).float().mean().item() - 0.5) < 0.05


def test_a_weight_of_zero_never_wins():
    """Not even where the uniform number, and so the exponential one, is zero: 0 / 0 would be the largest."""
    raced = FUNCTIONS["_race"](clgrad.tensor([0.0, 1.0, 0.0]), clgrad.tensor([0.0, 0.0, 0.5]))
    assert raced.argmax() == 1 and raced[0] == 0


@pytest.mark.parametrize("program", [
    lambda t: t.multinomial(t.tensor([-1.0, 2.0]), 1), lambda t: t.multinomial(t.zeros(3), 1),
    lambda t: t.multinomial(t.ones(3), 4), lambda t: t.multinomial(t.ones(3), 0), lambda t: t.multinomial(t.ones(1, 1, 3), 1),
    lambda t: t.multinomial(t.ones(3, dtype=t.int64), 1)])
def test_errors(program, torch):
    assert_same_error(torch, program)
