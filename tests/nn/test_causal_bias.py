"""Causal masks aligned at either corner."""

from __future__ import annotations

import numpy as np
import pytest

import clgrad
import clgrad.nn.attention.bias as ours
from tests.compare import assert_same_error


@pytest.mark.parametrize("name", ["causal_upper_left", "causal_lower_right"])
def test_masks(torch, rng, name):
    theirs = pytest.importorskip("torch.nn.attention.bias")
    data = [rng.standard_normal((1, 2, n, 4)).astype(np.float32) for n in (3, 5, 5)]
    found = clgrad.nn.functional.scaled_dot_product_attention(*map(clgrad.tensor, data), getattr(ours, name)(3, 5))
    expected = torch.nn.functional.scaled_dot_product_attention(*map(torch.tensor, data), getattr(theirs, name)(3, 5))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), 1e-5, 1e-5)
    mask = getattr(ours, name)(3, 5)
    assert isinstance(mask, ours.CausalBias) and mask.shape == (3, 5) and (mask.seq_len_q, mask.seq_len_kv) == (3, 5)
    assert repr(mask) == repr(getattr(theirs, name)(3, 5))


def test_errors(torch):
    pytest.importorskip("torch.nn.attention.bias")
    for name in ("causal_upper_left", "causal_lower_right"):
        assert_same_error(torch, lambda lib, name=name: getattr(lib.nn.attention.bias, name)(3))
    assert_same_error(torch, lambda lib: lib.nn.attention.bias.CausalBias(1, 2, 3))
    with pytest.warns(UserWarning, match="see nothing"):
        ours.causal_lower_right(3, 2)
