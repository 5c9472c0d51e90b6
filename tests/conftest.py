"""Fixtures of the whole suite: the devices, PyTorch as a reference where it is installed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import clgrad

pytest.register_assert_rewrite("tests.compare", "tests.references")


@pytest.fixture(scope="session")
def torch():
    """PyTorch, the reference for what only it defines; tests that need it are skipped where it is not installed."""
    return pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20240101)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    clgrad.manual_seed(0)


@pytest.fixture(autouse=True)
def _linked() -> Iterator[None]:
    """Waits for the test's launches.

    PoCL's threads link a kernel at its first launch, by a process that gets the environment as it is at that moment. Between
    tests pytest changes it, and the C library may move it meanwhile: starting the process fails (EFAULT), and PoCL aborts.
    """
    yield
    clgrad.device("cpu").compute.lane.queue.finish()
