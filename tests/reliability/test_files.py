"""Damaged and hostile files: what reads them raises what it documents, runs nothing and takes little memory.

A long run: ``CLGRAD_MUTATIONS=20000 python -m pytest -n 0 tests/reliability/test_files.py``.
"""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import sys
import time
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import clgrad
from clgrad import safetensors
from clgrad.vision.datasets.cifar import read_pickle
from clgrad.vision.datasets.mnist import read_idx

MUTATIONS = int(os.environ.get("CLGRAD_MUTATIONS", "800"))
FORBIDDEN = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "exec", "import",
             "os.remove", "os.rename", "os.mkdir", "socket.connect"}
RAN: list[str] = []
WATCHING = False


def _audit(event: str, arguments: tuple) -> None:
    # Inside a call that is watched nothing may be run. What Python imports by itself is imported before.
    if WATCHING and event in FORBIDDEN:
        RAN.append(f"{event} {arguments!r}"[:200])


sys.addaudithook(_audit)


class Evil:
    def __reduce__(self) -> tuple:
        return os.system, ("echo this must not run",)


def content() -> dict:
    base = clgrad.arange(60.0).view(5, 12)
    return {"weight": base, "view": base.t()[1:3], "half": clgrad.ones(7).half(), "number": 3, "list": [1, (2.5, None), "x"],
            "mask": clgrad.tensor([True, False]), "bytes": b"\x00\xff", "shape": clgrad.Size((1, 2))}


def zipped(obj: Any) -> bytes:
    file = io.BytesIO()
    clgrad.save(obj, file)
    return file.getvalue()


def legacy(structure: bytes) -> bytes:
    """The layout from before PyTorch 1.6, with one storage of 4 floats."""
    first = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    return first + structure + pickle.dumps(["0"], 2) + struct.pack("<q", 4) + np.ones(4, "<f4").tobytes()


LEGACY = (b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
          b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04NtQK\x00K\x02K\x02\x86K\x02K\x01\x86\x89ccollections\nOrderedDict\n"
          b")RtRs.")


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, a=np.arange(12.0).reshape(3, 4), b=np.ones(3, np.int16))
    return file.getvalue()


IDX = struct.pack(">HBBII", 0, 8, 2, 6, 5) + bytes(range(30))
CIFAR = {b"data": np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072) % 251, b"labels": [1, 2], b"batch_label": b"x"}


def in_memory(read: Callable[[io.BytesIO], Any]) -> Callable[[bytes, Any], Any]:
    return lambda data, folder: read(io.BytesIO(data))


def at_path(read: Callable[[str], Any], name: str) -> Callable[[bytes, Any], Any]:
    def reading(data: bytes, folder: Any) -> Any:
        (folder / name).write_bytes(data)
        return read(str(folder / name))
    return reading


LOAD = (RuntimeError, pickle.UnpicklingError)
# name: (whole files, what reads their bytes, what it may raise)
FORMATS: dict[str, tuple[Callable[[], list[bytes]], Callable[[bytes, Any], Any], tuple]] = {
    "zip": (lambda: [zipped(content())], in_memory(clgrad.load), LOAD),
    "zip from PyTorch 1.5": (lambda: [legacy(LEGACY), legacy(pickle.dumps({"a": [1]}, 2))], in_memory(clgrad.load), LOAD),
    "hostile": (lambda: [repacked(zipped(content()), lambda _: pickle.dumps(Evil(), 2)), legacy(pickle.dumps(Evil(), 2)),
                         repacked(zipped(content()), lambda _: pickle.dumps(Evil(), 4))], in_memory(clgrad.load), LOAD),
    "mapped zip": (lambda: [zipped(content())], at_path(lambda path: clgrad.load(path, mmap=True), "m.pth"), LOAD),
    "safetensors": (lambda: [safetensors.save({"a": clgrad.arange(6).view(2, 3), "b": clgrad.ones(3)})],
                    lambda data, folder: safetensors.load(data), (safetensors.SafetensorError,)),
    "npz": (lambda: [npz()], at_path(safetensors.load_npz, "x.npz"), (ValueError, RuntimeError)),
    "idx": (lambda: [IDX], at_path(read_idx, "x-idx2-ubyte"), (RuntimeError,)),
    "packed idx": (lambda: [gzip.compress(IDX)], at_path(read_idx, "x-idx2-ubyte.gz"), (RuntimeError,)),
    "cifar": (lambda: [pickle.dumps(CIFAR, 2), pickle.dumps(CIFAR, 4), pickle.dumps(Evil(), 2)],
              at_path(read_pickle, "data_batch_1"), (RuntimeError,)),
}


def repacked(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A zip archive with its structure changed and the sums right again, so that the change is met."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            part = old.read(name)
            new.writestr(name, change(part) if name.endswith("data.pkl") else part)
    return out.getvalue()


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A file with one to four accidents: bytes or numbers replaced, parts lost, repeated or swapped, the end cut off."""
    made = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if len(made) < 8:
            break
        at, length = int(rng.integers(0, len(made))), int(rng.integers(1, 9))
        kind = int(rng.integers(0, 7))
        if kind == 0:
            made[at] = int(rng.integers(0, 256))
        elif kind == 1:
            made[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 2:
            number = int(rng.choice([0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]))
            made[at:at + 4] = struct.pack("<I" if rng.integers(0, 2) else ">I", number)
        elif kind == 3:
            del made[at:at + length]
        elif kind == 4:
            made[at:at] = made[at:at + length] * int(rng.integers(1, 4))
        elif kind == 5:
            other = int(rng.integers(0, len(made)))
            made[at:at + length] = made[other:other + length]
        elif rng.integers(0, 4) == 0:
            del made[at:]
    return bytes(made)


def accidents(name: str, count: int) -> Iterator[bytes]:
    """Damaged files of a format."""
    rng = np.random.default_rng(sorted(FORMATS).index(name))
    whole = FORMATS[name][0]()
    for number in range(count):
        data = whole[number % len(whole)]
        if data[:2] == b"PK" and name != "npz" and number % 3:
            yield repacked(data, lambda structure: mutated(structure, rng))
        else:
            yield mutated(data, rng)


def attempt(read: Callable[[bytes, Any], Any], data: bytes, folder: Any) -> Any:
    """What reading gives or raises; notes what it ran."""
    global WATCHING
    WATCHING = True
    try:
        return read(data, folder)
    except Exception as error:
        return error
    finally:
        WATCHING = False


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(name, tmp_path):
    files, read, documented = FORMATS[name]
    for data in files():
        attempt(read, data, tmp_path)  # imports what reading needs
    RAN.clear()
    refused = 0
    tracemalloc.start()
    try:
        for data in accidents(name, -(-MUTATIONS // len(FORMATS))):
            tracemalloc.reset_peak()
            before, start = tracemalloc.get_traced_memory()[0], time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = attempt(read, data, tmp_path)
            taken = tracemalloc.get_traced_memory()[1] - before
            assert not isinstance(found, Exception) or isinstance(found, documented), (repr(found), data)
            assert RAN == [], data
            assert taken < (1 << 20) + 10 * len(data), (taken, len(data), data)
            assert time.process_time() - start < 20, data
            refused += isinstance(found, Exception)
    finally:
        tracemalloc.stop()
    assert refused, "none of the accidents was noticed"
