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


@pytest.mark.parametrize("rows", [1, 2, 3, 500])
@pytest.mark.parametrize("width", [17, 64, 300])
def test_rows_of_a_large_table(rows, width):
    """Tables that no core keeps close, whose rows are asked for before they are moved."""
    rng = np.random.default_rng(rows)
    table = rng.normal(size=((1 << 19) // width, width)).astype(np.float32)
    places = rng.integers(-len(table), len(table), rows)
    x, index = clgrad.tensor(table), clgrad.tensor(places)
    assert np.array_equal(x[index].numpy(), table[places])
    assert np.array_equal(x.index_select(0, index % len(table)).numpy(), table[places])
    assert np.array_equal(clgrad.nn.functional.embedding(index % len(table), x).numpy(), table[places])
    columns = rng.integers(0, len(table), (2, rows))
    assert np.array_equal(x.t().index_select(1, clgrad.tensor(columns[0])).numpy(), table.T[:, columns[0]])
    assert np.array_equal(x[clgrad.tensor(columns)].numpy(), table[columns])


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
