"""DistributedDataParallel in two processes, against PyTorch's, and against one process with the whole batch."""

from __future__ import annotations

import numpy as np

import clgrad
from tests.distributed import programs
from tests.distributed.processes import run


def assert_close(own, theirs, name):
    if isinstance(own, str) or own is None or theirs is None:
        assert own == theirs, name
    elif isinstance(own, list) and own and not isinstance(own[0], (int, float)):
        assert len(own) == len(theirs), name
        for a, b in zip(own, theirs, strict=True):
            assert_close(a, b, name)
    else:
        precise = name != "fp16_compress_hook"
        relative, absolute = (1e-12, 1e-13) if precise else (1e-2, 1e-3)
        np.testing.assert_allclose(own, theirs, rtol=relative, atol=absolute, err_msg=name)


def test_training(torch):
    own, theirs = (run(programs.trained, 2, library=library) for library in ("clgrad", "torch"))
    for rank in range(2):
        assert own[rank].keys() == theirs[rank].keys()
        for name in own[rank]:
            assert_close(own[rank][name], theirs[rank][name], str(name))
    for name in ("plain", "small buckets", "unequal"):
        assert own[0][name] == own[1][name]


def alone():
    """One process with the whole batch, without the normalisation, whose statistics are those of a process."""
    x, y = programs.batch(clgrad)
    net = programs.without_norm(clgrad)
    optimizer = clgrad.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    for _ in range(4):
        optimizer.zero_grad()
        clgrad.nn.functional.mse_loss(net(x), y).backward()
        optimizer.step()
    return [p.detach().tolist() for p in net.parameters()]


def test_two_processes_are_one_with_the_whole_batch():
    expected = alone()
    for found in run(programs.as_one, 2):
        for name, parameters in found.items():
            for a, b in zip(parameters, expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14, err_msg=name)


def test_on_a_device_with_memory_of_its_own(monkeypatch):
    monkeypatch.setenv("CLGRAD_DISCRETE", "1")
    expected = alone()
    for sums, more, sent, parameters in run(programs.on_a_gpu, 2):
        assert sums and more and sent == [1] * 5
        for a, b in zip(parameters, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_members_whose_networks_differ_are_told_so():
    for text in run(programs.differing, 2):
        assert "rank 1 has the parameter weight of shape (3, 2)" in text and "rank 0 has weight of shape (2, 2)" in text


def test_normalisation_by_all_members_batches(torch):
    """Two processes with one and three rows, against PyTorch's layer with all four."""
    own = run(programs.normalised, 2)
    for number, whole in enumerate(programs.normalised(torch, 0, 1)):
        first, second = (found[number] for found in own)
        for place in (0, 1, 7):  # outputs and gradients of the rows
            np.testing.assert_allclose(first[place] + second[place], whole[place], rtol=1e-9, atol=1e-9)
        for place in (2, 3, 6):  # running statistics
            assert first[place] == second[place]
            np.testing.assert_allclose(first[place], whole[place], rtol=1e-12)
        for place in (4, 5):  # the sums of gradients of factor and shift
            np.testing.assert_allclose(np.add(first[place], second[place]), whole[place], rtol=1e-9, atol=1e-9)
