"""Tables of vectors equal PyTorch's: values, gradients, text and state."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad

TABLES = [
    ("Embedding", {}, False),
    ("Embedding", {"padding_idx": -1}, False),
    ("Embedding", {"padding_idx": 2, "max_norm": 1.0, "norm_type": 1.0, "scale_grad_by_freq": True}, False),
    ("EmbeddingBag", {}, False),
    ("EmbeddingBag", {"mode": "sum", "padding_idx": 1, "include_last_offset": True}, True),
    ("EmbeddingBag", {"mode": "max"}, True),
]


@pytest.mark.parametrize(("name", "options", "offsets"), TABLES, ids=range(len(TABLES)))
def test_tables(torch, name, options, offsets):
    places = np.array([[0, 4, 2], [1, 4, 4]])
    theirs = getattr(torch.nn, name)(5, 3, **options)
    ours = getattr(clgrad.nn, name)(5, 3, **options)
    assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    found = []
    for library, module in ((clgrad, ours), (torch, theirs)):
        given = (library.tensor(places.ravel()), library.tensor([0, 2, 6] if offsets and options.get(
            "include_last_offset") else [0, 2])) if offsets else (library.tensor(places),)
        result = module(*given)
        (result * result).sum().backward()
        found.append([result, module.weight.grad, module.weight])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["Embedding", "EmbeddingBag"])
def test_tables_that_are_given(name):
    weight = clgrad.arange(6.0).view(3, 2)
    module = getattr(clgrad.nn, name).from_pretrained(weight)
    assert not module.weight.requires_grad and module.weight.data_ptr() == weight.data_ptr()
    assert getattr(clgrad.nn, name).from_pretrained(weight, freeze=False).weight.requires_grad
    assert module(clgrad.tensor([[1]])).flatten().tolist() == [2.0, 3.0]


def test_the_row_of_padding_begins_as_zeros():
    weight = clgrad.nn.Embedding(100, 8, padding_idx=3).weight
    assert not weight[3].any() and 0.8 < weight.std().item() < 1.2
