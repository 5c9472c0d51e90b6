"""Random calls of all public functions: results are PyTorch's, and what fails fails with a documented class of error.

A long run: ``CLGRAD_EXAMPLES=100000 python -m pytest -n 0 tests/reliability/test_bad_input.py``; with ``CLGRAD_SEED=1`` and
so on other calls are drawn, so that a long run can be made in parts.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import clgrad
from tests.reliability.calls import Difference, check, drawn, functions_of
from tests.reliability.functions import driven

torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
EXAMPLES = int(os.environ.get("CLGRAD_EXAMPLES", "2000"))
SEED = os.environ.get("CLGRAD_SEED", "0")
NAMES = [name for name in driven() if functions_of(torch, name) is not None]
EACH = -(-EXAMPLES // len(NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_calls(name):
    @seed(f"{SEED} {name}")
    @settings(max_examples=EACH, deadline=None, database=None, suppress_health_check=list(HealthCheck),
              phases=[Phase.generate, Phase.shrink] if EXAMPLES > 2000 else [Phase.generate])
    @given(st.data())
    def calls(data):
        call = drawn(data.draw, name)
        try:
            check(torch, call)
        except Difference as difference:
            raise AssertionError(f"{call}: {difference}") from difference
    calls()


@pytest.mark.parametrize("program", [
    lambda t: t.bitwise_not(t.tensor([True, False])), lambda t: t.tensor([True, False]).bitwise_not_(),
    lambda t: t.square(t.tensor([True, False])), lambda t: t.tensor([True, False]) ** 3,
    lambda t: t.tensor([True]).pow(2.0), lambda t: t.broadcast_to(t.ones(2, 1), (3, -1, 4)).shape,
    lambda t: t.count_nonzero(t.ones(2, 3), ()), lambda t: t.tensor(3.0).flip(-1), lambda t: t.tensor(3.0).movedim(0, -1),
    lambda t: t.isclose(t.tensor([2 ** 63 - 1]), t.tensor([-1])), lambda t: t.isclose(t.tensor([True]), t.tensor([True])),
    lambda t: t.nn.functional.cosine_similarity(t.tensor(3), t.tensor(2.0), dim=0), lambda t: t.addmv(
        t.ones(3), t.ones(3, 0), t.ones(0), beta=2, alpha=float("inf")), lambda t: t.repeat_interleave(
        t.ones(2), 2, output_size=5), lambda t: t.allclose(t.tensor([True]), t.tensor([False])),
    lambda t: t.nn.functional.softsign(t.tensor([1, -3])), lambda t: t.nn.functional.tanhshrink(t.tensor([1, -3])),
    lambda t: t.sub(t.tensor([1]), 3, alpha=1.5), lambda t: t.tensor([1]).add_(3, alpha=1.5),
    lambda t: t.squeeze(t.ones(1, 2), (0, -2)), lambda t: t.unflatten(t.ones(2), 0, ()),
    lambda t: t.split(t.ones(3), (-1, 2, 2)), lambda t: t.mm(t.ones(2, 2, dtype=t.bool), t.ones(2, 2, dtype=t.bool)),
    lambda t: t.nn.functional.silu(t.tensor([1])), lambda t: t.ones(3, dtype=t.int32).index_fill(0, t.tensor([0]), 1e30),
    lambda t: t.nn.functional.max_pool2d(t.arange(16).view(1, 1, 4, 4), 2), lambda t: t.nn.functional.group_norm(
        t.ones(1, 4, 1), 4), lambda t: t.nn.functional.avg_pool1d(t.arange(6).view(1, 1, 6), 4),
    lambda t: t.nn.functional.conv_transpose1d(t.ones(1, 2, 3), t.ones(2, 3, 0)),
    lambda t: t.nn.functional.avg_pool3d(t.arange(8).view(1, 1, 2, 2, 2), 2),
    lambda t: t.topk(t.tensor(3.0), 0)[0], lambda t: t.repeat_interleave(),
    lambda t: t.igamma(t.tensor([float("inf"), 0.0]), t.tensor([2.0, float("nan")])).nan_to_num(7.0),
    lambda t: t.cummax(1.5, 0), lambda t: t.ones(2).index_add_(0, t.tensor([0]), 5), lambda t: t.kron(t.ones(2), 3),
    lambda t: t.tensor([1, 200], dtype=t.uint8).clamp(min=-5, max=-1), lambda t: t.tensor([1], dtype=t.int8) <= 300,
    lambda t: t.tensor([1], dtype=t.int8).clamp(max=300), lambda t: t.tensor([1, 5], dtype=t.int32) < 2 ** 40,
    lambda t: t.nn.functional.dropout(t.tensor([True]), 1.0), lambda t: t.nn.functional.dropout(t.tensor([True]), 0.5),
    lambda t: t.cdist(t.tensor([[float("nan"), 1.0]]), t.tensor([[1.0, 1.0]]), p=0).nan_to_num(7.0),
    lambda t: t.nn.functional.conv1d(t.ones(1, 2, 0), t.ones(3, 2, 1), padding=1),
    lambda t: t.nn.functional.conv_transpose2d(t.ones(1, 0, 3, 3), t.ones(0, 2, 3, 3), groups=2),
    lambda t: t.nn.functional.avg_pool1d(t.tensor([[[2 ** 63 - 1, 2 ** 63 - 1]]]), 2),
    lambda t: t.nn.functional.conv2d(t.ones(1, 1, 3, 3).int(), t.ones(2, 1, 2, 2).int()),
    lambda t: t.cdist(t.ones(2, 2, 0), t.ones(2, 2, 0), float("inf")), lambda t: t.tensor(1.0).flatten(0, 7),
    lambda t: t.tile(t.tensor(1.0), (-1,)), lambda t: t.block_diag(t.ones(1, dtype=t.int32), t.tensor(2)),
    lambda t: t.logsumexp(t.ones(0), ()), lambda t: t.multinomial(t.ones(0, 3), 2), lambda t: t.nn.functional.nll_loss(
        t.ones(1, 3, 2), t.zeros(1, 2, dtype=t.int64), t.ones(3, 1)), lambda t: t.baddbmm(
        *[t.ones(2, 2, 2, dtype=t.int64)] * 3, beta=float("inf")), lambda t: t.nn.functional.scaled_dot_product_attention(
        t.ones(2, 3, 4), t.ones(2, 0, 4), t.ones(2, 0, 2), is_causal=True), lambda t: t.pairwise_distance(
        t.tensor([[3e4, 1]], dtype=t.float16), t.zeros(1, 2, dtype=t.float16)), lambda t: t.native_layer_norm(
        t.ones(2, 0), (0,), None, None, 1e-5)[1],
    lambda t: t.equal(t.ones(2), True), lambda t: t.cross(t.ones(3), None), lambda t: t.matrix_exp([]),
])
def test_findings(program):
    outcomes = []
    for library in (clgrad, torch):
        try:
            made = program(library)
            outcomes.append((made.tolist(), str(made.dtype)) if hasattr(made, "tolist") else made)
        except Exception as error:
            outcomes.append(type(error))
    assert outcomes[0] == outcomes[1]


def test_an_error_names_the_argument():
    with pytest.raises(TypeError, match=r"kron\(\): argument 'other' must be Tensor, not int"):
        clgrad.kron(clgrad.ones(2), 3)
