"""Counts of operations against PyTorch's counter."""

from __future__ import annotations

import pytest

import clgrad
from clgrad.utils import flop_counter as own


def networks(torch):
    nn = torch.nn
    x, rows = torch.ones(2, 3, 8, 8), torch.ones(3, 4, requires_grad=True)
    convolutional = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))
    attention, y = nn.MultiheadAttention(8, 2, batch_first=True), torch.ones(2, 5, 8, requires_grad=True)
    return {"convolutions": lambda: convolutional(x).sum().backward(),
            "transposed": lambda: nn.ConvTranspose2d(3, 4, 3)(x),
            "attention": lambda: attention(y, y, y)[0].sum().backward(),
            "einsum": lambda: torch.einsum("bij,bjk->bik", torch.ones(2, 3, 4), torch.ones(2, 4, 5)),
            "products": lambda: torch.addmm(torch.ones(2), rows, torch.ones(4, 2)).sum().backward()}


@pytest.mark.parametrize("name", networks(clgrad))
def test_counts(name, torch):
    theirs = pytest.importorskip("torch.utils.flop_counter")
    counters = []
    for library, module in ((clgrad, own), (torch, theirs)):
        with module.FlopCounterMode(display=False) as counter:
            networks(library)[name]()
        counters.append(counter)
    assert counters[0].get_total_flops() == counters[1].get_total_flops() > 0
    places = [{place: sum(counts.values()) for place, counts in counter.get_flop_counts().items()} for counter in counters]
    assert places[0] == places[1]


def test_the_table_and_formulas_of_the_programs_own(capsys):
    layer = clgrad.nn.Linear(3, 4)
    with own.FlopCounterMode(custom_mapping={clgrad.exp: lambda x, out_val: out_val.numel()}) as counter:
        layer(clgrad.ones(2, 3)).exp()
        clgrad.exp(clgrad.ones(5))
    assert counter.get_flop_counts()["Global"]["exp"] == 13
    text = capsys.readouterr().out
    assert "Linear" in text and "addmm" in text
