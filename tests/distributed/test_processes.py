"""Groups of two and three processes: every operation against PyTorch's gloo, equal bits, and members that fail."""

from __future__ import annotations

import pytest

from tests.distributed import programs
from tests.distributed.processes import run


@pytest.mark.parametrize("size", [2, 3])
def test_operations(torch, size):
    own, theirs = (run(programs.collectives, size, library=library) for library in ("clgrad", "torch"))
    for rank in range(size):
        assert own[rank].keys() == theirs[rank].keys()
        for name in own[rank]:
            assert own[rank][name] == theirs[rank][name], (rank, name)


def test_gradients(torch):
    own, theirs = (run(programs.gradients, 2, library=library) for library in ("clgrad", "torch"))
    assert own == theirs


def test_every_member_gets_the_same_bits():
    found = run(programs.same_bits, 3)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(("how", "expected"), [
    ("sizes", ["3 float32", "4 float32"]), ("dtypes", ["float32", "float64"]), ("operations", ["barrier", "broadcast"]),
    ("large", ["100000 float32", "101000 float32"])])
def test_members_that_call_something_else_are_told_so(how, expected):
    found = run(programs.failing, 2, how)
    assert all(text.startswith("DistBackendError") for text in found)
    assert any("mismatch among the members" in text and all(part in text for part in expected) for text in found)


def test_members_that_end_or_do_not_come():
    found = run(programs.failing, 3, "killed", ends=[1])
    assert all("all_reduce" in found[rank] and "rank 1 is lost" in found[rank] for rank in (0, 2)), found
    found = run(programs.failing, 3, "killed receiving", ends=[1], seconds=20)
    assert "recv from rank 1 on rank 0: rank 1 has ended" in found[0] and "recv from anybody on rank 2" in found[2], found
    found = run(programs.failing, 2, "late", seconds=3)
    assert "rank 1 did not answer within 3 s" in found[0], found
    found = run(programs.failing, 2, "monitored")
    assert "Rank(s) 1 failed to pass monitoredBarrier in 500 ms" in found[0], found
