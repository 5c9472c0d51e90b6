"""Layers and losses refuse what PyTorch's refuse, with errors of the same classes."""

from __future__ import annotations

import pytest

import clgrad
from tests.compare import assert_same_error


def classes(lib, *shape):
    return lib.zeros(*shape, dtype=lib.int64)


@pytest.mark.parametrize("program", [
    lambda lib: lib.nn.BatchNorm1d(3, eps=-1.0)(lib.ones(2, 3)),
    lambda lib: lib.nn.BatchNorm2d(3, eps=0.0)(lib.ones(2, 3, 2, 2)),
    lambda lib: lib.nn.BatchNorm1d(3, eps=-1.0).eval()(lib.ones(2, 3)),
    lambda lib: lib.nn.HuberLoss(delta=1j), lambda lib: lib.nn.HuberLoss(delta="1"),
    lambda lib: lib.nn.functional.huber_loss(lib.ones(2), lib.ones(2), delta=1j),
    lambda lib: lib.nn.functional.nll_loss(lib.ones(2, 3), classes(lib, 2), lib.ones(3).half()),
    lambda lib: lib.nn.functional.nll_loss(lib.ones(2, 3).half(), classes(lib, 2), lib.ones(3)),
    lambda lib: lib.nn.functional.nll_loss(lib.ones(2, 3), classes(lib, 2), lib.ones(2)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), classes(lib, 2, 3)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), classes(lib, 2, 2)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), classes(lib, 3)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), classes(lib)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(3), classes(lib, 3, 2)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(()), classes(lib)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3, 5), classes(lib, 2, 4)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3, 5, 6), classes(lib, 2, 5)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), lib.ones(2)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), lib.ones(4, 3)),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), classes(lib, 2).int()),
    lambda lib: lib.nn.functional.cross_entropy(lib.ones(2, 3), lib.ones(2, 3), ignore_index=1),
    lambda lib: lib.nn.CircularPad1d(1)(lib.ones(2, 3, 4, 5)), lambda lib: lib.nn.CircularPad2d(1)(lib.ones(2, 3)),
    lambda lib: lib.nn.CircularPad3d(1)(lib.ones(2, 3)),
    lambda lib: lib.nn.functional.fractional_max_pool2d(lib.ones(1, 3, 5, 6), 2, output_size=2,
                                                        _random_samples=lib.ones(1, 3, 2).double()),
])
def test_errors(torch, program):
    assert_same_error(torch, program)


def test_random_pooling_of_no_samples(torch):
    for lib in (clgrad, torch):
        values, places = lib.nn.functional.fractional_max_pool3d(lib.ones(0, 1, 4, 5, 4), 2, output_size=2,
                                                                 return_indices=True)
        assert tuple(values.shape) == tuple(places.shape) == (0, 1, 2, 2, 2)
