"""Embeddings and bags of them against PyTorch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import clgrad
from tests.compare import assert_same

WEIGHT = np.random.default_rng(5).normal(size=(7, 4))
WORDS = np.array([[1, 2, 2], [6, 0, 2]])


@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}, {"padding_idx": -1}, {"scale_grad_by_freq": True},
                                     {"max_norm": 1.0}, {"max_norm": 0.5, "norm_type": 1.0}])
def test_embedding(options, torch):
    results = []
    for t in (clgrad, torch):
        leaf = t.tensor(WEIGHT, requires_grad=True)
        weight = leaf if "max_norm" not in options else leaf.detach().clone().requires_grad_()
        y = t.nn.functional.embedding(t.tensor(WORDS), weight, **options)
        (y * y).sum().backward()
        results.append((y, weight.grad, weight))
    for found, expected in zip(*results, strict=True):
        assert_same(found, expected, rtol=1e-9)


def test_empty_and_scalar_words(torch):
    for words in ([], 3, [[]]):
        found, expected = (t.nn.functional.embedding(t.tensor(words, dtype=t.int64), t.tensor(WEIGHT))
                           for t in (clgrad, torch))
        assert_same(found, expected)


BAGS = [
    dict(mode=mode, **({"offsets": offsets} if offsets else {}), **({"padding_idx": padding} if padding else {}))
    for mode, offsets, padding in itertools.product(("sum", "mean", "max"), (None, [0, 2], [0, 2, 2, 5]), (None, 2))
]


@pytest.mark.parametrize("options", BAGS + [{"mode": "sum", "weights": True}, {"mode": "sum", "offsets": [0, 4],
                                            "weights": True}, {"mode": "sum", "offsets": [0, 2, 6], "last": True}])
def test_bags(options, torch):
    results = []
    for t in (clgrad, torch):
        kwargs = dict(options)
        weight = t.tensor(WEIGHT, requires_grad=True)
        words = t.tensor(WORDS if "offsets" not in kwargs else WORDS.reshape(-1))
        if "offsets" in kwargs:
            kwargs["offsets"] = t.tensor(kwargs["offsets"])
        factors = None
        if kwargs.pop("weights", False):
            factors = kwargs["per_sample_weights"] = t.tensor(
                np.linspace(-1, 2, 6).reshape(tuple(words.shape)), requires_grad=True)
        y = t.nn.functional.embedding_bag(words, weight, include_last_offset=kwargs.pop("last", False), **kwargs)
        (y * y).sum().backward()
        results.append((y, weight.grad, *([] if factors is None else [factors.grad])))
    for found, expected in zip(*results, strict=True):
        assert_same(found, expected, rtol=1e-9)


@pytest.mark.parametrize("arguments, error", [
    (dict(mode="median"), ValueError),
    (dict(offsets=[0]), ValueError),
    (dict(mode="mean", per_sample_weights=WORDS.astype(float)), NotImplementedError),
    (dict(mode="sum", per_sample_weights=WEIGHT), ValueError),
])
def test_errors(arguments, error):
    given = {n: clgrad.tensor(v) if not isinstance(v, str) else v for n, v in arguments.items()}
    with pytest.raises(error):
        clgrad.nn.functional.embedding_bag(clgrad.tensor(WORDS), clgrad.tensor(WEIGHT), **given)


def test_an_index_that_only_the_device_sees_is_both_errors():
    for kind in (IndexError, RuntimeError):
        with pytest.raises(kind, match="out of bounds"):
            clgrad.tensor(WEIGHT)[clgrad.arange(100000)].sum().item()
