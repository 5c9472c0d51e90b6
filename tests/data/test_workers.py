"""DataLoader with worker processes: the same batches, and errors that reach the user."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

import clgrad
from clgrad.utils import data
from clgrad.utils.data import transfer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system: a worker takes seconds to start")


class Rows(data.Dataset):
    """Rows of a tensor, large enough for shared memory; ``trouble`` happens at row 5."""

    def __init__(self, trouble=None):
        self.x, self.trouble = clgrad.arange(8.0 * 4000).view(8, 4000), trouble

    def __len__(self):
        return 8

    def __getitem__(self, index):
        if index == 5 and self.trouble is not None:
            self.trouble()
        return self.x[index] * 1, {"index": index, "name": f"row {index}", "array": np.full(2, index, np.int16)}


class Counting(data.IterableDataset):
    def __iter__(self):
        info = data.get_worker_info()
        yield from range(0 if info is None else info.id, 7, 1 if info is None else info.num_workers)


class Computing(data.IterableDataset):
    def __iter__(self):
        yield clgrad.ones(2) * 3


class Dice(data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        info = data.get_worker_info()
        assert info.num_workers == 2 and info.dataset is self and info.seed % 2 == (info.seed - info.id) % 2 ^ info.id
        return random.random(), float(np.random.rand()), clgrad.rand(1).item()


class Awkward(Exception):
    def __init__(self, one, two):
        super().__init__(one, two)


def fail():
    raise KeyError("no such row")


def fail_awkwardly():
    raise Awkward(1, 2)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def sleep():
    time.sleep(30)


def remember(number):
    Rows.number = number


def workers_left():
    return [p for p in multiprocessing.active_children() if p.name.startswith("DataLoader")]


def plain(batches):
    return [(x.tolist(), {k: v.tolist() if hasattr(v, "tolist") else v for k, v in rest.items()}) for x, rest in batches]


def test_batches_are_those_of_one_process():
    expected = plain(data.DataLoader(Rows(), batch_size=3))
    loader = data.DataLoader(Rows(), batch_size=3, num_workers=2, persistent_workers=True, pin_memory=True)
    assert plain(loader) == expected
    assert len(workers_left()) == 2
    for _, rest in loader:  # an epoch that is given up, then another one
        assert rest["array"].dtype is clgrad.int16
        break
    assert plain(loader) == expected
    (loader._iterator).close()
    assert workers_left() == []


def test_batches_can_be_changed_and_outlive_the_workers():
    batches = [x for x, _ in data.DataLoader(Rows(), batch_size=4, num_workers=1)]
    batches[0].add_(1)
    assert batches[0][0, :3].tolist() == [1.0, 2.0, 3.0] and batches[1][0, 0].item() == 16000.0
    assert workers_left() == []


def test_streams_and_single_samples():
    assert [x.tolist() for x in data.DataLoader(Counting(), batch_size=2, num_workers=2)] == [[0, 2], [1, 3], [4, 6], [5]]
    assert sorted(data.DataLoader(Counting(), batch_size=None, num_workers=2, in_order=False)) == list(range(7))
    short = data.DataLoader(Counting(), batch_size=2, num_workers=2, drop_last=True)
    assert [x.tolist() for x in short] == [[0, 2], [1, 3], [4, 6]]
    assert list(data.DataLoader(range(3), batch_size=None, num_workers=1)) == [0, 1, 2]


def test_seeds():
    def draws():
        loader = data.DataLoader(Dice(), batch_size=1, num_workers=2, generator=clgrad.Generator().manual_seed(4))
        return [[t.item() for t in batch] for batch in loader]
    first = draws()
    assert first == draws()
    assert len({number for batch in first for number in batch}) == 12


@pytest.mark.parametrize(("trouble", "options", "error", "words"), [
    (fail, {}, KeyError, r"Caught KeyError in DataLoader worker process 0\.\nOriginal Traceback(.|\n)*no such row"),
    (fail_awkwardly, {}, RuntimeError, "Caught Awkward in DataLoader worker process"),
    (die, {}, RuntimeError, "was killed by signal 9"),
    (sleep, {"timeout": 0.5}, RuntimeError, "timed out after 0.5 seconds"),
    (fail, {"worker_init_fn": fail_awkwardly}, TypeError, "takes 0 positional arguments"),
])
def test_trouble_in_a_worker(trouble, options, error, words):
    loader = data.DataLoader(Rows(trouble), batch_size=2, num_workers=2, **options)
    with pytest.raises(error, match=words) as caught:
        list(loader)
    del caught  # its traceback holds the iterator, which could go on
    gc.collect()
    assert workers_left() == []


def test_what_cannot_be_pickled_is_forked():
    clgrad.ones(3).add_(1).tolist()  # OpenCL is in use
    loader = data.DataLoader(Rows(), batch_size=2, num_workers=2, collate_fn=lambda batch: [b[1]["index"] for b in batch])
    with pytest.warns(RuntimeWarning, match="(?s)main process from now on.*cannot be pickled.*Change"):
        found = list(loader)  # Rows multiplies, which needs a device
    assert found == [[0, 1], [2, 3], [4, 5], [6, 7]] == list(loader) and workers_left() == []
    mixed = data.DataLoader(Rows(), num_workers=2, in_order=False, collate_fn=lambda batch: batch[0][1]["index"])
    with pytest.warns(RuntimeWarning, match="main process"):
        assert sorted(mixed) == list(range(8))
    stream = data.DataLoader(Computing(), num_workers=1, collate_fn=lambda batch: batch)
    with pytest.raises(clgrad.errors.ForkedProcessError, match="(?s)do not survive a fork.*cannot be pickled.*Change"):
        list(stream)

    class Local(data.Dataset):
        images = clgrad.arange(12.0).view(4, 3)

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return self.images[index], np.float32(index)
    batches = list(data.DataLoader(Local(), batch_size=2, num_workers=2))
    assert [(x.tolist(), y.tolist()) for x, y in batches] == [
        ([[0, 1, 2], [3, 4, 5]], [0, 1]), ([[6, 7, 8], [9, 10, 11]], [2, 3])]
    with pytest.raises(Exception, match="have to be pickled"):
        list(data.DataLoader(Local(), num_workers=1, multiprocessing_context="spawn"))


def test_package_without_shared_memory(monkeypatch):
    value = {"t": clgrad.arange(20000), "a": np.arange(3), "s": "text", "e": clgrad.empty(0, 2),
             "b": clgrad.ones(2).bfloat16()}
    for memory in (True, False):
        if not memory:
            monkeypatch.delattr(os, "memfd_create", raising=False)
        ours, theirs = multiprocessing.Pipe()
        package = transfer.Package(value)
        assert (package.memory is not None) == memory
        if not memory:  # more than a pipe holds
            package.inline[0] = package.inline[0][:64]
            value["t"], package.pickle = None, transfer.Package({**value, "t": clgrad.arange(8)}).pickle
        package.send(ours, "header")
        package.close()
        header, back = transfer.receive(theirs)
        assert header == "header" and back["t"][:4].tolist() == [0, 1, 2, 3] and back["a"].tolist() == [0, 1, 2]
        assert back["s"] == "text" and back["e"].shape == (0, 2) and back["b"].dtype is clgrad.bfloat16


def test_programs_without_a_guard_and_interrupts(tmp_path):
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent("""
        import os, signal, sys, threading, time
        import clgrad as torch
        from clgrad.utils.data import DataLoader, TensorDataset
        torch.ones(2).add_(1).tolist()
        data = TensorDataset(torch.arange(6.0), torch.arange(6))
        print([x.tolist() for x, _ in DataLoader(data, batch_size=3, num_workers=2)])
        class Slow(TensorDataset):
            def __getitem__(self, index):
                time.sleep(60)
        threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            next(iter(DataLoader(Slow(*data.tensors), num_workers=1)))
        except KeyboardInterrupt:
            import multiprocessing
            print(multiprocessing.active_children())
        """))
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": str(Path(clgrad.__file__).parent.parent)})
    assert done.stdout == "[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]\n[]\n", done.stderr
